"""A slice: a short django-q2 job that claims stocks, fetches them and records them, then ends.

Fetching happens in threads and outside any transaction; the job's own thread does all the
database work, beats while it waits, and drops everything the moment a fence is lost.
"""

import logging
import math
import os
import random
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from tasks_app import lifecycle
from tasks_app.db import disk_reserve
from tasks_app.db.errors import finds_no_space
from tasks_app.engine import (
    item_planner,
    recorder,
    request_planner,
    source_router,
)
from tasks_app.engine.call_pool import Call
from tasks_app.engine.heartbeat import Heartbeat
from tasks_app.engine.outcomes import OutcomeHandler
from tasks_app.engine.request_queue import RequestQueue
from tasks_app.engine.source_router import SourceRouter, SourceState
from tasks_app.errors import StaleClaim
from tasks_app.lifecycle import Claim, Lane, selectors
from tasks_app.queue import dispatch
from tasks_app.quotes import trading_days
from tasks_app.sources import registry
from tasks_app.throttle.limiter import Blocked
from tasks_app.workers import drain_flag

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 3.0
BATCH = 20  # stocks claimed at once where their bars are there already
SHORTEST_WAIT = 0.005
DISK_FULL = "The database's disk is full. Make room, then retry."


def run(task_id: str, number: int, generation: int) -> None:
    """The job. A copy of one that has begun, or one of a task that has ended, does nothing."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    try:
        lane = lifecycle.begin(UUID(task_id), number, generation, worker)
        if not _leave_to_others(lane):
            Slice(lane).run()
    except StaleClaim as lost:
        logger.debug("slice %s/%s/%s stops: %s", task_id, number, generation, lost)
    except OperationalError as error:
        if not finds_no_space(error):
            raise
        logger.error("task %s fails: %s", task_id, error)
        disk_reserve.release()
        # If not even this can be written, the task stays running and goes on once there is space.
        with suppress(StaleClaim):
            lifecycle.fail(UUID(task_id), "disk_full", DISK_FULL)


def _leave_to_others(lane: Lane) -> bool:
    """Decline where this host can't use the task's source: another one may. Raises `StaleClaim`."""
    source = selectors.get_task(lane.task_id).source
    if source in registry.available(settings.COLLECTOR):
        return False
    logger.warning("task %s is left to other hosts: the source %s can't be used here", lane.task_id, source)
    lifecycle.warn(lane, "source_not_here", source=source, host=socket.gethostname())
    lifecycle.decline(lane)
    return True


class TimeIsUp(Exception):
    """The slice is over before the stock list is there."""


class Slice:
    """One run of a lane."""

    def __init__(self, lane: Lane) -> None:
        self.conf = settings.COLLECTOR
        self.lane = lane
        self.pulse = Heartbeat(lane, self.conf.heartbeat)
        self.desk = RequestQueue(self.conf)
        # Not all slices at once: while one hands over, the others keep up the rate.
        self.ends = time.monotonic() + self.conf.slice_seconds * random.uniform(0.75, 1.0)  # noqa: S311
        self.more = True  # there may be stocks to claim
        self.instant = False  # the last ones claimed needed no request
        self.frugal = True  # while the source is shut, none was claimed that needs a request
        self.patient = False  # the task was found to have patience with a source that is shut
        self._read_task()

    def run(self) -> None:
        """Plan if need be, then collect until time or work is over. Raises `StaleClaim`."""
        try:
            if self.task.planned_at is None and not self._plan():
                return
            self._collect()
            lifecycle.close(self.lane)
        finally:
            self.desk.fetcher.give_up()
            if self.desk.fetcher.abandoned:
                dispatch.retire_this_worker()

    def _read_task(self) -> None:
        self.task = selectors.get_task(self.lane.task_id)
        self.route = SourceRouter(self.task, self.conf)
        self.missing = request_planner.RequestPlanner(
            self.task, trading_days.trading_days_for(self.task.market, self.task.source)
        )
        self.keeper = recorder.Recorder(self.task, self.missing)
        self.settler = OutcomeHandler(self.lane, self.route, self.desk, self.keeper, self.conf)

    def _plan(self) -> bool:
        """Give the task its items; False when the slice was over first, or the task was ended."""
        door = self.route.doors[0]
        listed = self.task.market, door.gate, self.desk.fetcher, self._wait_for_list
        ask = partial(item_planner.ask, door.source, *listed)
        try:
            planned = item_planner.plan(self.task, self.lane, ask, self.conf)
        except TimeIsUp:
            lifecycle.close(self.lane)
            return False
        if planned:
            self._read_task()
        return planned

    def _wait_for_list(self, shut: Blocked | None) -> Call[Any, Any] | None:
        """Wait in the source's line, or for its answer, which may outlast the slice but no drain."""
        if drain_flag.requested() or (shut and self._over()):
            raise TimeIsUp
        if shut:
            self._lose_patience(shut)
        return self.pulse.wait(self.desk.fetcher, look_after(shut.seconds if shut else math.inf))

    def _collect(self) -> None:
        while True:
            wait = self._fill()
            if self._done():
                return
            if call := self.pulse.wait(self.desk.fetcher, wait):
                for claim in self.settler.settle(call, more=self._wants_more()):
                    self._take_up(claim)

    def _over(self) -> bool:
        if drain_flag.requested():
            self.ends = min(self.ends, time.monotonic())
        return time.monotonic() >= self.ends

    def _done(self) -> bool:
        """A drain waits a little for what is in flight; what is not there by then is handed back."""
        if drain_flag.requested() and time.monotonic() - self.ends > DRAIN_SECONDS:
            return True
        return self.desk.is_clear() and (self._over() or not self.more)

    def _fill(self) -> float:
        """Claim stocks and ask for them; seconds after which to look again."""
        if self._over():
            if drain_flag.requested():  # else what has its time reserved is still asked for
                self.desk.recall()
            self.settler.let_go()
            return math.inf
        door = self.route.first()
        shut, resting = door.shut(), door.resting()
        if shut:
            self._lose_patience(shut)
        if not resting and (not shut or self.frugal):
            self._claim(door)
        wait = min(self._send(each) for each in self.route.doors)
        if shut or resting:
            self.more = True
            return min(wait, look_after(resting or math.inf))
        return 0.0 if self.more and self.desk.is_clear() else wait

    def _wants_more(self) -> bool:
        """Whether stocks are to be claimed for the source that is asked now, and no other."""
        door = self.route.first()
        return self.more and not (self._over() or door.place or door.shut() or door.resting())

    def _claim(self, door: SourceState) -> None:
        """Claim as many stocks as can be asked for now."""
        room = BATCH - len(self.desk.asks) if self.instant else self.desk.room(door)
        if room <= 0:
            return
        claims = lifecycle.claim(self.lane, room)
        for claim in claims:
            self._take_up(claim)
        self._keep_from_days(door)
        self.more = bool(claims)
        self.instant = self.more and not self.desk.asks

    def _take_up(self, claim: Claim) -> None:
        request = self.missing.request(claim)
        if request is None:
            self.keeper.keep_nothing(claim)
        else:
            self.desk.asks.append(self.route.ask(claim, request))

    def _keep_from_days(self, door: SourceState) -> None:
        for ask, bars in self.desk.answered_by_days(door):
            self.settler.keep(ask, bars, certain=True)

    def _send(self, door: SourceState) -> float:
        """Ask a source for what is in hand; seconds until it allows more."""
        self._keep_from_days(door)
        shut = self.desk.send(door)
        if shut is None:
            return math.inf
        if shut.why:
            self.frugal = False
            self.settler.withdraw(door, shut)
        return look_after(shut.seconds)

    def _lose_patience(self, shut: Blocked) -> None:
        """End a task that has got nowhere for too long because its source is shut."""
        if shut.why and not self.patient and source_router.is_hopeless(self.task.pk, self.conf):
            lifecycle.fail(
                self.task.pk, "source_paused", source_router.GIVEN_UP % (self.task.source, shut.why)
            )
        self.patient = True


def look_after(seconds: float) -> float:
    """When to look again at what is to change in so many seconds: somebody may change it sooner."""
    return max(min(seconds, source_router.LOOK_SECONDS), SHORTEST_WAIT)
