"""Formats values for pages: badges, links, numbers, times. Colours only repeat what the text says."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import time_zones
from tasks_app.conf import SYNTHETIC_MARKET
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus

EMPTY = "–"
_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)")
STATUS_STYLES: Mapping[str, tuple[str, str]] = {
    TaskStatus.RUNNING: ("info", "sync"),
    TaskOutcome.COMPLETE: ("good", "check_circle"),
    TaskOutcome.WITH_FAILURES: ("warn", "error_outline"),
    TaskOutcome.NOTHING_NEW: ("same", "done_all"),
    TaskOutcome.NO_BARS: ("none", "inbox"),
    TaskStatus.FAILED: ("bad", "error"),
    TaskStatus.CANCELLED: ("plain", "block"),
    ItemState.PENDING: ("plain", "schedule"),
    ItemState.CLAIMED: ("info", "sync"),
    ItemState.SUCCEEDED: ("good", "check_circle"),
    ItemState.SKIPPED: ("plain", "skip_next"),
}


class Breadcrumb(NamedTuple):
    """One step of the trail in the page's head. The last step has no link."""

    title: Any
    link: str = ""


def short_id(task_id: UUID) -> str:
    """Returns the first eight digits of an id, which the task list's search finds."""
    return str(task_id)[:8]


def badge(tone: str, icon: str, text: Any) -> SafeString:
    """Returns a coloured word with an icon; `tone` is good, same, none, info, warn, bad or plain."""
    return format_html(
        '<span class="sc-label sc-{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        icon,
        text,
    )


def synthetic_badge(market: str) -> SafeString | str:
    """Returns the mark of made-up quotes, "" in a market of real ones."""
    return badge("warn", "science", _("synthetic data")) if market == SYNTHETIC_MARKET else ""


def status_badge(status: str, text: Any) -> SafeString:
    """Returns the state of an item, or the status or outcome of a task, as a badge."""
    return badge(*STATUS_STYLES.get(status, ("plain", "help")), text)


def task_style(task: CollectionTask) -> tuple[str, str]:
    """Returns the tone and the icon of the task's status; those of its outcome if it is completed.

    A task that is paused, yields or has yielded has its own.
    """
    if task.has_yielded:
        return "plain", "skip_next"
    if task.yielding_at:
        return "warn", "schedule"
    return ("warn", "pause_circle") if task.paused_at else STATUS_STYLES[task.outcome or task.status]


def stocks_done(done: int, total: int, percentage: int, failed: int) -> str:
    """Returns the progress of a task or of a chain as text: "3,210 of 5,120 stocks (62%), 14 failed"."""
    text = ngettext(
        "%(done)s of %(total)s stock (%(percent)s), %(failed)s failed",
        "%(done)s of %(total)s stocks (%(percent)s), %(failed)s failed",
        total,
    )
    return text % {
        "done": number(done),
        "total": number(total),
        "percent": percent(percentage, 0),
        "failed": number(failed),
    }


def progress_bar(task: CollectionTask) -> SafeString:
    """Returns a bar, the percentage, and the processed stocks of all."""
    done = f"{number(task.processed_stocks)}/{number(task.total_stocks)}"
    return format_html(
        '<span class="sc-progress sc-{}"><progress max="100" value="{}" aria-label="{}"></progress>'
        "<span><b>{}</b> {}</span></span>",
        task_style(task)[0],
        task.progress,
        _("progress"),
        percent(task.progress, 0),
        done,
    )


def number(value: float | None, places: int = 0) -> str:
    """Returns the number with grouped thousands, the notation of both English and Chinese finance."""
    return EMPTY if value is None else f"{value:,.{places}f}"


def date_range(first: date, last: date) -> SafeString:
    """Returns a range of days as ISO dates, which read the same everywhere; it may break at the dash."""
    return format_html('<span class="sc-nowrap">{} – <span class="sc-nowrap">{}</span></span>', first, last)


def timestamp(value: datetime | None, *, seconds: bool = True, names_zone: bool = True) -> SafeString | str:
    """Returns the time in the reader's time zone, with the zone's name if another one beside it has none."""
    if value is None:
        return EMPTY
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" title="{}">{}{}</time>',
        local.isoformat(timespec="seconds"),
        f"{local:%Y-%m-%d %H:%M:%S%z} {timezone.get_current_timezone_name()}",
        f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}",
        format_html(" <span>{}</span>", time_zones.current_name()) if names_zone else "",
    )


def time_until(value: datetime, now: datetime) -> str:
    """Returns how far a time is from now, in its largest unit: "in 3 hours"; "due now" once it has passed."""
    seconds = (value - now).total_seconds()
    if seconds <= 0:
        return _("due now")
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3600, 86400))
    if minutes < 1:
        return _("in less than a minute")
    if minutes < 60:
        return ngettext("in %(count)s minute", "in %(count)s minutes", minutes) % {"count": minutes}
    if hours < 24:
        return ngettext("in %(count)s hour", "in %(count)s hours", hours) % {"count": hours}
    return ngettext("in %(count)s day", "in %(count)s days", days) % {"count": days}


def icon(name: str) -> SafeString:
    """Returns one of the theme's icons, which only repeats the text beside it."""
    return format_html('<span class="material-symbols-outlined" aria-hidden="true">{}</span>', name)


def start_and_end(start: datetime | None, end: datetime | None) -> SafeString:
    """Returns two times, one above the other."""
    return two_lines(timestamp(start), timestamp(end))


def two_lines(first: Any, second: Any) -> SafeString:
    """Returns a value with secondary text below it."""
    return format_html('<span class="sc-two">{}<small>{}</small></span>', first, second)


def admin_url(model: str, page: str = "changelist", /, *args: Any, **query: Any) -> str:
    """Returns the URL of an admin page, such as `admin_url("dailybar", q="AAPL")`.

    The query may come from a request: it may have any names, also `model` and `page`.
    """
    address = reverse(f"admin:tasks_app_{model}_{page}", args=args)
    return f"{address}?{urlencode(query)}" if query else address


def task_url(task_id: UUID, page: str = "change", /, **query: Any) -> str:
    """Returns the URL of the task's page, or of an action: `task_url(task.pk, "cancel")`."""
    return admin_url("collectiontask", page, task_id, **query)


def link(address: str, text: Any) -> SafeString:
    """Returns a styled link."""
    return format_html('<a href="{}" class="sc-link">{}</a>', address, text)


def task_link(task_id: UUID) -> SafeString:
    """Returns a link to the task, labelled with its short id."""
    return format_html(
        '<a href="{}" class="sc-link sc-mono" title="{}">{}</a>',
        task_url(task_id),
        task_id,
        short_id(task_id),
    )


def deleted_task(task_id: UUID | None = None) -> SafeString:
    """Returns what stands in place of a link to a deleted task: its id where it is still known."""
    text = _("%(task)s (deleted)") % {"task": short_id(task_id)} if task_id else _("deleted")
    title = _("The task was deleted because of its age. The bars that it collected are kept.")
    return format_html('<span class="sc-quiet" title="{}">{}</span>', title, text)


def stock_url(market: str, code: str, **query: str) -> str:
    """Returns the URL of the stock's page. The stock's id is looked up when the link is followed."""
    address = reverse("admin:tasks_app_stock_of", args=[market, code])
    return f"{address}?{urlencode(query)}" if any(query.values()) else address


def nowrap(text: str) -> SafeString:
    """Returns text that stays on one line."""
    return format_html('<span class="sc-nowrap">{}</span>', text)


def keep_days(text: str) -> SafeString:
    """Returns a sentence whose days stay on one line each."""
    parts = ((nowrap(part) if n % 2 else part,) for n, part in enumerate(_DAYS.split(text)))
    return format_html_join("", "{}", parts)


def price(value: float | None, places: int = 2) -> str:
    """Returns a price with two to four decimals, as many as it has, but at least `places`."""
    return EMPTY if value is None else number(value, max(places, _decimals(value)))


def align_prices(bars: Iterable[Any]) -> None:
    """Gives each bar as `places` the decimals of the price that has most, so that columns align."""
    bars = list(bars)
    prices = (value for bar in bars for value in (bar.open, bar.high, bar.low, bar.close))
    places = max(map(_decimals, prices), default=2)
    for bar in bars:
        bar.places = places


def _decimals(value: float) -> int:
    return max(2, len(f"{value:.4f}".rstrip("0").partition(".")[2]))


def percent(value: float | None, places: int = 2, *, signed: bool = False) -> str:
    """Returns a percentage, "33%". `signed` adds a plus: red means a rise in China and a fall in the West."""
    if value is None:
        return EMPTY
    return f"{'+' if signed and value > 0 else ''}{number(value, places)}%"


def monospace(text: str) -> SafeString:
    """Returns text in a monospaced font."""
    return format_html('<span class="sc-mono">{}</span>', text)
