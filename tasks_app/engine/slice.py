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
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from tasks_app import dispatch, lifecycle, selectors
from tasks_app.engine import ballast, draining, keeping, missing, planner, writer
from tasks_app.engine.fetcher import Call, Fetcher
from tasks_app.engine.pulse import Pulse
from tasks_app.errors import LostFence
from tasks_app.lifecycle import Claim, Lane
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Transient

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
        ballast.drop()
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
        self.keeper = keeping.Keeper(self.task, self.source.name)
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
        request = missing.request(self.task, claim)
        return lambda: self.source.fetch(request)

    def _drained(self) -> bool:
        """A drain waits a little for what is in flight; what is not there by then is handed back."""
        if not draining.requested():
            return False
        self.ends = min(self.ends, time.monotonic())
        return time.monotonic() - self.ends > DRAIN_SECONDS

    def _settle(self, call: Call[Claim, Bars]) -> None:
        """Record one answer, or hand its stock back for another try."""
        claim, error = call.key, call.error
        if isinstance(error, Transient) and claim.attempts < self.conf.max_attempts:
            lifecycle.hand_back(claim, error.code[:40], keeping.clean(str(error)), self._pause(claim, error))
        elif error is not None:
            self.keeper.fail(claim, error.code, str(error))
        else:
            self.keeper.keep(claim, missing.request(self.task, claim), call.answer or ())

    def _pause(self, claim: Claim, error: Transient) -> float:
        """Seconds before the next try: what the source asks for, else growing, with jitter."""
        pause = error.retry_after or self.conf.backoff * 2 ** (claim.attempts - 1)
        return min(pause, self.conf.backoff_max) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
