"""The overview's part on the running task, or on the last one if none runs."""

from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import command_lines, lifecycle, reasons
from tasks_app.admin.access.permissions import VIEW_QUEUE, TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import system_status
from tasks_app.admin.tasks import chain_panel, columns, panels
from tasks_app.lifecycle import chains, durations, order_queue, selectors
from tasks_app.lifecycle.progress import estimate_pace
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.notices import lost_workers
from tasks_app.queue import dispatch
from tasks_app.queue.dispatch import ClusterStatus


def build_current_task_context(request: HttpRequest) -> dict[str, Any]:
    """Takes four queries at most, besides two that read the user's permissions."""
    clusters = dispatch.live_clusters()
    if not clusters:
        lost_workers.report()
    permissions = TaskPermissions.for_user(request.user)
    task = _current_task()
    if task and lifecycle.abandon_if_unattended(task):
        task = _current_task()
    context: dict[str, Any] = {
        "no_worker": not clusters,
        "manage": command_lines.manage(),
        "may_start": permissions.start,
    }
    if task is None:
        return {**context, "state": "new"}
    is_running = task.status == TaskStatus.RUNNING
    chain = chains.chains_of([task]).get(task.pk)
    return {
        **context,
        "state": f"{formatting.short_id(task.pk)}-{task.status}",
        "task": task,
        "running": is_running,
        "label": columns.status_label(task),
        "synthetic": formatting.synthetic_badge(task.market),
        "link": formatting.task_link(task.pk),
        "url": formatting.task_url(task.pk),
        "scope": columns.scope(task),
        "sentence": panels.progress_sentence(task),
        "whole_run": chain_panel.progress_sentence(chain) if chain else "",
        "bar": panels.bar_segments(task),
        **panels.action_urls(task, permissions),
        "numbers": _running_numbers(task, clusters) if is_running else _final_numbers(task),
        "reason": reasons.translated_reason(task.error_code)
        or task.error_message
        or panels.pause_sentence(task)
        or chain_panel.yield_sentence(task)
        or panels.outcome_sentence(task),
        "waiting": _waiting_orders() if request.user.has_perm(VIEW_QUEUE) else "",
    }


def _current_task() -> CollectionTask | None:
    """Returns the running task, else the one that was started last."""
    tasks = CollectionTask.objects.defer(*selectors.HEAVY_COLUMNS)
    running = tasks.filter(status=TaskStatus.RUNNING).first()
    return running or tasks.order_by("-start_time", "-id").first()


def _waiting_orders() -> SafeString | str:
    """Returns how many orders wait in the queue, with a link to them; "" if none does."""
    count = order_queue.waiting().count()
    if not count:
        return ""
    text = ngettext("%(count)s order waits in the queue.", "%(count)s orders wait in the queue.", count)
    return formatting.link(formatting.admin_url("queuedorder"), text % {"count": formatting.number(count)})


def _running_numbers(task: CollectionTask, clusters: list[ClusterStatus]) -> list[tuple[str, Any]]:
    speed = estimate_pace(task)
    rate = speed.per_minute
    left = durations.format_estimate(speed.low, speed.high) or _("unknown")
    activity: Any = durations.format_age(task.heartbeat_at)
    if selectors.is_unattended(task):
        activity = format_html('<span class="sd-alarm">{}</span>', activity)
    return [
        (_("Stocks per minute"), formatting.number(rate, 0 if rate is None or rate >= 10 else 1)),
        (_("Time left"), _("paused") if task.paused_at else left),
        (_("Active workers"), system_status.describe_workers(clusters)),
        (_("Last activity"), activity),
        (_("Running since"), formatting.timestamp(task.start_time, seconds=False)),
    ]


def _final_numbers(task: CollectionTask) -> list[tuple[str, Any]]:
    return [
        (_("Bars collected"), formatting.number(task.collected_count)),
        (_("Duration"), durations.format_duration(durations.task_duration(task))),
        (_("Ended at"), formatting.timestamp(task.end_time)),
    ]
