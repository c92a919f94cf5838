"""The days of a market on which bars are expected: its exchange's sessions, or all days."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import cached_property

from django.conf import settings

from tasks_app.market import calendars
from tasks_app.market.calendars import Calendar
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.sources import registry

# A source may be late with the newest bars: a day without one counts as final once this much has followed.
LATENESS_SESSIONS = 5
LATENESS = timedelta(days=7)
LONGEST_CLOSURE = timedelta(days=30)  # no market has ever been closed for longer


class TradingDays:
    """Every day counts: for a source that does not follow an exchange's calendar.

    One slice uses one instance, so that time does not move while it works.
    """

    def __init__(self, market: str) -> None:
        self.last_closed = calendars.last_closed_day(market)  # session or not

    @property
    def calendar_end(self) -> date | None:
        """The last day that the calendar covers, None without a calendar."""
        return None

    @cached_property
    def final_until(self) -> date:
        """The last day for which a missing bar means that there was none."""
        return self.last_closed - LATENESS

    def missing_range(self, window: DateRange, ranges: Sequence[DateRange]) -> DateRange | None:
        """Returns the first and last day of the window that lie in no range, None if all do."""
        return date_ranges.missing_calendar_range(window, ranges)

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

    def __init__(self, calendar: Calendar) -> None:
        super().__init__(calendar.market)
        self.calendar = calendar

    @property
    def calendar_end(self) -> date:
        return self.calendar.published.end

    @cached_property
    def final_until(self) -> date:
        return self._sessions(self.last_closed - 2 * LONGEST_CLOSURE, self.last_closed)[
            -LATENESS_SESSIONS - 1
        ]

    def missing_range(self, window: DateRange, ranges: Sequence[DateRange]) -> DateRange | None:
        return date_ranges.missing_range(self._sessions(*window), ranges)

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

    def _sessions(self, first: date, last: date) -> tuple[date, ...]:
        return self.calendar.sessions(first, last).days


def trading_days_for(market: str, source: str) -> TradingDays:
    """Returns the days that count for a source of the market. One query, none without a calendar."""
    if not registry.traits(source, settings.COLLECTOR).follows_exchange:
        return TradingDays(market)
    return SessionDays(calendars.load_calendar(market))
