"""The watchdog: brings every running task forward, whatever was lost, and starts the plans that are due."""

import logging
import time

from django.conf import settings

from tasks_app import lifecycle
from tasks_app.db import disk_reserve
from tasks_app.errors import StaleClaim
from tasks_app.lifecycle import retention, selectors
from tasks_app.models import CollectionTask
from tasks_app.queue import dispatch
from tasks_app.workers import plan_scheduler

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3600.0
_next_look = 0.0  # by this process's own clock
LONGEST_ROUND = 10.0


def tick() -> None:
    """One round. Raises `django.db.Error` with the database away."""
    _rescue()
    plan_scheduler.start_due()
    _clean()
    disk_reserve.reserve()  # last: nothing waits for the disk


class Silence:
    """For how long this process has seen no sign of work on the running task."""

    def __init__(self) -> None:
        self._sign: object = None
        self._looked = self._seconds = 0.0

    def of(self, task: CollectionTask) -> float:
        """Seconds. To be asked in each round: of a longer gap, as without a database, little counts."""
        now, sign = time.monotonic(), (task.pk, task.heartbeat_at)
        passed = min(now - self._looked, LONGEST_ROUND)
        self._seconds = self._seconds + passed if sign == self._sign else 0.0
        self._looked, self._sign = now, sign
        return self._seconds


silence = Silence()


def _rescue() -> None:
    """Rescue the running task, if there is one."""
    task = selectors.get_running_task()
    if task is None:
        return
    try:
        lifecycle.rescue(task.pk, silence.of(task))
    except StaleClaim:
        logger.debug("task %s ended by itself", task.pk)


def _clean() -> None:
    """One batch, or nothing. Raises `django.db.Error` with the database away."""
    global _next_look
    if time.monotonic() < _next_look:
        return
    days = settings.COLLECTOR.retention_days
    gone = retention.prune(days)
    if gone.tasks:
        logger.info("a task that ended more than %d days ago was pruned", days)
    if not (gone.total or dispatch.prune_failures()):
        _next_look = time.monotonic() + LOOK_SECONDS
