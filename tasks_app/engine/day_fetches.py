"""A day of a whole market in one request: kept per process, taken from by every stock of the task.

So thousands of stocks are brought up to date by a request for each day and worker. What goes wrong
with a day is no stock's failure: it is asked for again, and at last the stocks go by one by one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from itertools import count
from typing import Any, cast
from uuid import UUID

from tasks_app.conf import Conf
from tasks_app.models import CollectionItem, CollectionTask, Series, TaskEvent
from tasks_app.models.tasks import EventKind
from tasks_app.quotes import trading_days as days
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, DaySource, Request, SelectiveDaySource, Source

FAILED = "by_day_failed"
FEW = 0.8  # of the stocks that traded before: a day's answer with fewer was cut off
Day = Mapping[str, Bar]


@dataclass
class DayCache:
    """The days that this process has of one task and source; never more than COLLECTOR_DAYS_AT_ONCE."""

    days: dict[date, Day] = field(default_factory=dict)
    wanted: set[date] = field(default_factory=set)
    failures: int = 0
    given_up: bool = False


_shelves: dict[tuple[UUID, str], DayCache] = {}


def day_cache(task_id: UUID, source: str) -> DayCache:
    """What this process keeps for the task and source. Whatever was kept for other tasks is dropped."""
    for key in [key for key in _shelves if key[0] != task_id]:
        del _shelves[key]
    return _shelves.setdefault((task_id, source), DayCache())


class DayFetcher:
    """Whether and how a task asks one of its sources by day."""

    def __init__(self, task: CollectionTask, name: str, source: Source, conf: Conf) -> None:
        self.task, self.name, self.source, self.conf = task, name, source, conf
        self.market, self.adjust = task.market, task.adjust
        self.shelf = day_cache(task.pk, name)
        self.asking: set[date] = set()
        traits = registry.traits(name, conf)
        self.pays = task.total_stocks >= conf.by_day_from and traits.serves_days(task.market, task.adjust)
        if self.pays and not self.shelf.given_up:
            warned = TaskEvent.objects.filter(task=task, kind=EventKind.WARNED, params__code=FAILED)
            self.shelf.given_up = warned.exists()

    def days_of(self, request: Request) -> tuple[date, ...]:
        """The days to take the stock's bars from; none when the stock is to be asked for by itself."""
        most = self.conf.days_at_once
        if not self.pays or self.shelf.given_up or (request.end - request.start).days > 3 * most + 30:
            return ()
        sessions = [day for day in span(request) if self._trades(day)]
        if not sessions or len(self.shelf.wanted.union(sessions)) > most:
            return ()
        if isinstance(self.source, SelectiveDaySource) and not all(
            self.source.offers_day(self.market, day) for day in sessions
        ):
            return ()
        self.shelf.wanted.update(sessions)
        return tuple(sessions)

    def lacks(self, sessions: Collection[date]) -> list[date]:
        """Those of the days that must still be asked for, or are being asked for."""
        return [day for day in sessions if day not in self.shelf.days]

    def fetch(self, day: date) -> Day:
        """Ask the source. Raises `SourceError`."""
        source = cast(DaySource, self.source)  # `pays` has seen to it
        return source.fetch_day(self.market, day, self.adjust)

    def fault(self, day: date, answer: Any) -> str:
        """Why the answer is no whole day of the market; empty if it is one. Costs a query.

        It must have most of those of the task's stocks that are stored up to the session before. So a
        first collection, of which nothing is stored, has nothing to be measured by.
        """
        if not isinstance(answer, Mapping) or not answer:
            return "an answer without any bar"
        known = self._known(min(self.shelf.wanted, default=day))
        came = sum(code in answer for code in known)
        if came < FEW * len(known):
            return f"an answer with bars of {came:,} of {len(known):,} stocks that traded the session before"
        return ""

    def keep(self, day: date, answer: Day) -> None:
        """The day was answered."""
        self.shelf.days[day] = answer
        self.shelf.failures = 0

    def bear(self, passing: bool) -> bool:
        """A day was not answered. False when no more is to be asked by day: for good, or too often."""
        self.shelf.failures += 1
        self.shelf.given_up = not passing or self.shelf.failures >= self.conf.max_attempts
        return not self.shelf.given_up

    @property
    def failures(self) -> int:
        """How often in a row a day was not answered."""
        return self.shelf.failures

    def bars(self, code: str, sessions: Collection[date]) -> list[Bar]:
        """The stock's bars on these days, rising."""
        found = (self.shelf.days[day].get(code) for day in sorted(sessions))
        return [bar for bar in found if bar is not None]

    def _known(self, first: date) -> list[str]:
        """The task's stocks whose stored bars reach over the last session before `first`."""
        earlier = (first - timedelta(days=n) for n in count(1))
        before = next(day for day in earlier if self._trades(day))
        codes = CollectionItem.objects.filter(task=self.task).values("code")
        held = Series.objects.filter(market=self.market, adjust=self.adjust, symbol__in=codes)
        return list(held.filter(first_day__lte=before, last_day__gte=before).values_list("symbol", flat=True))

    @cached_property
    def _calendar(self) -> days.TradingDays:
        return days.trading_days_for(self.market, self.name)

    def _trades(self, day: date) -> bool:
        known = self._calendar.is_session(day)
        return day.weekday() < 5 if known is None else known


def span(request: Request) -> list[date]:
    """All days of the request."""
    return [request.start + timedelta(days=n) for n in range((request.end - request.start).days + 1)]
