"""Whole market days in one request each, cached per process for every stock of the task.

So one request per day and worker brings thousands of stocks up to date. A failed day is no stock's failure:
it is requested again, and in the end the stocks are requested one by one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from itertools import count
from typing import Any
from uuid import UUID

from tasks_app.conf import Conf
from tasks_app.engine.answers import CheckedSource
from tasks_app.engine.call_pool import CallPool
from tasks_app.engine.request_planner import PlannedRequest
from tasks_app.market.calendars import COMPARED_SESSIONS
from tasks_app.market.codes import canonical_or_same, kind_of
from tasks_app.models import CollectionItem, CollectionTask, Series, TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.models.quotes import InstrumentKind
from tasks_app.quotes import trading_days as days
from tasks_app.quotes.raw_answers import SourceCallRecord
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Bar, DayAnswer

FAILED = "by_day_failed"
OFFER_SECONDS = 1.0  # in which a source must say whether it offers a day: it needs no request for that
NO_BARS = "a response without any bar"
MIN_SHARE = 0.8  # of the stocks that traded before: a day with fewer was cut off
Day = DayAnswer | Mapping[str, Bar]  # bars by code


@dataclass
class DayCache:
    """The days of one task and source that this process holds, and what became of them.

    `wanted` are the days requested or held, `compared` stored days that are requested to be compared, and
    `dropped` those of them that are unavailable. `failures` counts the consecutive failed requests, and with
    `given_up` no more days are requested. A `doubtful` day came without any bar: single stocks show whether
    it has some (`refuted`) or nobody has quotes of it. `records` are the calls of the days, where kept.
    """

    days: dict[date, Day] = field(default_factory=dict)
    records: dict[date, SourceCallRecord] = field(default_factory=dict)
    wanted: set[date] = field(default_factory=set)
    compared: set[date] = field(default_factory=set)
    dropped: set[date] = field(default_factory=set)
    doubtful: set[date] = field(default_factory=set)
    refuted: set[date] = field(default_factory=set)
    failures: int = 0
    given_up: bool = False


_caches: dict[tuple[UUID, str], DayCache] = {}


def day_cache(task_id: UUID, source: str) -> DayCache:
    """Returns this process's cache for the task and source. Drops the caches of other tasks."""
    for key in [key for key in _caches if key[0] != task_id]:
        del _caches[key]
    return _caches.setdefault((task_id, source), DayCache())


class DayFetcher:
    """Decides whether a task requests whole days from one of its sources, and requests them.

    `problem` says why no days are requested although the source serves them, until the task's warning says
    so; "" if there is nothing to say.
    """

    def __init__(self, task: CollectionTask, name: str, source: CheckedSource, conf: Conf) -> None:
        self.task, self.name, self.source, self.conf = task, name, source, conf
        self.cache = day_cache(task.pk, name)
        self.in_flight: set[date] = set()
        self.problem = ""
        self._offered: dict[date, bool] = {}
        traits = registry.traits(name, conf)
        self.selects_days = traits.selects_days
        serves_days = traits.serves_days(task.market, task.adjust)
        self.is_worthwhile = serves_days and task.total_stocks >= conf.by_day_from
        if self.is_worthwhile and not self.cache.given_up:
            self._give_up_like_others()

    def sessions_for(self, request: PlannedRequest, calls: CallPool[Any]) -> tuple[date, ...]:
        """Returns the days that answer the request; none if the stock is to be requested by itself.

        Stored days to compare are left out where they are unavailable: the missing ones decide. `calls` are
        those of the slice: see `_is_offered`.
        """
        first = request.first_missing
        most, length = self.conf.days_at_once, (request.end - first).days
        if not self.is_worthwhile or self.cache.given_up or length > 3 * most + 30:
            return ()
        if kind_of(request.market, request.code) in (InstrumentKind.ETF, InstrumentKind.INDEX):
            return ()  # a day's list has stocks only: that these are not in it proves nothing
        days = [first + timedelta(days=n) for n in range(length + 1)]
        sessions = [day for day in days if self._is_session(day)]
        if not sessions or len(self.cache.wanted.union(sessions)) > most:
            return ()
        if not self.cache.doubtful.isdisjoint(sessions):
            return ()
        if self.selects_days and not all(self._is_offered(day, calls) for day in sessions):
            return ()
        self.cache.wanted.update(sessions)
        return (*self._compared_days(request.start, first, calls), *sessions)

    def missing(self, sessions: Collection[date]) -> list[date]:
        """Returns the days that are not cached yet: to be requested, or in flight."""
        return [day for day in sessions if day not in self.cache.days]

    def fetch(self, day: date) -> Day:
        """Requests a day from the source, by canonical codes. Raises what the source raises."""
        market = self.task.market
        answer = self.source.fetch_day(market, day, self.task.adjust)
        bars = {canonical_or_same(market, code): bar for code, bar in answer.items()}
        return DayAnswer(bars, suspended=[canonical_or_same(market, code) for code in answer.suspended])

    def find_problem(self, day: date, response: Day) -> str:
        """Returns why the response is not a whole day of the market; "" if it is one. Costs a query.

        It must have most of the task's stocks that are stored up to the session before. A first
        collection, of which nothing is stored, can't be checked.
        """
        if not response:
            return NO_BARS
        expected = self._traded_before(min(self.cache.wanted, default=day))
        received = sum(code in response for code in expected)
        if received < MIN_SHARE * len(expected):
            stocks = f"{received:,} of {len(expected):,} stocks"
            return f"a response with bars of {stocks} that traded the session before"
        return ""

    def store(self, day: date, bars: Day, record: SourceCallRecord | None = None) -> None:
        """Caches a day, and the call that brought it if its raw answer is to be kept."""
        self.cache.days[day] = bars
        if record:
            self.cache.records[day] = record
        self.cache.failures = 0

    def drop_compared(self, day: date) -> bool:
        """Does without a day that no stock lacks. Returns False for any other day."""
        if day in self.cache.wanted:
            return False
        self.cache.compared.discard(day)
        self.cache.dropped.add(day)
        return True

    def doubt(self, day: date) -> bool:
        """Leaves a day without any bar to single stocks. Returns False if they have had bars of it."""
        if day in self.cache.refuted:
            return False
        self.cache.doubtful.add(day)
        return True

    def refute(self, days: Collection[date]) -> date | None:
        """Returns a doubtful day among these, of which a single stock has a bar; it is not doubted again."""
        found = self.cache.doubtful.intersection(days)
        self.cache.doubtful -= found
        self.cache.refuted |= found
        return min(found, default=None)

    def record_failure(self, may_pass: bool) -> bool:
        """Counts a failed day. Returns False once no more days are to be requested."""
        self.cache.failures += 1
        self.cache.given_up = not may_pass or self.cache.failures >= self.conf.max_attempts
        return not self.cache.given_up

    def bars_of(self, code: str, sessions: Collection[date]) -> Answer:
        """Returns the stock's bars on these days in ascending date order, and the suspended ones."""
        days = [(day, self.cache.days[day]) for day in sorted(sessions)]
        suspended = [day for day, bars in days if isinstance(bars, DayAnswer) and code in bars.suspended]
        return Answer((bars[code] for _, bars in days if code in bars), suspended=suspended)

    def records_of(self, sessions: Collection[date]) -> list[SourceCallRecord]:
        """Returns the recorded calls of these days."""
        return [self.cache.records[day] for day in sorted(sessions) if day in self.cache.records]

    def _give_up_like_others(self) -> None:
        """Requests no days once another process has given up, or after workers were lost that did."""
        events = TaskEvent.objects.filter(task=self.task)
        lost = events.filter(kind=EventKind.RESCUED, params__by_day=True).count()
        if events.filter(kind=EventKind.WARNED, params__code=FAILED, params__source=self.name).exists():
            self.cache.given_up = True
        elif lost >= self.conf.max_attempts:
            self.problem, self.cache.given_up = f"Workers lost while they requested one: {lost}.", True

    def _compared_days(self, start: date, first: date, calls: CallPool[Any]) -> list[date]:
        """Returns at most five sessions, the newest deliverable from `start` until before `first`."""
        cache, compared = self.cache, list[date]()
        day = first - timedelta(days=1)
        while day >= start and len(compared) < COMPARED_SESSIONS:
            is_held = day in cache.wanted or day in cache.compared
            if self._is_session(day) and day not in cache.dropped:
                if not (is_held or len(cache.compared) < COMPARED_SESSIONS):
                    break
                if self.selects_days and not self._is_offered(day, calls):
                    cache.dropped.add(day)
                else:
                    cache.compared.add(day)
                    compared.append(day)
            day -= timedelta(days=1)
        return compared[::-1]

    def _is_offered(self, day: date, calls: CallPool[Any]) -> bool:
        """Asks the source, once per slice and day, in a thread: its code may raise anything, or hang.

        A hung question goes on in its thread, so it counts among the slice's abandoned calls: no suspect is
        requested beside it, and the process is replaced.
        """
        if day not in self._offered:
            questions: CallPool[date] = CallPool(OFFER_SECONDS)
            questions.submit(day, partial(self.source.offers_day, self.task.market, day))
            while (call := questions.next(OFFER_SECONDS)) is None:
                continue
            calls.abandoned += questions.abandoned
            if call.error:
                self.problem, self.cache.given_up = f"{day}: {call.error}", True
            self._offered[day] = call.error is None and call.result
        return self._offered[day]

    def _traded_before(self, first: date) -> list[str]:
        """Returns the task's stocks whose stored bars include the last session before `first`."""
        earlier = (first - timedelta(days=n) for n in count(1))
        before = next(day for day in earlier if self._is_session(day))
        codes = CollectionItem.objects.filter(task=self.task).values("code")
        stored = Series.objects.filter(market=self.task.market, adjust=self.task.adjust, symbol__in=codes)
        traded = stored.filter(first_day__lte=before, last_day__gte=before)
        return list(traded.values_list("symbol", flat=True))

    @cached_property
    def _calendar(self) -> days.TradingDays:
        return days.trading_days_for(self.task.market, self.name)

    def _is_session(self, day: date) -> bool:
        """Beyond the calendar every weekday counts as a session."""
        is_session = self._calendar.is_session(day)
        return day.weekday() < 5 if is_session is None else is_session
