"""What becomes of an answer: kept, tried again, passed on to the next source, or recorded as a failure."""

import random
from datetime import date
from typing import Any

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine import day_fetches
from tasks_app.engine.call_pool import Call
from tasks_app.engine.recorder import Recorder, clean
from tasks_app.engine.request_queue import RequestQueue
from tasks_app.engine.source_router import (
    SourceCall,
    SourceRouter,
    SourceState,
    StockRequest,
)
from tasks_app.lifecycle import Claim, Lane
from tasks_app.sources.base import SourceError, Transient
from tasks_app.throttle.limiter import Blocked


class OutcomeHandler:
    """Settles the calls of a slice. Every method raises `StaleClaim` once a claim is lost."""

    def __init__(
        self, lane: Lane, route: SourceRouter, desk: RequestQueue, keeper: Recorder, conf: Conf
    ) -> None:
        self.lane, self.route, self.desk, self.keeper, self.conf = lane, route, desk, keeper, conf

    def settle(self, call: Call[SourceCall, Any], *, more: bool) -> list[Claim]:
        """Settle a call that has ended. With `more`, stocks to ask for next are claimed in its commit."""
        errand, error, door = call.key, call.error, call.key.door
        self.desk.end(errand, unmade=call.missed)
        if call.missed:
            return []
        door.took(call.took)
        blamed = False
        if isinstance(error, Transient):
            blamed = door.gate.refused(errand.passed, error)
            self._hold_back(door, error)
        else:
            door.gate.answered(errand.passed)
        if errand.day:
            self._settle_day(door, errand.day, call.answer, error, blamed)
        if errand.ask and error is None:
            room = self.desk.room(self.route.first()) if more else 0
            # Not `or`: what a vendor sends may have no truth, such as a table.
            return self.keep(errand.ask, () if call.answer is None else call.answer, more=room)
        if errand.ask and error:
            self._settle_failure(errand.ask, error, blamed)
        return []

    def keep(self, ask: StockRequest, answer: Any, *, certain: bool = False, more: int = 0) -> list[Claim]:
        """Keep an answer; `certain` and `more` as the keeper says."""
        return self.keeper.keep(ask.claim, ask.request, answer, ask.door.name, certain=certain, more=more)

    def withdraw(self, door: SourceState, shut: Blocked) -> None:
        """The source was found shut: the stocks for it go back, and it costs them no attempt."""
        door.note(shut)
        delay = 0.0 if door is self.route.first() else shut.seconds
        for ask in self.desk.at(door):
            self.desk.asks.remove(ask)
            lifecycle.requeue(ask.claim, ask.code, ask.told, delay, ask.attempts - 1)

    def let_go(self) -> None:
        """Put down what is in hand: closing hands it back, but a stock that was passed on stays so."""
        for ask in self.desk.asks:
            if ask.attempts > ask.claim.attempts:
                lifecycle.requeue(ask.claim, ask.code, ask.told, 0.0, ask.attempts - 1)
        self.desk.asks.clear()

    def _hold_back(self, door: SourceState, error: Transient) -> None:
        """A source that has refused and wants a pause is not asked by those who were about to."""
        door.note(door.gate.look())
        if door.shut() or error.retry_after:
            self.desk.recall()

    def _settle_failure(self, ask: StockRequest, error: SourceError, blamed: bool) -> None:
        """`blamed`: the trouble is the whole source's, so it costs the stock no attempt."""
        if isinstance(error, Transient) and (blamed or ask.tries_here < self.conf.max_attempts):
            self._hand_back(ask, error, ask.attempts - blamed)
        elif self.route.turn(ask, str(error), error.code):
            self.desk.asks.append(ask)
        else:
            told = str(error) if len(self.route.doors) == 1 else "; ".join(ask.notes)
            self.keeper.fail(ask.claim, ask.code, told)

    def _settle_day(
        self, door: SourceState, day: date, answer: Any, error: SourceError | None, blamed: bool
    ) -> None:
        """Keep the answer, else ask again after a pause, or nothing more by day."""
        fault = door.daily.fault(day, answer) if error is None else str(error)
        if error is None and not fault:
            door.daily.keep(day, answer)
            return
        passing = error is None or (isinstance(error, Transient) and error.code != "timeout")
        if blamed or door.daily.bear(passing):
            door.rest(self._pause(max(door.daily.failures, 1), error))
            return
        why = clean(f"{day}: {fault}")
        lifecycle.warn(self.lane, day_fetches.FAILED, source=door.name, reason=why)

    def _hand_back(self, ask: StockRequest, error: SourceError, attempts: int) -> None:
        pause, told = self._pause(ask.tries_here, error), clean(ask.said(str(error)))
        lifecycle.requeue(ask.claim, (ask.code or error.code)[:40], told, pause, attempts)

    def _pause(self, tries: int, error: SourceError | None) -> float:
        """Seconds before the next try: what the source asks for, else growing, with jitter."""
        pause = (error and error.retry_after) or self.conf.backoff * 2 ** (tries - 1)
        return min(pause, self.conf.backoff_max) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
