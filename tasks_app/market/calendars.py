"""Trading calendars: the exchanges' sessions with manual corrections (`CalendarDay`).

Beyond the last published day every weekday counts as a session, and the result says so: an unknown day is
never taken for a closed one.
"""

import logging
import subprocess
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property, lru_cache
from importlib import metadata
from zoneinfo import ZoneInfo

from django.core.cache import caches

from tasks_app.conf import MARKET_TIME_ZONES, SYNTHETIC_MARKET
from tasks_app.history.versions import Moment, known_rows
from tasks_app.market import exchange_sessions
from tasks_app.models import CalendarDay

COMPARED_SESSIONS = 5  # stored ones that an order requests again: vendors revise their newest bars
logger = logging.getLogger(__name__)
CLOSING_TIMES = {"CN": time(15, 0), "HK": time(16, 10), "US": time(16, 0), SYNTHETIC_MARKET: time(15, 0)}
FIRST_SYNTHETIC_DAY = date(1990, 1, 1)
# The first day of each market's calendar.
FIRST_DAYS = {
    **{market: date.fromisoformat(first) for market, (_, first) in exchange_sessions.EXCHANGES.items()},
    SYNTHETIC_MARKET: FIRST_SYNTHETIC_DAY,
}
FINAL_BAR_DELAY = timedelta(minutes=30)  # after the close, until sources have the day's final bar
CACHE_SECONDS = 30 * 24 * 3600
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Sessions:
    """The sessions of a date range, ascending. `beyond`: part of it lies past the published calendar."""

    days: tuple[date, ...]
    beyond: bool


@dataclass(frozen=True, eq=False)  # hashed by identity: comparing thousands of days would cost too much
class PublishedSessions:
    """All sessions of a market that are published, ascending; `end` is the last day the calendar covers."""

    end: date
    days: tuple[date, ...]

    @cached_property
    def day_set(self) -> frozenset[date]:
        return frozenset(self.days)


@dataclass(frozen=True)
class Calendar:
    """A market's calendar, with the corrections that were in the database when it was loaded."""

    market: str
    overrides: Mapping[date, bool]  # day: whether it is a session

    @cached_property
    def published(self) -> PublishedSessions:
        """The published sessions: from this process, else the shared cache, else a child process.

        If they cannot be read, none are published: every weekday counts, and results are `beyond`. In the
        synthetic market every weekday is a session.
        """
        if self.market == SYNTHETIC_MARKET:
            return _synthetic_sessions(date.today().year)
        try:
            return _load_published(self.market, f"{_package_version()}:{date.today().year}")
        except (OSError, subprocess.SubprocessError, metadata.PackageNotFoundError):
            logger.exception("the calendar of the market %s could not be read", self.market)
            return PublishedSessions(date.min, ())

    def sessions(self, first: date, last: date) -> Sessions:
        """Returns the sessions from `first` to `last`, both included."""
        return _sessions_between(self.published, tuple(sorted(self.overrides.items())), first, last)

    def is_session(self, day: date) -> bool | None:
        """Returns whether the market traded that day, None outside the published calendar."""
        if day in self.overrides:
            return self.overrides[day]
        if not self.published.days or not self.published.days[0] <= day <= self.published.end:
            return None
        return day in self.published.day_set

    def latest_session(self, now: datetime | None = None) -> date:
        """Returns the last session whose bar is final at `now` (aware; default: the host's clock)."""
        last = last_closed_day(self.market, now)
        span = timedelta(days=30)
        while not (days := self.sessions(last - span, last).days):
            span *= 2
        return days[-1]


@cache  # to read it takes a millisecond, and a calendar is loaded for each day that the watchdog looks at
def _package_version() -> str:
    """Returns the installed version of `exchange_calendars`. Raises `PackageNotFoundError`."""
    return metadata.version("exchange_calendars")


def load_calendar(market: str, moment: Moment | None = None) -> Calendar:
    """Returns the market's calendar. One query; the published sessions are read on first use.

    With a moment, as it was corrected then; the published sessions are those of the installed package.
    """
    if moment is not None:
        return Calendar(market, {row.day: row.is_session for row in known_rows(CalendarDay, moment, market)})
    rows = CalendarDay.objects.filter(market=market).values_list("day", "is_session")
    return Calendar(market, dict(rows))


def load_calendars() -> dict[str, Calendar]:
    """Returns the calendars of all markets by market, in one query."""
    overrides: dict[str, dict[date, bool]] = {market: {} for market in FIRST_DAYS}
    for market, day, is_session in CalendarDay.objects.values_list("market", "day", "is_session"):
        overrides[market][day] = is_session
    return {market: Calendar(market, days) for market, days in overrides.items()}


def last_closed_day(market: str, now: datetime | None = None) -> date:
    """Returns the last day, session or not, whose bar is final: today from half an hour after the close."""
    local = (now or datetime.now(ZoneInfo("UTC"))).astimezone(ZoneInfo(MARKET_TIME_ZONES[market]))
    final_at = datetime.combine(local.date(), CLOSING_TIMES[market], local.tzinfo) + FINAL_BAR_DELAY
    return local.date() if local >= final_at else local.date() - DAY


def last_day_ready_at(market: str, ready_at: time, now: datetime | None = None) -> date:
    """Returns the last day whose `ready_at` (market time) has passed at `now`: today, or the day before."""
    local = (now or datetime.now(ZoneInfo("UTC"))).astimezone(ZoneInfo(MARKET_TIME_ZONES[market]))
    return local.date() if local.time() >= ready_at else local.date() - DAY


def weekdays(first: date, last: date) -> list[date]:
    """Returns the days from Monday to Friday, ascending, both ends included."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


@lru_cache(maxsize=64)  # the stocks of a task need the same few ranges
def _sessions_between(
    published: PublishedSessions, overrides: tuple[tuple[date, bool], ...], first: date, last: date
) -> Sessions:
    days = set(published.days[bisect_left(published.days, first) : bisect_right(published.days, last)])
    unpublished = max(first, published.end + DAY)
    days.update(weekdays(unpublished, last))
    days.update(day for day, is_session in overrides if is_session and first <= day <= last)
    days.difference_update(day for day, is_session in overrides if not is_session)
    return Sessions(tuple(sorted(days)), beyond=last >= unpublished)


@lru_cache(maxsize=2)
def _synthetic_sessions(year: int) -> PublishedSessions:
    """Returns the weekdays to the end of the next year."""
    end = date(year + 1, 12, 31)
    return PublishedSessions(end, tuple(weekdays(FIRST_SYNTHETIC_DAY, end)))


@lru_cache(maxsize=8)
def _load_published(market: str, edition: str) -> PublishedSessions:
    cache, key = caches["exchange_sessions"], f"sessions:{market}:{edition}"
    end_and_days = cache.get(key)
    if end_and_days is None:
        end_and_days = exchange_sessions.load_sessions(market)
        cache.set(key, end_and_days, CACHE_SECONDS)
    return PublishedSessions(*end_and_days)
