"""The days of a market on which bars are expected: its exchange's sessions, or all days."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import date, time, timedelta
from functools import cached_property, lru_cache

from django.conf import settings

from tasks_app.market import calendars
from tasks_app.market.calendars import Calendar
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DAY, DateRange
from tasks_app.sources import registry

# A source may be late with the newest bars: a day without one counts as final once this much has followed.
LATENESS_SESSIONS = 5
LATENESS = timedelta(days=7)
EARLIEST = date(1960, 1, 1)  # before the first session of any calendar here
LONGEST_CLOSURE = timedelta(days=30)  # no market has ever been closed for longer


class TradingDays:
    """Every day counts: for a source that does not follow an exchange's calendar.

    One slice uses one instance, so that time does not move while it works.
    """

    def __init__(self, market: str, ready_at: time | None = None) -> None:
        """`ready_at` is when the source has a day's bars, in market time; None: soon after the close."""
        self.first_day = calendars.FIRST_DAYS[market]
        self.ready_at = ready_at
        closed = calendars.last_closed_day(market)
        # The last day, session or not, of which the source has final bars.
        self.last_closed = min(closed, calendars.last_day_ready_at(market, ready_at)) if ready_at else closed
        self.is_early = self.last_closed < closed

    @property
    def calendar_end(self) -> date | None:
        """The last day that the calendar covers, None without a calendar."""
        return None

    @cached_property
    def final_until(self) -> date:
        """The last day for which a missing bar means that there was none."""
        return self.last_closed - LATENESS

    def missing_range(
        self, window: DateRange, ranges: Sequence[DateRange], silent: Collection[date] = ()
    ) -> DateRange | None:
        """Returns the first and last day of the window that lie in no range, None if all do.

        `silent` are days of which the source has no quotes: they are not missing.
        """
        known = sorted([*ranges, *((day, day) for day in silent)])
        return date_ranges.missing_calendar_range(window, known)

    def expected(self, first: date, last: date) -> Sequence[date]:
        """Returns the days of a range on which a bar is expected, ascending."""
        return _weekdays(first, last)

    def expected_before(self, day: date) -> date:
        """Returns the last day before this one on which a bar is expected."""
        return self.expected(day - 2 * LONGEST_CLOSURE, day - DAY)[-1]

    def contiguous(self, end: date, start: date) -> bool:
        """Returns whether no bar can be missing between the two days."""
        return False

    def is_session(self, day: date) -> bool | None:
        """Returns whether the market traded that day, None if unknown."""
        return None

    def non_sessions(self, days: Iterable[date]) -> list[date]:
        """Returns the days known not to be sessions, ascending."""
        return []


class SessionDays(TradingDays):
    """The sessions of the market's calendar count."""

    def __init__(self, calendar: Calendar, ready_at: time | None = None) -> None:
        super().__init__(calendar.market, ready_at)
        self.calendar = calendar

    @property
    def calendar_end(self) -> date:
        return self.calendar.published.end

    @cached_property
    def final_until(self) -> date:
        return self._sessions(self.last_closed - 2 * LONGEST_CLOSURE, self.last_closed)[
            -LATENESS_SESSIONS - 1
        ]

    def missing_range(
        self, window: DateRange, ranges: Sequence[DateRange], silent: Collection[date] = ()
    ) -> DateRange | None:
        days: Sequence[date] = self._sessions(*window)
        if silent:
            days = [day for day in days if day not in silent]
        return date_ranges.missing_range(days, ranges)

    def expected(self, first: date, last: date) -> Sequence[date]:
        if last > self.last_closed:
            return self._sessions(first, last)
        days = self._all_sessions
        return days[bisect_left(days, first) : bisect_right(days, last)]

    def contiguous(self, end: date, start: date) -> bool:
        if start - end > LONGEST_CLOSURE:
            return False
        return not self._sessions(end + date_ranges.DAY, start - date_ranges.DAY)

    def is_session(self, day: date) -> bool | None:
        return self.calendar.is_session(day)

    def non_sessions(self, days: Iterable[date]) -> list[date]:
        days = set(days)
        suspects = (days - self.calendar.published.day_set) | (days & self.calendar.overrides.keys())
        return sorted(day for day in suspects if self.is_session(day) is False)

    @cached_property
    def _all_sessions(self) -> tuple[date, ...]:
        """All sessions up to the last closed day: looked up for every stock, so they are computed once."""
        return self._sessions(EARLIEST, self.last_closed)

    def _sessions(self, first: date, last: date) -> tuple[date, ...]:
        return self.calendar.sessions(first, last).days


@lru_cache(maxsize=64)  # the stocks of a task have the same few ranges
def _weekdays(first: date, last: date) -> tuple[date, ...]:
    return tuple(calendars.weekdays(first, last))


def trading_days_for(market: str, source: str, calendar: Calendar | None = None) -> TradingDays:
    """Returns the days that count for a source of the market; one query, unless its calendar is given."""
    traits = registry.traits(source, settings.COLLECTOR)
    if not traits.follows_exchange:
        return TradingDays(market, traits.ready_at)
    return SessionDays(calendar or calendars.load_calendar(market), traits.ready_at)
