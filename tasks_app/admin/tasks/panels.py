"""The live parts of the task page: head, notices, throughput, failures and events."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _, ngettext

from tasks_app import command_lines, reasons, time_zones
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.common.filters import TASK_PARAMETER
from tasks_app.admin.tasks import chain_panel, columns, events, throughput_chart
from tasks_app.lifecycle import comparisons, durations, progress, retention, selectors
from tasks_app.lifecycle.progress import Pace
from tasks_app.models import CollectionLane, CollectionTask, TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.quotes.findings import MAX_FINDINGS
from tasks_app.sentences import join_sentences, list_words
from tasks_app.throttle import status

PARTS = ("notices", "head", "chart", "failures", "events")
MAX_EVENTS, MAX_RETRIES = 50, 20


@dataclass(frozen=True)
class Step:
    """One step of the timeline.

    `stage` is done, now, held (by a pause) or ahead; of an ended task also stopped, or its tone.
    """

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
    url: str = ""  # of the list of what it is about


def build_panels_context(task: CollectionTask, may: TaskPermissions, now: datetime) -> dict[str, Any]:
    """Returns the context of the parts' templates as of `now`.

    It is bounded: 50 events, 20 retries, one group per kind of failure.
    """
    speed = progress.estimate_pace(task, now)
    newest_events = list(task.events.order_by("-id")[:MAX_EVENTS])
    retries = task.retries.order_by("-start_time")[:MAX_RETRIES]
    running = task.status == TaskStatus.RUNNING
    chain = chain_panel.build_chain_context(task)
    return {
        "task": task,
        "running": running,
        "label": columns.status_label(task),
        "synthetic": formatting.synthetic_badge(task.market),
        "status_template": f"admin/tasks_app/live/{task.status}.html",
        "sentence": progress_sentence(task),
        "outcome": outcome_sentence(task),
        "comparison": comparisons.describe_comparison(task),
        "differences_url": _findings_url(task, "differs") if task.differing_count else "",
        "most_listed": MAX_FINDINGS if task.differing_count > MAX_FINDINGS else 0,
        "steps": timeline(task, speed, now),
        "bar": bar_segments(task),
        "numbers": headline_counts(task, (chain["chain"] or {}).get("continued_by")),
        "per_minute": format_rate(task, speed),
        "left": _("paused") if task.paused_at else durations.format_estimate(speed.low, speed.high),
        "lanes": lane_states(task) if running else [],
        "waiting": formatting.number(task.total_stocks - task.processed_stocks),
        "lasted": durations.format_duration(durations.task_duration(task)) if task.end_time else "",
        "ended_by": next((e.user_name for e in newest_events if e.kind == EventKind.CANCELLED), ""),
        "reason": reasons.translated_reason(task.error_code),
        "notices": list(notices(task)),
        "chart": throughput_chart.build_chart(progress.throughput(task.pk, now=now)),
        "groups": list_failure_groups(task, newest_events),
        "events": [events.describe_event(event) for event in newest_events],
        "retries": [columns.summary_line(retry) for retry in retries],
        **chain,
        **action_urls(task, may),
    }


def action_urls(task: CollectionTask, may: TaskPermissions) -> dict[str, Any]:
    """Returns the addresses of the actions that the user may take now; "" for the others."""
    running = task.status == TaskStatus.RUNNING
    may_retry = may.retry and columns.can_be_retried(task)
    return {
        "cancel_url": formatting.task_url(task.pk, "cancel") if running and may.cancel else "",
        "pause_url": formatting.task_url(task.pk, "pause")
        if running and not task.paused_at and may.pause
        else "",
        "resume_url": formatting.task_url(task.pk, "resume") if task.paused_at and may.pause else "",
        "retry_url": formatting.task_url(task.pk, "retry") if may_retry else "",
        "retry_name": columns.retry_name(task),
        "again_url": columns.start_again_url(task) if may.start and not running else "",
    }


def progress_sentence(task: CollectionTask) -> str:
    """Returns the progress as text: "3,210 of 5,120 stocks (62%), 14 failed"."""
    if task.planned_at is None and task.total_stocks:
        text = (
            _("The plan was not completed.") if task.end_time else _("Planning, stocks so far: %(count)s …")
        )
        return text % {"count": formatting.number(task.total_stocks)}
    if task.planned_at is None:
        if task.status == TaskStatus.CANCELLED and not task.has_yielded:
            return _("Cancelled before the stock list was read.")
        return _("No stock list was read.") if task.end_time else _("Reading the stock list …")
    refused = ngettext(", %(count)s bar refused", ", %(count)s bars refused", task.refused_count)
    text = formatting.stocks_done(task.processed_stocks, task.total_stocks, task.progress, task.failed_count)
    return text + (refused % {"count": formatting.number(task.refused_count)} if task.refused_count else "")


def pause_sentence(task: CollectionTask) -> str:
    """Returns since when a task is paused, and by whom; "" for one that is not."""
    if task.paused_at is None:
        return ""
    text = _("Paused by %(user)s since %(time)s") if task.paused_by else _("Paused since %(time)s")
    since = time_zones.write(task.paused_at, seconds=True)
    return text % {"user": task.paused_by, "time": since}


def outcome_sentence(task: CollectionTask) -> str:
    """Returns what the outcome of a run without new bars means; "" for any other."""
    if task.outcome == TaskOutcome.NO_BARS:
        return _("No bar was stored, and none of these days had been stored before.")
    if task.outcome != TaskOutcome.NOTHING_NEW:
        return ""
    if not task.total_stocks:
        return str(reasons.NOTHING_LEFT) if task.full_collection_mode else _("There was no stock to collect.")
    return _("No bar was new: what the source has of these days had been stored before.")


def bar_segments(task: CollectionTask) -> dict[str, int]:
    """Returns the lengths of the progress bar's segments, of 1,000."""
    total = max(1, task.total_stocks)
    return {"succeeded": 1000 * task.success_count // total, "failed": -(-1000 * task.failed_count // total)}


def page_title(task: CollectionTask) -> str:
    """Returns the browser tab's title: progress or status first."""
    state = (
        formatting.percent(task.progress, 0)
        if task.status == TaskStatus.RUNNING
        else task.get_result_display()
    )
    if task.paused_at:
        state = f"{_('paused')} · {state}"
    return f"{state} · {formatting.short_id(task.pk)}"


def timeline(task: CollectionTask, speed: Pace, now: datetime) -> list[Step]:
    """Returns the steps started → planned → collecting → ended, each with its time."""
    running, planned = task.status == TaskStatus.RUNNING, task.planned_at is not None
    current = "held" if task.paused_at else "now"
    by = _("by %(user)s") % {"user": task.created_by} if task.created_by else ""
    stocks = ngettext("%(count)s stock", "%(count)s stocks", task.total_stocks)
    return [
        Step(_("started"), formatting.timestamp(task.start_time), by, "done", "play_arrow"),
        Step(
            _("planned"),
            formatting.timestamp(task.planned_at),
            stocks % {"count": formatting.number(task.total_stocks)} if planned else "",
            "done" if planned else current if running else "ahead",
            "list_alt",
        ),
        Step(
            (_("paused") if task.paused_at else _("collecting")) if running else _("collected"),
            formatting.percent(task.progress, 0),
            format_rate(task, speed),
            _collecting_stage(task, current),
            "pause_circle" if task.paused_at else "sync" if running else "download_done",
        ),
        _end_step(task, speed, now),
    ]


def _collecting_stage(task: CollectionTask, current: str) -> str:
    """Returns the stage of the step in which stocks are collected; `current` if that is going on."""
    if task.planned_at is None:
        return "ahead"
    if task.status == TaskStatus.RUNNING:
        return current
    return "done" if task.status == TaskStatus.COMPLETED else "stopped"


def _end_step(task: CollectionTask, speed: Pace, now: datetime) -> Step:
    if task.end_time is None:
        expected = _("expected") if speed.low is not None else ""
        return Step(_("end"), format_expected_end(speed, now), expected, "ahead", "flag")
    lasted = _("after %(time)s") % {"time": durations.format_duration(durations.task_duration(task))}
    tone, icon = formatting.task_style(task)
    return Step(task.get_result_display(), formatting.timestamp(task.end_time), lasted, tone, icon)


def format_rate(task: CollectionTask, speed: Pace) -> str:
    """Returns stocks per minute: recent while the task runs, overall once it has ended; "" while unknown."""
    value = speed.per_minute
    if task.end_time and task.planned_at and task.processed_stocks:
        value = task.processed_stocks * 60 / max(1.0, (task.end_time - task.planned_at).total_seconds())
    if value is None:
        return ""
    return _("%(rate)s stocks/min") % {"rate": formatting.number(value, 0 if value >= 10 else 1)}


def format_expected_end(speed: Pace, now: datetime) -> str:
    """Returns the expected end as a range of times in the reader's time zone."""
    if speed.low is None or speed.high is None:
        return formatting.EMPTY
    now = timezone.localtime(now)
    first, last = now + speed.low, now + speed.high
    pattern = "%H:%M" if last.date() == now.date() else "%m-%d %H:%M"
    first_text, last_text = first.strftime(pattern), last.strftime(pattern)
    text = first_text if first_text == last_text else f"{first_text} – {last_text}"
    return f"{text} {time_zones.current_name()}"


def lane_states(task: CollectionTask) -> list[dict[str, Any]]:
    """Returns the state of the task's lanes: busy, and on which worker, or waiting."""
    rows = CollectionLane.objects.filter(task_id=task.pk).order_by("number")
    now = timezone.now()
    return [
        {"busy": bool(row.begun and row.lease_until and row.lease_until > now), "worker": row.worker}
        for row in rows
    ]


def headline_counts(task: CollectionTask, continued_by: UUID | None = None) -> list[dict[str, Any]]:
    """Returns the counts in the page's head, each with a link to its items.

    What a task left to `continued_by` is no longer to come here: that task collects it.
    """
    waiting = task.total_stocks - task.processed_stocks
    left = str(ItemState.PENDING.label)
    if task.status == TaskStatus.RUNNING:
        left = _("not processed")
    elif continued_by:
        left = _("not collected")
    note = format_html(_("continued by task {}"), formatting.task_link(continued_by)) if continued_by else ""
    return [
        _count_of_items(task, _("stocks"), task.total_stocks),
        # The grid below counts the two apart.
        _count_of_items(task, _("succeeded or skipped"), task.success_count, state__in="succeeded,skipped"),
        _count_of_items(task, _("failed"), task.failed_count, state__exact=ItemState.FAILED),
        {
            **_count_of_items(task, left, waiting, state__in="pending,claimed"),
            "note": note if waiting else "",
        },
        {
            "name": _("bars collected"),
            "value": formatting.number(task.collected_count),
            "note": _bar_counts(task),
        },
    ]


def _count_of_items(task: CollectionTask, name: str, value: int, **query: str) -> dict[str, Any]:
    url = columns.items_url(task, **query) if value else ""
    return {"name": name, "value": formatting.number(value), "url": url}


def _bar_counts(task: CollectionTask) -> str:
    """Returns the other counts of bars that are not zero, as text."""
    counts = {
        _("%(count)s corrected"): task.corrected_count,
        _("%(count)s already stored"): task.skipped_count,
        _("%(count)s refused"): task.refused_count,
        _("%(count)s flagged"): task.flagged_count,
    }
    named = (text % {"count": formatting.number(count)} for text, count in counts.items() if count)
    return list_words(named, clauses=True)


def notices(task: CollectionTask) -> Iterator[Notice]:
    """Yields what is wrong, the worst first."""
    if (task.error_code or task.error_message) and not task.has_yielded:
        reason = reasons.explain(task.error_code, task.error_message)
        yield Notice("bad", _("Why it failed"), reason, task.error_code)
    if retention.is_being_deleted(task):
        text = _("It is older than the retention period. The collected bars are kept.")
        yield Notice("warn", _("This task is being deleted"), text)
    if task.yielding_at:
        yield Notice("warn", chain_panel.yield_sentence(task), chain_panel.describe_wait(task))
    if task.paused_at:
        text = _("No worker works on it, and the source gets no request. No other task starts meanwhile.")
        yield Notice("warn", pause_sentence(task), text)
    if selectors.is_unattended(task):
        bound = durations.format_duration(timedelta(seconds=settings.COLLECTOR.abandon_after))
        params = {"manage": command_lines.manage(), "bound": bound}
        text = _("Start one with “%(manage)s worker”. Without a worker the task fails after %(bound)s.")
        yield Notice("bad", _("No worker is processing this task"), text % params)
    if repeated := selectors.repeated_stock_list(task):
        yield Notice("warn", _("The stock list could not be read yet"), repeated)
    yield from _source_notices(task)
    yield from _data_notices(task)


def _source_notices(task: CollectionTask) -> Iterator[Notice]:
    if task.status != TaskStatus.RUNNING or not (limiter := status.status_of(task.source)).is_blocked:
        return
    name = _("The source “%(source)s” is paused") % {"source": task.source}
    until = time_zones.write(limiter.paused_until, seconds=True) if limiter.paused_until else ""
    text = _("The task waits and continues automatically at %(time)s; nothing is lost.")
    if limiter.refusal_code:  # a task without another source has failed
        text = _("It refuses every request. Its stocks go to the next source; at %(time)s it is asked again.")
    text %= {"time": until}
    yield Notice("warn", name, join_sentences(limiter.reason, text))


def _data_notices(task: CollectionTask) -> Iterator[Notice]:
    if task.unknown_codes:
        many = len(task.unknown_codes)
        text = ngettext("%(count)s code is unknown", "%(count)s codes are unknown", many)
        codes = columns.shorten_codes(task.unknown_codes)
        yield Notice("warn", text % {"count": formatting.number(many)}, codes)
    if task.refused_count:
        text = ngettext("%(count)s bar was refused", "%(count)s bars were refused", task.refused_count)
        why = _("They failed validation and were not stored. Their values are kept.")
        title, url = text % {"count": formatting.number(task.refused_count)}, _findings_url(task, "refused")
        yield Notice("warn", title, why, url=url)
    if task.flagged_count:
        text = ngettext("%(count)s bar was flagged", "%(count)s bars were flagged", task.flagged_count)
        yield Notice(
            "warn",
            text % {"count": formatting.number(task.flagged_count)},
            _("They look implausible, but are stored."),
            url=_findings_url(task, "flagged"),
        )
    if task.uncompared_count:
        text = ngettext(
            "%(count)s stock was not compared", "%(count)s stocks were not compared", task.uncompared_count
        )
        why = _("Their bars could not be compared with those of “%(source)s”. Each stock says why.")
        yield Notice(
            "warn",
            text % {"count": formatting.number(task.uncompared_count)},
            why % {"source": task.verify_with},
            url=columns.items_url(task, not_compared__isnull=False),
        )
    if task.corrected_count:
        text = ngettext(
            "%(count)s stored bar was corrected", "%(count)s stored bars were corrected", task.corrected_count
        )
        yield Notice(
            "warn",
            text % {"count": formatting.number(task.corrected_count)},
            _("The source sends other values now. The values before are kept."),
            url=formatting.admin_url("correction", **{TASK_PARAMETER: task.pk}),
        )


def _findings_url(task: CollectionTask, kind: str) -> str:
    return formatting.admin_url("finding", **{TASK_PARAMETER: task.pk, "kind__exact": kind})


def list_failure_groups(task: CollectionTask, newest_events: list[TaskEvent]) -> list[dict[str, Any]]:
    """Returns the kinds of failures, each with the last task that retried it."""
    retries = [event.params for event in reversed(newest_events) if event.kind == EventKind.RETRIED]
    by = {params.get("error_code", ""): params["by"] for params in retries}  # "" retried all kinds
    groups = selectors.error_groups(task.pk)
    return [failure_group(task, group, by.get(group["error_code"]) or by.get("", "")) for group in groups]


def failure_group(task: CollectionTask, failures: dict[str, Any], retried_by: str) -> dict[str, Any]:
    """Returns a kind of failure with its stocks, the link to retry them, and the task that did so."""
    code, many = failures["error_code"], failures["count"]
    retry = ngettext("Retry this one", "Retry these %(count)s", many) % {"count": formatting.number(many)}
    return {
        **failures,
        "reason": reasons.translated_reason(code),
        "url": columns.items_url(task, state__exact=ItemState.FAILED, error_code=code),
        "retry_url": formatting.task_url(task.pk, "retry", error_code=code) if code else "",
        "retry": retry,
        "retried_in": formatting.task_link(UUID(retried_by)) if retried_by else "",
        "first_seen": formatting.timestamp(failures["first_seen"]),
        "last_seen": formatting.timestamp(failures["last_seen"]),
        "count": formatting.number(many),
        "more": many > len(failures["sample_codes"]),
    }
