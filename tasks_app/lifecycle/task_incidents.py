"""The incidents that the end of a task opens, and those that it ends."""

from typing import Any
from uuid import UUID

from tasks_app import notices
from tasks_app.models import CollectionPlan, CollectionTask
from tasks_app.models.notices import NoticeEvent
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.notices import Cause

EVENTS = {
    TaskStatus.FAILED: NoticeEvent.TASK_FAILED,
    TaskOutcome.WITH_FAILURES: NoticeEvent.TASK_WITH_FAILURES,
    TaskOutcome.NO_BARS: NoticeEvent.TASK_WITHOUT_BARS,
}
LONGEST_CHAIN = 50  # retries of retries that are followed to the first task
FIELDS = (
    *("status", "outcome", "market", "source", "retry_of_id", "total_stocks", "failed_count"),
    *("error_code", "error_message"),
)


def report_end(task_id: UUID) -> None:
    """Opens the incident of how a task ended, and ends what its plan's earlier run or first try opened.

    Call it in the transaction that ends the task. A cancelled task changes nothing: somebody knows of it.
    """
    task = CollectionTask.objects.only(*FIELDS).get(pk=task_id)
    if task.status == TaskStatus.CANCELLED:
        return
    first = _first_try(task)
    plan = CollectionPlan.objects.filter(last_task_id__in={task_id, first}).only("name").first()
    key = f"plan:{plan.pk}" if plan else f"task:{first}"
    event = EVENTS.get(TaskStatus(task.status)) or EVENTS.get(task.outcome)
    notices.close_incidents([other for other in EVENTS.values() if other != event], key)
    if event is None:
        return
    facts: dict[str, Any] = {"task": str(task.pk), "source": task.source, "plan": plan.name if plan else ""}
    facts |= {"total": task.total_stocks, "failed": task.failed_count}
    facts |= {"code": task.error_code, "reason": task.error_message}
    notices.open_incident(event, Cause(key, market=task.market, params=facts), again=True)


def _first_try(task: CollectionTask) -> UUID:
    """Returns the id of the task that this one retries in the end; its own, if none."""
    first, earlier = task.pk, task.retry_of_id
    for _ in range(LONGEST_CHAIN):
        if earlier is None:
            break
        first = earlier
        earlier = CollectionTask.objects.filter(pk=earlier).values_list("retry_of_id", flat=True).first()
    return first
