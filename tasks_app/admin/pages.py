"""What a task shows of itself: its cells, and on its own page failures, items, events and retries."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks_app import errors, selectors
from tasks_app.admin import durations, show
from tasks_app.admin.crumbs import Crumb
from tasks_app.admin.filters import TASK
from tasks_app.models import CollectionTask, TaskEvent
from tasks_app.models.tasks import ItemState, TaskStatus

TASKS = gettext_lazy("Tasks")
CODES, EVENTS, RETRIES = 12, 50, 20
MODES = {
    "test_mode": gettext_lazy("test mode"),
    "full_collection_mode": gettext_lazy("full collection mode"),
    "force_update": gettext_lazy("force update"),
}

# ---------------------------------------------------------------- cells


def label(task: CollectionTask) -> SafeString:
    return show.label(task.status, task.get_status_display())


def failed(task: CollectionTask) -> SafeString | str:
    """The number of failures, which leads to them."""
    text = show.number(task.failed_count)
    return show.link(items_url(task, state__exact=ItemState.FAILED), text) if task.failed_count else text


def scope(task: CollectionTask) -> SafeString:
    """Market, source and days."""
    return show.two_lines(f"{task.market} · {task.source}", show.days(task.start_date, task.end_date))


def started(task: CollectionTask) -> SafeString:
    """When, and by whom."""
    by = _("by %(user)s") % {"user": task.created_by} if task.created_by else show.NOTHING
    return show.two_lines(show.moment(task.start_time, seconds=False), by)


def duration(task: CollectionTask) -> SafeString:
    return show.unbroken(durations.in_words(durations.of(task)))


def codes(task: CollectionTask) -> str:
    return few(task.stock_codes) if task.stock_codes else _("all of the market")


def few(codes: list[str]) -> str:
    """The first codes, and how many there are when these are not all."""
    shown = ", ".join(codes[:CODES]) or show.NOTHING
    if len(codes) <= CODES:
        return shown
    return _("%(codes)s … (%(count)s in all)") % {"codes": shown, "count": show.number(len(codes))}


def modes(task: CollectionTask) -> str:
    return ", ".join(str(name) for mode, name in MODES.items() if getattr(task, mode)) or show.NOTHING


def retried_from(task: CollectionTask) -> SafeString | str:
    return show.task_link(task.retry_of_id) if task.retry_of_id else show.NOTHING


def line(task: CollectionTask) -> SafeString:
    """A task in one line, linked."""
    return format_html(
        "{} {} <span>{} · {} · {}</span> <span>{}%</span>",
        show.task_link(task.pk),
        label(task),
        task.market,
        task.source,
        show.days(task.start_date, task.end_date),
        task.progress,
    )


# ---------------------------------------------------------------- the page


def about(task: CollectionTask) -> dict[str, Any]:
    """The context of the task's page. Bounded: the last 50 events, the last 20 retries."""
    return {
        "crumbs": [Crumb(TASKS, show.url("collectiontask")), Crumb(show.short(task.pk))],
        "label": label(task),
        "progress": show.progress(task),
        "numbers": _numbers(task),
        "groups": [_group(task, group) for group in selectors.error_groups(task.pk)],
        "events": [_event(event) for event in task.events.order_by("-id")[:EVENTS]],
        "retries": [line(retry) for retry in task.retries.order_by("-start_time")[:RETRIES]],
        "reason": errors.reason(task.error_code),
        "unattended": selectors.is_unattended(task),
        "abandon_after": durations.in_words(timedelta(seconds=settings.COLLECTOR.abandon_after)),
        "retry_url": show.url("collectiontask", "retry", task.pk),
        "cancel_url": show.url("collectiontask", "cancel", task.pk),
    }


def is_left(task: CollectionTask) -> bool:
    """True if a retry of the ended task has something to do."""
    unfinished = task.planned_at is None or task.success_count < task.total_stocks
    return task.status != TaskStatus.RUNNING and unfinished


def items_url(task: CollectionTask, **query: Any) -> str:
    """The task's items, narrowed by the query."""
    return show.url("collectionitem", **{TASK: task.pk, **query})


def _numbers(task: CollectionTask) -> list[dict[str, Any]]:
    """The counts in the page's head, each with the items it counts behind it."""
    waiting = task.total_stocks - task.processed_stocks
    return [
        _number(_("stocks"), task.total_stocks, items_url(task)),
        _number(_("succeeded"), task.success_count, items_url(task, state__in="succeeded,skipped")),
        _number(_("failed"), task.failed_count, items_url(task, state__exact=ItemState.FAILED)),
        _number(_("not processed"), waiting, items_url(task, state__in="pending,claimed")),
        _number(_("bars collected"), task.collected_count, ""),
    ]


def _number(name: str, value: int, url: str) -> dict[str, Any]:
    return {"name": name, "value": show.number(value), "url": url if value else ""}


def _group(task: CollectionTask, group: dict[str, Any]) -> dict[str, Any]:
    code = group["error_code"]
    return {
        **group,
        "reason": errors.reason(code),
        "url": items_url(task, state__exact=ItemState.FAILED, error_code=code),
        "retry_url": show.url("collectiontask", "retry", task.pk, error_code=code),
        "last_seen": show.moment(group["last_seen"]),
        "count": show.number(group["count"]),
        "more": group["count"] > len(group["sample_codes"]),
    }


def _event(event: TaskEvent) -> dict[str, Any]:
    return {
        "at": show.moment(event.at),
        "kind": event.get_kind_display(),
        "user": event.user_name or show.NOTHING,
        "channel": event.get_channel_display(),
        "params": list(_flat(event.params).items()),
    }


def _flat(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that say something, those of an order unwrapped, long lists cut."""
    flat = {**params.get("order", {}), **{key: value for key, value in params.items() if key != "order"}}
    return {key: _brief(value) for key, value in flat.items() if value not in (None, "", [], False)}


def _brief(value: Any) -> Any:
    return few([str(part) for part in value]) if isinstance(value, list) else value
