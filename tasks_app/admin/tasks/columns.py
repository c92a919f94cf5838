"""What a task shows of itself: its cells in lists and fields, its line in questions, the way to its items."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.admin.common import formatting
from tasks_app.admin.common.filters import TASK_PARAMETER
from tasks_app.lifecycle import durations
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState, TaskStatus

TASKS = gettext_lazy("Tasks")
START = "admin:start"
CODES = 12
MODES = {
    "test_mode": gettext_lazy("test mode"),
    "full_collection_mode": gettext_lazy("full collection mode"),
    "force_update": gettext_lazy("force update"),
}


def label(task: CollectionTask) -> SafeString:
    return formatting.status_badge(task.status, task.get_status_display())


def failed(task: CollectionTask) -> SafeString | str:
    """The number of failures, which leads to them."""
    text = formatting.number(task.failed_count)
    return (
        formatting.link(items_url(task, state__exact=ItemState.FAILED), text) if task.failed_count else text
    )


def scope(task: CollectionTask) -> SafeString:
    """Market, source and days."""
    return formatting.two_lines(
        f"{task.market} · {task.source}", formatting.date_range(task.start_date, task.end_date)
    )


def started(task: CollectionTask) -> SafeString:
    """When, and by whom."""
    by = _("by %(user)s") % {"user": task.created_by} if task.created_by else formatting.EMPTY
    return formatting.two_lines(formatting.timestamp(task.start_time, seconds=False), by)


def duration(task: CollectionTask) -> SafeString:
    return formatting.nowrap(durations.format_duration(durations.task_duration(task)))


def codes(task: CollectionTask) -> str:
    return few(task.stock_codes) if task.stock_codes else _("all of the market")


def few(codes: list[str]) -> str:
    """The first codes, and how many there are when these are not all."""
    shown = ", ".join(codes[:CODES]) or formatting.EMPTY
    if len(codes) <= CODES:
        return shown
    return _("%(codes)s … (%(count)s in all)") % {"codes": shown, "count": formatting.number(len(codes))}


def modes(task: CollectionTask) -> str:
    return ", ".join(str(name) for mode, name in MODES.items() if getattr(task, mode)) or formatting.EMPTY


def retried_from(task: CollectionTask) -> SafeString | str:
    """The task that this one tries again, which may have been pruned meanwhile."""
    if not task.retry_of_id:
        return formatting.EMPTY
    is_kept = CollectionTask.objects.filter(pk=task.retry_of_id).exists()
    return formatting.task_link(task.retry_of_id) if is_kept else formatting.deleted_task(task.retry_of_id)


def line(task: CollectionTask) -> SafeString:
    """A task in one line, linked."""
    return format_html(
        "{} {} <span>{} · {} · {}</span> <span>{}%</span>",
        formatting.task_link(task.pk),
        label(task),
        task.market,
        task.source,
        formatting.date_range(task.start_date, task.end_date),
        task.progress,
    )


def is_left(task: CollectionTask) -> bool:
    """True if a retry of the ended task has something to do."""
    unfinished = task.planned_at is None or task.success_count < task.total_stocks
    return task.status != TaskStatus.RUNNING and unfinished


def items_url(task: CollectionTask, **query: Any) -> str:
    """The task's items, narrowed by the query."""
    return formatting.admin_url("collectionitem", **{TASK_PARAMETER: task.pk, **query})


def again_url(task: CollectionTask) -> str:
    """The start form, filled in as this task was started."""
    return f"{reverse(START)}?{urlencode({'from': task.pk})}"
