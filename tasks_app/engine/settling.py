"""What becomes of an answer: kept, tried again, passed on to the next source, or recorded as a failure."""

import random
from collections.abc import Mapping
from datetime import date
from typing import Any

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine import daily
from tasks_app.engine.asking import Ask, Door, Errand, Route
from tasks_app.engine.desk import Desk
from tasks_app.engine.fetcher import Call
from tasks_app.engine.gate import Shut
from tasks_app.engine.keeping import Keeper, clean
from tasks_app.lifecycle import Lane
from tasks_app.sources.base import SourceError, Transient


class Settler:
    """Settles the calls of a slice. Every method raises `LostFence` once a claim is lost."""

    def __init__(self, lane: Lane, route: Route, desk: Desk, keeper: Keeper, conf: Conf) -> None:
        self.lane, self.route, self.desk, self.keeper, self.conf = lane, route, desk, keeper, conf

    def settle(self, call: Call[Errand, Any]) -> None:
        """Settle a call that has ended."""
        errand, error, door = call.key, call.error, call.key.door
        self.desk.end(errand, unmade=call.missed)
        if call.missed:
            return
        door.took(call.took)
        blamed = False
        if isinstance(error, Transient):
            blamed = door.gate.refused(errand.passed, error)
            self._hold_back(door, error)
        else:
            door.gate.answered(errand.passed)
        if errand.ask:
            self._settle_stock(errand.ask, call.answer, error, blamed)
        if errand.day:
            self._settle_day(door, errand.day, call.answer, error, blamed)

    def keep(self, ask: Ask, answer: Any, *, certain: bool = False) -> None:
        """Keep an answer; `certain` as the keeper says."""
        self.keeper.keep(ask.claim, ask.request, answer, ask.door.name, certain=certain)

    def withdraw(self, door: Door, shut: Shut) -> None:
        """The source was found shut: the stocks for it go back, and it costs them no attempt."""
        door.note(shut)
        delay = 0.0 if door is self.route.first() else shut.seconds
        for ask in self.desk.at(door):
            self.desk.asks.remove(ask)
            lifecycle.hand_back(ask.claim, ask.code, ask.told, delay, ask.attempts - 1)

    def let_go(self) -> None:
        """Put down what is in hand: closing hands it back, but a stock that was passed on stays so."""
        for ask in self.desk.asks:
            if ask.attempts > ask.claim.attempts:
                lifecycle.hand_back(ask.claim, ask.code, ask.told, 0.0, ask.attempts - 1)
        self.desk.asks.clear()

    def _hold_back(self, door: Door, error: Transient) -> None:
        """A source that has refused and wants a pause is not asked by those who were about to."""
        door.note(door.gate.look())
        if door.shut() or error.retry_after:
            self.desk.recall()

    def _settle_stock(self, ask: Ask, answer: Any, error: SourceError | None, blamed: bool) -> None:
        """`blamed`: the trouble is the whole source's, so it costs the stock no attempt."""
        if error is None:
            self.keep(ask, answer or ())
        elif isinstance(error, Transient) and (blamed or ask.tries_here < self.conf.max_attempts):
            self._hand_back(ask, error, ask.attempts - blamed)
        elif self.route.turn(ask, str(error), error.code):
            self.desk.asks.append(ask)
        else:
            told = str(error) if len(self.route.doors) == 1 else "; ".join(ask.notes)
            self.keeper.fail(ask.claim, ask.code, told)

    def _settle_day(
        self, door: Door, day: date, answer: Any, error: SourceError | None, blamed: bool
    ) -> None:
        """Keep the answer, else ask again after a pause, or nothing more by day."""
        if error is None and isinstance(answer, Mapping) and answer:
            door.daily.keep(day, answer)
            return
        passing = error is None or (isinstance(error, Transient) and error.code != "timeout")
        if blamed or door.daily.bear(passing):
            door.rest(self._pause(max(door.daily.failures, 1), error))
            return
        why = clean(f"{day}: {error or 'an answer without any bar'}")
        lifecycle.warn(self.lane, daily.FAILED, source=door.name, reason=why)

    def _hand_back(self, ask: Ask, error: SourceError, attempts: int) -> None:
        pause, told = self._pause(ask.tries_here, error), clean(ask.said(str(error)))
        lifecycle.hand_back(ask.claim, (ask.code or error.code)[:40], told, pause, attempts)

    def _pause(self, tries: int, error: SourceError | None) -> float:
        """Seconds before the next try: what the source asks for, else growing, with jitter."""
        pause = (error and error.retry_after) or self.conf.backoff * 2 ** (tries - 1)
        return min(pause, self.conf.backoff_max) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
