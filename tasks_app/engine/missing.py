"""What of a task a stock still lacks: the days to ask its source for."""

from tasks_app.lifecycle import Claim
from tasks_app.models import CollectionTask
from tasks_app.sources.base import Request


def request(task: CollectionTask, claim: Claim) -> Request:
    """The request for one stock of the task."""
    return Request(task.market, claim.code, task.start_date, task.end_date, task.adjust)
