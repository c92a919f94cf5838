"""When a market trades: the exchanges' calendar, corrected by hand where somebody knew better.

Beyond the last day that the calendar knows, every weekday counts as a session, and the answer says
so: an unknown day is never taken for a closed one.
"""

import logging
import subprocess
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from importlib import metadata
from zoneinfo import ZoneInfo

from django.core.cache import cache

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import exchange_sessions
from tasks_app.models import CalendarDay

logger = logging.getLogger(__name__)
CLOSES = {"CN": time(15, 0), "HK": time(16, 10), "US": time(16, 0)}
MARGIN = timedelta(minutes=30)  # until sources have the day's final bar
KEPT = 30 * 24 * 3600  # seconds in the shared cache
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Sessions:
    """The trading days of a span, rising; `beyond` when some of it lies past what the calendar knows."""

    days: tuple[date, ...]
    beyond: bool


@dataclass(frozen=True, eq=False)  # by identity: comparing thousands of days would cost more than it saves
class Known:
    """What is known of a market without looking further: its sessions up to and with `end`."""

    end: date
    days: tuple[date, ...]

    @cached_property
    def sessions(self) -> frozenset[date]:
        """The days, to look one up."""
        return frozenset(self.days)


@dataclass(frozen=True)
class Calendar:
    """A market's calendar, with the corrections that stood in the database when it was made."""

    market: str
    overrides: Mapping[date, bool]

    @cached_property
    def known(self) -> Known:
        return _known(self.market)

    def sessions(self, first: date, last: date) -> Sessions:
        """The trading days from `first` to `last`, both included."""
        return _between(self.known, tuple(sorted(self.overrides.items())), first, last)

    def is_session(self, day: date) -> bool | None:
        """Whether the market traded that day; None where the calendar does not know."""
        if day in self.overrides:
            return self.overrides[day]
        if not self.known.days or not self.known.days[0] <= day <= self.known.end:
            return None
        return day in self.known.sessions

    def latest_session(self, now: datetime | None = None) -> date:
        """The last trading day whose trade is over."""
        last = last_closed_day(self.market, now)
        span = timedelta(days=30)
        while not (days := self.sessions(last - span, last).days):
            span *= 2
        return days[-1]

    def gaps(self, first: date, last: date, have: Collection[date]) -> list[date]:
        """The trading days from `first` to `last` that `have` lacks, rising."""
        return [day for day in self.sessions(first, last).days if day not in have]


def load_calendar(market: str) -> Calendar:
    """The market's calendar as of now. One query; the calendar itself is read when it is first asked."""
    rows = CalendarDay.objects.filter(market=market).values_list("day", "is_session")
    return Calendar(market, dict(rows))


def sessions(market: str, first: date, last: date) -> Sessions:
    """The trading days of a market from `first` to `last`, both included."""
    return load_calendar(market).sessions(first, last)


def latest_session(market: str, now: datetime | None = None) -> date:
    """The market's last trading day whose trade is over at `now` (aware; default: the clock)."""
    return load_calendar(market).latest_session(now)


def market_today(market: str) -> date:
    """Today in the market's time zone."""
    return datetime.now(ZoneInfo(MARKET_TIME_ZONES[market])).date()


def last_closed_day(market: str, now: datetime | None = None) -> date:
    """The market's last day, session or not, whose bar can't change any more: today once trade is over."""
    local = (now or datetime.now(ZoneInfo("UTC"))).astimezone(ZoneInfo(MARKET_TIME_ZONES[market]))
    closes = datetime.combine(local.date(), CLOSES[market], local.tzinfo) + MARGIN
    return local.date() if local >= closes else local.date() - DAY


@lru_cache(maxsize=64)
def _between(known: Known, overrides: tuple[tuple[date, bool], ...], first: date, last: date) -> Sessions:
    """Cached, since the stocks of a task ask for the same spans."""
    days = set(known.days[bisect_left(known.days, first) : bisect_right(known.days, last)])
    unknown = max(first, known.end + DAY)
    days.update(day for day in weekdays(unknown, last))
    days.update(day for day, is_session in overrides if is_session and first <= day <= last)
    days.difference_update(day for day, is_session in overrides if not is_session)
    return Sessions(tuple(sorted(days)), beyond=last >= unknown)


def weekdays(first: date, last: date) -> list[date]:
    """Monday to Friday, rising."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


@lru_cache(maxsize=8)
def _read(market: str, edition: str) -> Known:
    key = f"sessions:{market}:{edition}"
    found = cache.get(key)
    if found is None:
        found = exchange_sessions.ask(market)
        cache.set(key, found, KEPT)
    return Known(*found)


def _known(market: str) -> Known:
    """What the library knows: from this process, else the shared cache, else a child process.

    Where it can't be read nothing is known, so that every weekday counts and the answers say so.
    """
    try:
        return _read(market, f"{metadata.version('exchange_calendars')}:{date.today().year}")
    except (OSError, subprocess.SubprocessError, metadata.PackageNotFoundError):
        logger.exception("the calendar of the market %s could not be read", market)
        return Known(date.min, ())
