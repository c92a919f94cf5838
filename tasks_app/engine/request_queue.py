"""What a slice has in hand: the stocks to ask for, and the requests that are under way."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any

from tasks_app.conf import Conf
from tasks_app.engine.call_pool import CallPool
from tasks_app.engine.source_router import SourceCall, SourceState, StockRequest
from tasks_app.sources.base import Bar
from tasks_app.throttle.limiter import Blocked, Permit


class RequestQueue:
    """Sends the requests for `asks` through the sources' gates. A stock under way is not among them."""

    def __init__(self, conf: Conf) -> None:
        self.fetcher: CallPool[SourceCall, Any] = CallPool(conf.fetch_timeout)
        self.asks: list[StockRequest] = []

    def is_clear(self) -> bool:
        """Nothing is in hand or under way."""
        return self.fetcher.idle() and not self.asks

    def room(self, door: SourceState) -> int:
        """How many more stocks could be asked for here at once: a claim is an attempt, so never more."""
        return max(door.room() - len(self.asks), 0)

    def at(self, door: SourceState) -> list[StockRequest]:
        """The stocks to ask this source for."""
        return [ask for ask in self.asks if ask.door is door]

    def answered_by_days(self, door: SourceState) -> Iterator[tuple[StockRequest, list[Bar]]]:
        """Take out the stocks that the days of the whole market answer, which are here already."""
        for ask in self.at(door):
            sessions = door.daily.days_of(ask.request)
            if sessions and not door.daily.lacks(sessions):
                self.asks.remove(ask)
                yield ask, door.daily.bars(ask.claim.code, sessions)

    def send(self, door: SourceState) -> Blocked | None:
        """Make the requests that are due here, as far as the source's gate allows; why no more, if so."""
        errands = self._errands(door)
        count = min(len(errands), door.room())
        if not count or door.resting():
            return None
        given = door.gate.reserve(count)
        if isinstance(given, Blocked):
            return given
        for errand, passed in zip(errands, given, strict=False):
            self._submit(errand, passed)
        return Blocked(0.0) if len(given) < count else None

    def end(self, errand: SourceCall, *, unmade: bool = False) -> None:
        """The errand is over; if its request was never made, what it was for is in hand again."""
        errand.door.in_flight -= 1
        if errand.day:
            errand.door.daily.asking.discard(errand.day)
        if unmade:
            errand.door.gate.missed(errand.passed)
            self.asks += [errand.ask] if errand.ask else []

    def recall(self) -> None:
        """Take back what waits for its time."""
        for errand in self.fetcher.recall():
            self.end(errand, unmade=True)

    def _errands(self, door: SourceState) -> list[SourceCall]:
        """The requests that the stocks in hand need here: days first, each once, then single stocks."""
        by_day, fetch = door.daily, door.source.fetch
        lacking: set[date] = set()
        alone = []
        for ask in self.at(door):
            if sessions := by_day.lacks(by_day.days_of(ask.request)):
                lacking.update(sessions)
            else:
                alone.append(SourceCall(door, partial(fetch, ask.request), ask))
        wanted = sorted(lacking - by_day.asking)
        return [SourceCall(door, partial(by_day.fetch, day), day=day) for day in wanted] + alone

    def _submit(self, errand: SourceCall, passed: Permit) -> None:
        errand.passed = passed
        errand.door.in_flight += 1
        if errand.ask:
            self.asks.remove(errand.ask)
        if errand.day:
            errand.door.daily.asking.add(errand.day)
        self.fetcher.submit(errand, errand.call, passed.since, passed.until)
