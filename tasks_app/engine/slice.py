"""A slice: a short django-q2 job that claims stocks, fetches them and records them, then ends.

Fetching happens in threads and outside any transaction; the job's own thread does all the
database work, beats while it waits, and drops everything the moment a fence is lost.
"""

import logging
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, transaction

from tasks_app import dispatch, lifecycle, selectors
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.engine import draining, planner, quality, writer
from tasks_app.engine.fetcher import Call, Fetcher
from tasks_app.engine.pulse import Pulse
from tasks_app.errors import LostFence
from tasks_app.lifecycle import Claim, Lane, Outcome
from tasks_app.models.tasks import ItemState
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Request, Transient

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 3.0
DISK_FULL = "The database's disk is full. Make room, then retry."
Bars = Sequence[Bar]


def run(task_id: str, number: int, generation: int) -> None:
    """The job. A copy of one that has begun, or one of a task that has ended, does nothing."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    try:
        lane = lifecycle.begin(UUID(task_id), number, generation, worker)
        Slice(lane).run()
    except LostFence as lost:
        logger.debug("slice %s/%s/%s stops: %s", task_id, number, generation, lost)
    except OperationalError as error:
        if not writer.finds_no_space(error):
            raise
        logger.error("task %s fails: %s", task_id, error)
        # If not even this can be written, the task stays running and goes on once there is space.
        with suppress(LostFence):
            lifecycle.fail(UUID(task_id), "disk_full", DISK_FULL)


class Slice:
    """One run of a lane."""

    def __init__(self, lane: Lane) -> None:
        self.conf = settings.COLLECTOR
        self.lane = lane
        self.task = selectors.get(lane.task_id)
        self.source = registry.make(self.task.source, self.conf)
        self.pulse = Pulse(lane, self.conf.heartbeat)
        self.ends = time.monotonic() + self.conf.slice_seconds
        self.fetcher: Fetcher[Claim, Bars] = Fetcher(self.conf.in_flight, self.conf.fetch_timeout)

    def run(self) -> None:
        """Plan if need be, then collect until time or work is over. Raises `LostFence`."""
        unplanned = self.task.planned_at is None
        if unplanned and not planner.plan(self.task, self.lane, self.source, self.pulse, self.conf):
            return
        try:
            self._collect()
            lifecycle.close(self.lane)
        finally:
            self.fetcher.give_up()
            if self.fetcher.abandoned:
                dispatch.retire_this_worker()

    def _collect(self) -> None:
        while True:
            self._fill()
            if self.fetcher.idle() or self._drained():
                return
            if call := self.pulse.wait(self.fetcher):
                self._settle(call)

    def _fill(self) -> None:
        """Claim as many stocks as can be asked for now: a claim is an attempt, so never more."""
        if not self.fetcher.free() or time.monotonic() > self.ends or draining.requested():
            return
        for claim in lifecycle.claim(self.lane, self.fetcher.free()):
            self.fetcher.submit(claim, self._asking(claim))

    def _asking(self, claim: Claim) -> Callable[[], Bars]:
        request = self._request(claim)
        return lambda: self.source.fetch(request)

    def _drained(self) -> bool:
        """A drain waits a little for what is in flight; what is not there by then is handed back."""
        if not draining.requested():
            return False
        self.ends = min(self.ends, time.monotonic())
        return time.monotonic() - self.ends > DRAIN_SECONDS

    def _request(self, claim: Claim) -> Request:
        task = self.task
        return Request(task.market, claim.code, task.start_date, task.end_date, task.adjust)

    def _settle(self, call: Call[Claim, Bars]) -> None:
        """Record one answer, or hand its stock back for another try."""
        claim, error = call.key, call.error
        if isinstance(error, Transient) and claim.attempts < self.conf.max_attempts:
            lifecycle.hand_back(claim, error.code[:40], clean(str(error)), self._pause(claim, error))
        elif error is not None:
            self._record(claim, [], _failure(error.code, str(error)))
        else:
            self._keep(claim, call.answer or ())

    def _pause(self, claim: Claim, error: Transient) -> float:
        """Seconds before the next try: what the source asks for, else growing, with jitter."""
        pause = error.retry_after or self.conf.backoff * 2 ** (claim.attempts - 1)
        return min(pause, self.conf.backoff_max) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter

    def _keep(self, claim: Claim, answer: Bars) -> None:
        """Check an answer and store what is good of it."""
        today = datetime.now(ZoneInfo(MARKET_TIME_ZONES[self.task.market])).date()
        try:
            good, refused = quality.sift(answer, self._request(claim), today)
        except (TypeError, ValueError, AttributeError) as error:
            message = f"The source's answer is no list of bars: {error}"
            self._record(claim, [], _failure("bad_answer", message))
            return
        outcome = Outcome(ItemState.FAILED if refused and not good else ItemState.SUCCEEDED)
        if refused:
            first = refused[0]
            outcome = replace(
                outcome, refused=len(refused), error_code=first.code, error_message=first.message
            )
        self._record(claim, good, outcome)

    def _record(self, claim: Claim, bars: Bars, outcome: Outcome) -> None:
        try:
            self._write(claim, bars, outcome)
        except (DataError, IntegrityError) as error:
            logger.exception("the database refused the bars of %s", claim.code)
            self._write(claim, [], _failure("not_storable", f"The database refused the bars: {error}"))

    def _write(self, claim: Claim, bars: Bars, outcome: Outcome) -> None:
        """One short transaction: the bars first, the task's row last, so that a cancel never waits."""
        request = self._request(claim)
        with transaction.atomic():
            stored = writer.store(request, self.source.name, bars)
            if outcome.state == ItemState.SUCCEEDED:
                writer.note_stock(request, self.task.full_collection_mode)
            lifecycle.record(claim, replace(outcome, **vars(stored)))


def _failure(code: str, message: str) -> Outcome:
    return Outcome(ItemState.FAILED, error_code=code[:40], error_message=clean(message))


def clean(message: str) -> str:
    """A vendor's sentence as the database can hold it: no NUL, and not a whole page of HTML."""
    return message.replace("\0", "")[:500]
