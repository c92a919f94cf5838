"""Which days of a market count: its sessions, or simply all days for a source without a calendar."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cached_property
from typing import Protocol

from django.conf import settings

from tasks_app.market import calendars
from tasks_app.market.calendars import Calendar
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.sources import registry

# A source may be late with the newest bars. Silence on a day is believed once so many sessions have
# followed it.
LATE_SESSIONS = 5
LATE_DAYS = timedelta(days=7)
NEAR = timedelta(days=30)  # no market has ever closed for longer


class TradingDays(Protocol):
    """The days of a market, as one slice sees them."""

    last_closed: date  # the last day, session or not, whose bars are final

    @property
    def final_until(self) -> date:
        """The last day on which a missing bar is taken for none."""

    @property
    def calendar_end(self) -> date | None:
        """The last day that the calendar knows; None without a calendar."""

    def missing_range(self, window: DateRange, held: Iterable[DateRange]) -> DateRange | None:
        """From the first to the last day of the window that no held span has; None when all are held."""

    def contiguous(self, end: date, start: date) -> bool:
        """Whether nothing can be missing between two days."""

    def is_session(self, day: date) -> bool | None:
        """Whether the market traded; None when that is not known."""

    def non_sessions(self, days: Iterable[date]) -> list[date]:
        """Those of the days on which the market was closed, as far as is known."""


class PlainDays:
    """Every day counts: for sources whose sessions are their own affair."""

    calendar_end = None

    def __init__(self, market: str) -> None:
        self.last_closed = calendars.last_closed_day(market)
        self.final_until = self.last_closed - LATE_DAYS

    def missing_range(self, window: DateRange, held: Iterable[DateRange]) -> DateRange | None:
        return date_ranges.missing_calendar_range(window, held)

    def contiguous(self, end: date, start: date) -> bool:
        return False

    def is_session(self, day: date) -> bool | None:
        return None

    def non_sessions(self, days: Iterable[date]) -> list[date]:
        return []


class SessionDays:
    """The sessions of the market's calendar."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.last_closed = calendars.last_closed_day(calendar.market)

    @property
    def calendar_end(self) -> date | None:
        return self.calendar.published.end

    @cached_property
    def final_until(self) -> date:
        return self._sessions(self.last_closed - 2 * NEAR, self.last_closed)[-LATE_SESSIONS - 1]

    def missing_range(self, window: DateRange, held: Iterable[DateRange]) -> DateRange | None:
        return date_ranges.missing_range(self._sessions(*window), held)

    def contiguous(self, end: date, start: date) -> bool:
        return start - end <= NEAR and not self._sessions(end + date_ranges.DAY, start - date_ranges.DAY)

    def is_session(self, day: date) -> bool | None:
        return self.calendar.is_session(day)

    def non_sessions(self, days: Iterable[date]) -> list[date]:
        asked = set(days)
        unusual = (asked - self.calendar.published.day_set) | (asked & self.calendar.overrides.keys())
        return sorted(day for day in unusual if self.is_session(day) is False)

    def _sessions(self, first: date, last: date) -> tuple[date, ...]:
        return self.calendar.sessions(first, last).days


def trading_days_for(market: str, source: str) -> TradingDays:
    """The days that count for a source of the market. One query, unless the source has no calendar."""
    if not registry.traits(source, settings.COLLECTOR).follows_exchange:
        return PlainDays(market)
    return SessionDays(calendars.load_calendar(market))
