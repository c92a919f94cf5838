"""Days without a bar, and the reason of each: from what was asked and answered, never guessed."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import TextChoices
from django.utils.translation import gettext as _

from tasks_app import time_zones
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import calendars, code_changes, silent_days
from tasks_app.market.calendars import Calendar
from tasks_app.models import CalendarDay, Finding, Series, Stock
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import absences, date_ranges
from tasks_app.quotes.absences import Absence, AbsentDays
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.series import joined_bars


class GapKind(TextChoices):
    """Why days have no bar. `not_asked` comes first: those can be requested."""

    NOT_ASKED = "not_asked"  # no request has been answered
    REFUSED = "refused"  # the source had a bar that can't be true
    EMPTY = "empty"  # the source had nothing
    NO_QUOTES = "no_quotes"  # the source had no quotes of the day for any stock that was asked
    NOT_RECORDED = "not_recorded"  # answered before the reasons were recorded
    SUSPENDED = "suspended"  # the source said so
    BEFORE = "before"  # the source's bars begin later
    AFTER = "after"  # the source's bars end earlier
    CLOSED = "closed"  # closed on a weekday, by the calendar


@dataclass(frozen=True)
class Reason:
    """Why a day has no bar: who was asked, when (day in the market's time zone), and what bounds its bars.

    `note` is that of a correction of the calendar; `stocks` is how many stocks had no quotes of the day.
    """

    kind: GapKind
    source: str = ""
    asked_on: date | None = None
    bound: date | None = None
    stocks: int = 0
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the days have not been requested yet."""
        return self.kind is GapKind.NOT_ASKED

    def describe(self, market: str) -> str:
        """Returns one sentence, without full stop, in the reader's language.

        The day of the request is told with its zone, which may not be the reader's: only the day is stored.
        """
        return _SENTENCES[self.kind]() % {
            "source": self.source,
            "day": self.asked_on,
            "zone": time_zones.name_of(MARKET_TIME_ZONES[market]),
            "bound": self.bound,
            "stocks": self.stocks,
            "note": f" ({self.note})" if self.note else "",
        }


_SENTENCES = {
    GapKind.NOT_ASKED: lambda: _("not requested yet"),
    GapKind.REFUSED: lambda: _("%(source)s sent a bar that was refused (requested on %(day)s, %(zone)s)"),
    GapKind.EMPTY: lambda: _("%(source)s had no bar (requested on %(day)s, %(zone)s)"),
    GapKind.NO_QUOTES: lambda: _(
        "%(source)s had no bar of any stock asked for: %(stocks)s (on %(day)s, %(zone)s)"
    ),
    GapKind.NOT_RECORDED: lambda: _("requested; the reason was not recorded at that time"),
    GapKind.SUSPENDED: lambda: _("suspended, according to %(source)s (requested on %(day)s, %(zone)s)"),
    GapKind.BEFORE: lambda: _("the bars of %(source)s begin on %(bound)s (requested on %(day)s, %(zone)s)"),
    GapKind.AFTER: lambda: _("the bars of %(source)s end on %(bound)s (requested on %(day)s, %(zone)s)"),
    GapKind.CLOSED: lambda: _("the market was closed, according to the calendar%(note)s"),
}


@dataclass(frozen=True)
class Gap:
    """Consecutive days without a bar for one reason: sessions, or closed weekdays."""

    days: tuple[date, ...]
    reason: Reason

    @property
    def first(self) -> date:
        return self.days[0]

    @property
    def last(self) -> date:
        return self.days[-1]


class _Reasons:
    """Looks up the reason of a day without a bar."""

    def __init__(self, stock: Stock, adjust: str, series: Series | None, window: DateRange) -> None:
        self.covered = date_ranges.parse(series.covered) if series else []
        self.absent = absences.parse(series.absences) if series else []
        silent = silent_days.find(stock.market, *window)
        zone = ZoneInfo(MARKET_TIME_ZONES[stock.market])
        refused = Finding.objects.filter(
            market=stock.market, symbol=stock.code, adjust=adjust, kind=FindingKind.REFUSED
        )
        rows = refused.filter(day__range=window).order_by("pk").values_list("day", "source", "found_at")
        # Of days answered before the reasons were recorded, and of stocks that failed.
        self.refused = {
            day: Reason(GapKind.REFUSED, source or _("the source"), found_at.astimezone(zone).date())
            for day, source, found_at in rows
        }
        self.silent = {
            one.day: Reason(
                GapKind.NO_QUOTES, one.source, one.asked_at.astimezone(zone).date(), stocks=one.stocks
            )
            for one in silent
        }

    def reason_for(self, day: date) -> Reason:
        place = bisect_right(self.absent, day, key=lambda one: one.first) - 1
        if place >= 0 and day <= self.absent[place].last:
            return reason_of(self.absent[place])
        if day in self.refused:
            return self.refused[day]
        place = bisect_right(self.covered, day, key=itemgetter(0)) - 1
        if place >= 0 and day <= self.covered[place][1]:
            return Reason(GapKind.NOT_RECORDED)
        return self.silent.get(day, Reason(GapKind.NOT_ASKED))


def reason_of(absent: AbsentDays) -> Reason:
    """Returns the reason that a series records for days without a bar."""
    return Reason(GapKind(Absence(absent.why).value), absent.source, absent.asked_on, absent.bound)


class _Part(NamedTuple):
    """The days of a security under one of its codes, with what is stored under it."""

    stock: Stock
    series: Series | None
    window: DateRange


def find_gaps(stock: Stock, adjust: str, bar_days: Sequence[date], *, joined: bool = True) -> list[Gap]:
    """Returns the sessions without a bar, by reason, newest first.

    `bar_days` are the ascending days of the bars, `joined`: unadjusted ones with those from before the
    stock's code changed. The days are those from the first bar or requested day to the market's latest
    session, within the stock's listing. A stock of which nothing was ever requested has no gaps.
    """
    calendar, with_bar, found = calendars.load_calendar(stock.market), set(bar_days), list[Gap]()
    for part in _parts(stock, adjust, bar_days, calendar, joined=joined):
        reasons = _Reasons(part.stock, adjust, part.series, part.window)
        days: list[tuple[date, Reason | None]] = [
            (day, None if day in with_bar else reasons.reason_for(day))
            for day in calendar.sessions(*part.window).days
        ]
        runs = [(reason, tuple(day for day, _ in run)) for reason, run in groupby(days, key=itemgetter(1))]
        found += [Gap(run, reason) for reason, run in runs[::-1] if reason is not None]
    return found


def read_gaps(stock: Stock, adjust: str, start: date | None, end: date | None) -> list[Gap]:
    """Returns a stock's days without a bar, closed weekdays included, newest first, from start to end."""
    bars = joined_bars(stock.market, stock.code, adjust).order_by("day").values_list("day", flat=True)
    days = list(bars)
    found = []
    for gap in [*find_gaps(stock, adjust, days), *find_closed_days(stock, adjust, days)]:
        inside = tuple(day for day in gap.days if (start or date.min) <= day <= (end or date.max))
        found += [Gap(inside, gap.reason)] if inside else []
    return sorted(found, key=lambda gap: gap.first, reverse=True)


def find_closed_days(stock: Stock, adjust: str, bar_days: Sequence[date]) -> list[Gap]:
    """Returns the weekdays of the same days on which the market was closed, newest first, each by itself."""
    calendar = calendars.load_calendar(stock.market)
    windows = [part.window for part in _parts(stock, adjust, bar_days, calendar)]
    if not windows:
        return []
    window = windows[-1][0], windows[0][1]
    notes = dict(
        CalendarDay.objects.filter(market=stock.market, day__range=window).values_list("day", "note")
    )
    closed = set(calendars.weekdays(*window)) - set(calendar.sessions(*window).days) - set(bar_days)
    return [
        Gap((day,), Reason(GapKind.CLOSED, note=notes.get(day, ""))) for day in sorted(closed, reverse=True)
    ]


def _parts(
    stock: Stock, adjust: str, bar_days: Sequence[date], calendar: Calendar, *, joined: bool = True
) -> Iterator[_Part]:
    """Yields the parts of a security that have days to look at, the latest code first."""
    until = code_changes.last_day(stock.market, stock.code)
    spans = _spans(stock, until) if joined and not adjust else [(stock, (date.min, until))]
    key = {"market": stock.market, "adjust": adjust, "symbol__in": [one.code for one, _ in spans]}
    rows = {row.symbol: row for row in Series.objects.filter(**key)}
    for one, (first, last) in spans:
        series, days = rows.get(one.code), [day for day in bar_days if first <= day <= last]
        starts = list(_starts(days, series))
        if bar_days and bar_days[0] < first:  # since the change of code, even if its own bars begin later
            starts.append(first)
        if not starts:
            continue
        begin = max(min(starts), one.listed_on or date.min, first)
        end = min(one.delisted_on or date.max, calendar.latest_session(), last)
        if begin <= end:
            yield _Part(one, series, (begin, end))


def _spans(stock: Stock, last: date) -> list[tuple[Stock, DateRange]]:
    """Returns the security's codes and the days of each, the latest first, which ends on `last`."""
    earlier = code_changes.predecessors(stock.market, stock.code)
    stocks = Stock.objects.filter(market=stock.market, code__in=[one.code for one in earlier])
    known = {one.code: one for one in stocks} if earlier else {}
    spans, current = list[tuple[Stock, DateRange]](), stock
    for one in earlier:
        spans.append((current, (one.until, last)))
        current = known.get(one.code) or Stock(market=stock.market, code=one.code)
        last = one.until - date_ranges.DAY
    return [*spans, (current, (date.min, last))]


def _starts(bar_days: Sequence[date], series: Series | None) -> Iterator[date]:
    """Yields the first bar, the first answered day and the first day without a bar."""
    yield from bar_days[:1]
    if series:
        firsts: Iterable[Sequence[str]] = [*series.covered[:1], *series.absences[:1]]
        yield from (date.fromisoformat(one[0]) for one in firsts)


def sessions_in(gaps: Iterable[Gap]) -> int:
    """Returns the number of days in the gaps."""
    return sum(len(gap.days) for gap in gaps)
