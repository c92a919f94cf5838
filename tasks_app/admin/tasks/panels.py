"""The parts of a task's page that move: its head, notices, throughput, failures and events."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import columns, events as happenings, throughput_chart
from tasks_app.lifecycle import durations, progress, retention, selectors
from tasks_app.lifecycle.progress import Pace
from tasks_app.models import CollectionLane, CollectionTask
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.models.tasks import EventKind
from tasks_app.throttle import status

PARTS = ("notices", "head", "chart", "failures", "events")
EVENTS, RETRIES = 50, 20


@dataclass(frozen=True)
class Step:
    """One station of the task's way; `stage` is done, now or ahead."""

    name: Any
    at: Any
    note: Any
    stage: str
    icon: str


@dataclass(frozen=True)
class Notice:
    """Something that the reader should know; `tone` is bad or warn."""

    tone: str
    title: Any
    text: Any
    code: str = ""


def about(task: CollectionTask, may: TaskPermissions, now: datetime) -> dict[str, Any]:
    """What the parts' templates draw, as of `now`.

    Bounded: 50 events, 20 retries, as many groups as kinds of failure.
    """
    speed = progress.pace(task, now)
    events = list(task.events.order_by("-id")[:EVENTS])
    running = task.status == TaskStatus.RUNNING
    return {
        "task": task,
        "running": running,
        "label": columns.label(task),
        "status_template": f"admin/tasks_app/live/{task.status}.html",
        "sentence": sentence(task),
        "steps": steps(task, speed, now),
        "bar": bar(task),
        "numbers": numbers(task),
        "per_minute": rate(task, speed),
        "left": durations.format_estimate(speed.low, speed.high),
        "lanes": lanes(task) if running else [],
        "waiting": formatting.number(task.total_stocks - task.processed_stocks),
        "lasted": durations.format_duration(durations.task_duration(task)) if task.end_time else "",
        "ended_by": next((e.user_name for e in events if e.kind == EventKind.CANCELLED), ""),
        "reason": errors.reason(task.error_code),
        "notices": list(notices(task)),
        "chart": throughput_chart.build_chart(progress.throughput(task.pk, now=now)),
        "groups": [group(task, found) for found in selectors.error_groups(task.pk)],
        "events": [happenings.told(event) for event in events],
        "retries": [columns.line(retry) for retry in task.retries.order_by("-start_time")[:RETRIES]],
        **verbs(task, may),
    }


def verbs(task: CollectionTask, may: TaskPermissions) -> dict[str, Any]:
    """The addresses of what may be done now; an empty one for what may not."""
    running = task.status == TaskStatus.RUNNING
    again = may.start and not running
    return {
        "cancel_url": formatting.task_url(task.pk, "cancel") if running and may.cancel else "",
        "retry_url": formatting.task_url(task.pk, "retry") if columns.is_left(task) and may.retry else "",
        "again_url": columns.again_url(task) if again else "",
    }


def sentence(task: CollectionTask) -> str:
    """How far the task is, honestly: "3,210 of 5,120 stocks (62 %), 14 failed"."""
    if task.planned_at is None:
        return _("No stock list was read.") if task.end_time else _("Reading the stock list …")
    text = ngettext(
        "%(done)s of %(total)s stock (%(percent)d %%), %(failed)s failed",
        "%(done)s of %(total)s stocks (%(percent)d %%), %(failed)s failed",
        task.total_stocks,
    )
    return text % {
        "done": formatting.number(task.processed_stocks),
        "total": formatting.number(task.total_stocks),
        "percent": task.progress,
        "failed": formatting.number(task.failed_count),
    }


def bar(task: CollectionTask) -> dict[str, int]:
    """The lengths of the bar's parts, of 1,000."""
    total = max(1, task.total_stocks)
    return {"succeeded": 1000 * task.success_count // total, "failed": -(-1000 * task.failed_count // total)}


def title(task: CollectionTask) -> str:
    """The tab's title: readable from afar."""
    state = f"{task.progress} %" if task.status == TaskStatus.RUNNING else task.get_status_display()
    return f"{state} · {formatting.short_id(task.pk)}"


def steps(task: CollectionTask, speed: Pace, now: datetime) -> list[Step]:
    """Started → planned → collecting → ended, each with its time."""
    running, planned = task.status == TaskStatus.RUNNING, task.planned_at is not None
    by = _("by %(user)s") % {"user": task.created_by} if task.created_by else ""
    stocks = ngettext("%(count)s stock", "%(count)s stocks", task.total_stocks)
    return [
        Step(_("started"), formatting.timestamp(task.start_time), by, "done", "play_arrow"),
        Step(
            _("planned"),
            formatting.timestamp(task.planned_at),
            stocks % {"count": formatting.number(task.total_stocks)} if planned else "",
            "done" if planned else "now" if running else "ahead",
            "list_alt",
        ),
        Step(
            _("collecting") if running else _("collected"),
            f"{task.progress} %",
            rate(task, speed),
            "now" if running and planned else "done" if planned else "ahead",
            "sync",
        ),
        _last(task, speed, now),
    ]


def _last(task: CollectionTask, speed: Pace, now: datetime) -> Step:
    if task.end_time is None:
        expected = _("expected") if speed.low is not None else ""
        return Step(_("end"), ends(speed, now), expected, "ahead", "flag")
    lasted = _("after %(time)s") % {"time": durations.format_duration(durations.task_duration(task))}
    icon = formatting.STATUS_STYLES[task.status][1]
    return Step(task.get_status_display(), formatting.timestamp(task.end_time), lasted, "done", icon)


def rate(task: CollectionTask, speed: Pace) -> str:
    """Stocks per minute: of late while it runs, overall once it has ended. Empty while unknown."""
    value = speed.per_minute
    if task.end_time and task.planned_at and task.processed_stocks:
        value = task.processed_stocks * 60 / max(1.0, (task.end_time - task.planned_at).total_seconds())
    if value is None:
        return ""
    return _("%(rate)s stocks/min") % {"rate": formatting.number(value, 0 if value >= 10 else 1)}


def ends(speed: Pace, now: datetime) -> str:
    """When it may end, as a range of clock times in the site's time zone."""
    if speed.low is None or speed.high is None:
        return formatting.EMPTY
    now = timezone.localtime(now)
    first, last = now + speed.low, now + speed.high
    written = "%H:%M" if last.date() == now.date() else "%m-%d %H:%M"
    first_text, last_text = first.strftime(written), last.strftime(written)
    return first_text if first_text == last_text else f"{first_text} – {last_text}"


def lanes(task: CollectionTask) -> list[dict[str, Any]]:
    """The task's lanes: at work, and on which worker, or waiting."""
    rows = CollectionLane.objects.filter(task_id=task.pk).order_by("number")
    now = timezone.now()
    return [
        {"busy": bool(row.begun and row.lease_until and row.lease_until > now), "worker": row.worker}
        for row in rows
    ]


def numbers(task: CollectionTask) -> list[dict[str, Any]]:
    """The counts in the page's head, each with the items it counts behind it."""
    waiting = task.total_stocks - task.processed_stocks
    stored = task.collected_count + task.corrected_count
    return [
        _number(_("stocks"), task.total_stocks, columns.items_url(task)),
        _number(_("succeeded"), task.success_count, columns.items_url(task, state__in="succeeded,skipped")),
        _number(_("failed"), task.failed_count, columns.items_url(task, state__exact=ItemState.FAILED)),
        _number(_("not processed"), waiting, columns.items_url(task, state__in="pending,claimed")),
        _number(_("bars collected"), stored, "", _bars(task)),
    ]


def _number(name: str, value: int, url: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": formatting.number(value), "url": url if value else "", "note": note}


def _bars(task: CollectionTask) -> str:
    """What else became of bars, so far as anything did."""
    counts = {
        _("%(count)s corrected"): task.corrected_count,
        _("%(count)s already stored"): task.skipped_count,
        _("%(count)s refused"): task.refused_count,
        _("%(count)s doubtful"): task.flagged_count,
    }
    return ", ".join(text % {"count": formatting.number(count)} for text, count in counts.items() if count)


def notices(task: CollectionTask) -> Iterator[Notice]:
    """What is wrong or odd, the worst first."""
    if task.error_code or task.error_message:
        sentences = filter(None, (errors.reason(task.error_code), task.error_message))
        yield Notice("bad", _("Why it failed"), " ".join(sentences), task.error_code)
    if retention.is_going(task):
        text = _("It ended longer ago than tasks are kept. What it collected stays.")
        yield Notice("warn", _("This task is being deleted"), text)
    if selectors.is_unattended(task):
        bound = durations.format_duration(timedelta(seconds=settings.COLLECTOR.abandon_after))
        text = _("Start one with “python manage.py worker”. Without a worker the task fails after %(bound)s.")
        yield Notice("bad", _("No worker is at work on this task"), text % {"bound": bound})
    yield from _of_the_source(task)
    yield from _of_the_data(task)


def _of_the_source(task: CollectionTask) -> Iterator[Notice]:
    if task.status != TaskStatus.RUNNING or not (gate := status.status_of(task.source)).is_blocked:
        return
    name = _("The source “%(source)s” is paused") % {"source": task.source}
    until = f"{timezone.localtime(gate.paused_until):%Y-%m-%d %H:%M:%S}"
    text = _("The task waits and goes on by itself at %(time)s; nothing is lost.") % {"time": until}
    yield Notice("warn", name, f"{gate.reason} {text}")


def _of_the_data(task: CollectionTask) -> Iterator[Notice]:
    if task.unknown_codes:
        many = len(task.unknown_codes)
        text = ngettext("%(count)s code is unknown", "%(count)s codes are unknown", many)
        yield Notice("warn", text % {"count": formatting.number(many)}, columns.few(task.unknown_codes))
    if task.refused_count:
        text = ngettext("%(count)s bar was refused", "%(count)s bars were refused", task.refused_count)
        why = _("The checks found them wrong; they were not stored. The stocks' own pages say which and why.")
        yield Notice("warn", text % {"count": formatting.number(task.refused_count)}, why)
    if task.flagged_count:
        text = ngettext("%(count)s bar is doubtful", "%(count)s bars are doubtful", task.flagged_count)
        yield Notice(
            "warn", text % {"count": formatting.number(task.flagged_count)}, _("Stored, and marked.")
        )


def group(task: CollectionTask, found: dict[str, Any]) -> dict[str, Any]:
    """A kind of failure, with the stocks it befell and the way to try them again."""
    code, many = found["error_code"], found["count"]
    retry = ngettext("Retry this one", "Retry these %(count)s", many) % {"count": formatting.number(many)}
    return {
        **found,
        "reason": errors.reason(code),
        "url": columns.items_url(task, state__exact=ItemState.FAILED, error_code=code),
        "retry_url": formatting.task_url(task.pk, "retry", error_code=code) if code else "",
        "retry": retry,
        "first_seen": formatting.timestamp(found["first_seen"]),
        "last_seen": formatting.timestamp(found["last_seen"]),
        "count": formatting.number(many),
        "more": many > len(found["sample_codes"]),
    }
