"""When old rows are pruned: a batch in each round while there are any, then a look once an hour."""

import logging
import time

from django.conf import settings

from tasks_app.lifecycle import retention
from tasks_app.queue import dispatch

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3600.0
_next_look = 0.0  # by this process's own clock


def clean() -> None:
    """One batch, or nothing. Raises `django.db.Error` with the database away."""
    global _next_look
    if time.monotonic() < _next_look:
        return
    days = settings.COLLECTOR.retention_days
    gone = retention.prune(days)
    if gone.tasks:
        logger.info("a task that ended more than %d days ago was pruned", days)
    if not (gone.rows or dispatch.prune_failures()):
        _next_look = time.monotonic() + LOOK_SECONDS
