"""The piece of the overview that tells what runs now, or how the last run ended."""

from typing import Any

from django.http import HttpRequest

from tasks_app import errors, lifecycle
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import system_status
from tasks_app.admin.tasks import columns, panels
from tasks_app.lifecycle import durations, selectors
from tasks_app.lifecycle.progress import pace
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus


def build_current_task_context(request: HttpRequest) -> dict[str, Any]:
    """Three queries at most, besides the two that tell who asks."""
    live = system_status.clusters()
    may = TaskPermissions.for_user(request.user)
    task = _current()
    if task and lifecycle.abandon_if_unattended(task):
        task = _current()
    shown: dict[str, Any] = {"no_worker": not live, "may_start": may.start}
    if task is None:
        return {**shown, "state": "new"}
    shown |= {"state": f"{formatting.short_id(task.pk)}-{task.status}", "task": task, **_about(task)}
    if task.status == TaskStatus.RUNNING:
        return {**shown, **_running(task, live), "may_cancel": may.cancel}
    return {**shown, **_ended(task), "may_retry": columns.is_left(task) and may.retry}


def _current() -> CollectionTask | None:
    """The task that runs, else the one that was started last."""
    tasks = CollectionTask.objects.defer(*selectors.HEAVY_COLUMNS)
    running = tasks.filter(status=TaskStatus.RUNNING).first()
    return running or tasks.order_by("-start_time", "-id").first()


def _about(task: CollectionTask) -> dict[str, Any]:
    return {
        "running": task.status == TaskStatus.RUNNING,
        "label": columns.label(task),
        "link": formatting.task_link(task.pk),
        "url": formatting.task_url(task.pk),
        "scope": columns.scope(task),
        "counted": panels.sentence(task),
        "bar": _bar(task),
        "cancel_url": formatting.task_url(task.pk, "cancel"),
        "retry_url": formatting.task_url(task.pk, "retry"),
    }


def _bar(task: CollectionTask) -> dict[str, str]:
    """Where the parts of the bar begin and how wide they are, in percent of its width."""
    total = max(task.total_stocks, 1)
    good, bad = 100 * task.success_count / total, 100 * task.failed_count / total
    return {"good": f"{good:.2f}%", "bad": f"{bad:.2f}%", "bad_from": f"{good:.2f}%"}


def _running(task: CollectionTask, live: list[dict[str, Any]]) -> dict[str, Any]:
    speed = pace(task)
    return {
        "rate": ""
        if speed.per_minute is None
        else f"{speed.per_minute:,.{0 if speed.per_minute >= 10 else 1}f}",
        "left": durations.format_estimate(speed.low, speed.high),
        "workers": system_status.describe_workers(live),
        "heartbeat": durations.format_age(task.heartbeat_at),
        "since": formatting.timestamp(task.start_time, seconds=False),
        "unattended": selectors.is_unattended(task),
    }


def _ended(task: CollectionTask) -> dict[str, Any]:
    return {
        "ended": formatting.timestamp(task.end_time),
        "duration": durations.format_duration(durations.task_duration(task)),
        "bars": formatting.number(task.collected_count),
        "reason": errors.reason(task.error_code) or task.error_message,
    }
