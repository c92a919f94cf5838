"""Decides whether this host can work on a task: a source may be missing here, or can't be set up."""

import logging
import socket

from django.conf import settings

from tasks_app import lifecycle, reasons
from tasks_app.lifecycle import Lane, selectors
from tasks_app.models import CollectionTask
from tasks_app.queue import dispatch
from tasks_app.reasons import sanitize_message
from tasks_app.sources import registry

logger = logging.getLogger(__name__)


def require_source(lane: Lane) -> bool:
    """Returns whether this host can use the task's source, or else one of its fallbacks.

    If it can use none, the task is left to other hosts; if there is no other one, it fails with the reason.
    Raises `StaleClaim`.
    """
    task, host = selectors.get_task(lane.task_id), socket.gethostname()
    available = registry.available(settings.COLLECTOR)
    if task.source not in available:
        _decline(lane, task, host)
        return False
    names = [task.source, *(name for name in task.fallbacks if name in available)]
    problems = {name: registry.why_unusable(name, settings.COLLECTOR) for name in names}
    for name, problem in problems.items():
        if problem:
            params = {"source": name, "host": host, "reason": sanitize_message(problem)}
            lifecycle.warn(lane, "source_unusable", **params)
    if not all(problems.values()):
        return True
    if len(dispatch.live_clusters()) > 1:
        _decline(lane, task, host)
    else:
        params = {"source": task.source, "host": host, "reason": sanitize_message(problems[task.source])}
        lifecycle.fail_by(lane, "source_unusable", reasons.stored_reason("source_unusable", **params))
    return False


def _decline(lane: Lane, task: CollectionTask, host: str) -> None:
    """Leaves the task to other hosts, with a warning."""
    logger.warning("task %s is left to other hosts: the source %s can't be used here", task.pk, task.source)
    lifecycle.warn(lane, "source_not_here", source=task.source, host=host)
    lifecycle.decline(lane)
