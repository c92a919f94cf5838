"""The overview's part on the running task, or on the last one if none runs."""

from typing import Any

from django.http import HttpRequest

from tasks_app import errors, lifecycle
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import system_status
from tasks_app.admin.tasks import columns, panels
from tasks_app.lifecycle import durations, selectors
from tasks_app.lifecycle.progress import estimate_pace
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.queue.dispatch import ClusterStatus


def build_current_task_context(request: HttpRequest) -> dict[str, Any]:
    """Takes three queries at most, besides two that read the user's permissions."""
    clusters = system_status.live_clusters()
    permissions = TaskPermissions.for_user(request.user)
    task = _current_task()
    if task and lifecycle.abandon_if_unattended(task):
        task = _current_task()
    context: dict[str, Any] = {"no_worker": not clusters, "may_start": permissions.start}
    if task is None:
        return {**context, "state": "new"}
    is_running = task.status == TaskStatus.RUNNING
    return {
        **context,
        "state": f"{formatting.short_id(task.pk)}-{task.status}",
        "task": task,
        "running": is_running,
        "label": columns.status_label(task),
        "link": formatting.task_link(task.pk),
        "url": formatting.task_url(task.pk),
        "scope": columns.scope(task),
        "sentence": panels.progress_sentence(task),
        "bar": panels.bar_segments(task),
        **panels.action_urls(task, permissions),
        **(_describe_running(task, clusters) if is_running else _describe_ended(task)),
    }


def _current_task() -> CollectionTask | None:
    """Returns the running task, else the one that was started last."""
    tasks = CollectionTask.objects.defer(*selectors.HEAVY_COLUMNS)
    running = tasks.filter(status=TaskStatus.RUNNING).first()
    return running or tasks.order_by("-start_time", "-id").first()


def _describe_running(task: CollectionTask, clusters: list[ClusterStatus]) -> dict[str, Any]:
    speed = estimate_pace(task)
    rate = speed.per_minute
    return {
        "rate": "" if rate is None else formatting.number(rate, 0 if rate >= 10 else 1),
        "left": durations.format_estimate(speed.low, speed.high),
        "workers": system_status.describe_workers(clusters),
        "heartbeat": durations.format_age(task.heartbeat_at),
        "since": formatting.timestamp(task.start_time, seconds=False),
        "unattended": selectors.is_unattended(task),
    }


def _describe_ended(task: CollectionTask) -> dict[str, Any]:
    return {
        "ended": formatting.timestamp(task.end_time),
        "duration": durations.format_duration(durations.task_duration(task)),
        "bars": formatting.number(task.collected_count),
        "reason": errors.translated_reason(task.error_code) or task.error_message,
    }
