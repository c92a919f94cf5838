"""Days without a bar, and the reason of each: from what was asked and answered, never guessed."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from zoneinfo import ZoneInfo

from django.db.models import TextChoices
from django.utils.translation import gettext as _

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import calendars, silent_days
from tasks_app.market.calendars import Calendar
from tasks_app.models import CalendarDay, Finding, Series, Stock
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import absences, date_ranges
from tasks_app.quotes.absences import Absence, AbsentDays
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.series import bars_of


class GapKind(TextChoices):
    """Why days have no bar. `not_asked` comes first: those can be had."""

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
        """Whether nobody was asked for the days yet."""
        return self.kind is GapKind.NOT_ASKED

    def describe(self) -> str:
        """Returns one sentence, without full stop, in the reader's language."""
        return _SENTENCES[self.kind]() % {
            "source": self.source,
            "day": self.asked_on,
            "bound": self.bound,
            "stocks": self.stocks,
            "note": f" ({self.note})" if self.note else "",
        }


_SENTENCES = {
    GapKind.NOT_ASKED: lambda: _("not requested yet"),
    GapKind.REFUSED: lambda: _("%(source)s sent a bar that was refused (requested on %(day)s)"),
    GapKind.EMPTY: lambda: _("%(source)s had no bar (requested on %(day)s)"),
    GapKind.NO_QUOTES: lambda: _("%(source)s had no bar of %(stocks)s stocks asked for (on %(day)s)"),
    GapKind.NOT_RECORDED: lambda: _("requested; the reason was not recorded at that time"),
    GapKind.SUSPENDED: lambda: _("suspended, according to %(source)s (requested on %(day)s)"),
    GapKind.BEFORE: lambda: _("the bars of %(source)s begin on %(bound)s (requested on %(day)s)"),
    GapKind.AFTER: lambda: _("the bars of %(source)s end on %(bound)s (requested on %(day)s)"),
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

    def of(self, day: date) -> Reason:
        place = bisect_right(self.absent, day, key=lambda one: one.first) - 1
        if place >= 0 and day <= self.absent[place].last:
            return _reason_of(self.absent[place])
        if day in self.refused:
            return self.refused[day]
        place = bisect_right(self.covered, day, key=itemgetter(0)) - 1
        if place >= 0 and day <= self.covered[place][1]:
            return Reason(GapKind.NOT_RECORDED)
        return self.silent.get(day, Reason(GapKind.NOT_ASKED))


def _reason_of(absent: AbsentDays) -> Reason:
    return Reason(GapKind(Absence(absent.why).value), absent.source, absent.asked_on, absent.bound)


def find_gaps(stock: Stock, adjust: str, bar_days: Sequence[date], series: Series | None) -> list[Gap]:
    """Returns the sessions without a bar, by reason, newest first.

    `bar_days` are ascending, `series` is the stock's row in this adjustment. The days are those from the
    first bar or requested day to the market's latest session, within the stock's listing. A stock of which
    nothing was ever requested has no gaps.
    """
    calendar = calendars.load_calendar(stock.market)
    if (window := _window(stock, bar_days, series, calendar)) is None:
        return []
    reasons, with_bar = _Reasons(stock, adjust, series, window), set(bar_days)
    found: list[tuple[date, Reason | None]] = [
        (day, None if day in with_bar else reasons.of(day)) for day in calendar.sessions(*window).days
    ]
    return [
        Gap(tuple(day for day, _ in run), reason)
        for reason, run in groupby(found, key=itemgetter(1))
        if reason is not None
    ][::-1]


def read_gaps(stock: Stock, adjust: str, start: date | None, end: date | None) -> list[Gap]:
    """Returns a stock's days without a bar, closed weekdays included, newest first, from start to end."""
    series = Series.objects.filter(market=stock.market, symbol=stock.code, adjust=adjust).first()
    bars = bars_of(stock.market, stock.code, adjust).order_by("day").values_list("day", flat=True)
    days = list(bars)
    found = []
    for gap in [*find_gaps(stock, adjust, days, series), *find_closed_days(stock, days, series)]:
        inside = tuple(day for day in gap.days if (start or date.min) <= day <= (end or date.max))
        found += [Gap(inside, gap.reason)] if inside else []
    return sorted(found, key=lambda gap: gap.first, reverse=True)


def find_closed_days(stock: Stock, bar_days: Sequence[date], series: Series | None) -> list[Gap]:
    """Returns the weekdays of the same days on which the market was closed, newest first, each by itself."""
    calendar = calendars.load_calendar(stock.market)
    if (window := _window(stock, bar_days, series, calendar)) is None:
        return []
    notes = dict(
        CalendarDay.objects.filter(market=stock.market, day__range=window).values_list("day", "note")
    )
    closed = set(calendars.weekdays(*window)) - set(calendar.sessions(*window).days) - set(bar_days)
    return [
        Gap((day,), Reason(GapKind.CLOSED, note=notes.get(day, ""))) for day in sorted(closed, reverse=True)
    ]


def _window(
    stock: Stock, bar_days: Sequence[date], series: Series | None, calendar: Calendar
) -> DateRange | None:
    starts = list(_starts(bar_days, series))
    if not starts:
        return None
    first = max(min(starts), stock.listed_on or date.min)
    last = min(stock.delisted_on or date.max, calendar.latest_session())
    return (first, last) if first <= last else None


def _starts(bar_days: Sequence[date], series: Series | None) -> Iterator[date]:
    """Yields the first bar, the first answered day and the first day without a bar."""
    yield from bar_days[:1]
    if series:
        firsts: Iterable[Sequence[str]] = [*series.covered[:1], *series.absences[:1]]
        yield from (date.fromisoformat(one[0]) for one in firsts)


def sessions_in(gaps: Iterable[Gap]) -> int:
    """Returns the number of days in the gaps."""
    return sum(len(gap.days) for gap in gaps)
