"""The watchdog: brings every running task forward, whatever was lost, and starts the plans that are due."""

import logging

from tasks_app import lifecycle, selectors
from tasks_app.engine import ballast, cleaning, scheduler
from tasks_app.errors import LostFence

logger = logging.getLogger(__name__)


def tick() -> None:
    """One round. Raises `django.db.Error` with the database away."""
    _rescue()
    scheduler.start_due()
    cleaning.clean()
    ballast.keep()  # last: nothing waits for the disk


def _rescue() -> None:
    """Rescue the running task, if there is one."""
    task = selectors.current()
    if task is None:
        return
    try:
        lifecycle.rescue(task.pk)
    except LostFence:
        logger.debug("task %s ended by itself", task.pk)
