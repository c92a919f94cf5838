"""A slice: a short django-q2 job that claims stocks, fetches them and records them, then ends.

Fetching happens in threads and outside any transaction. The job's own thread does all the database work,
sends heartbeats while it waits, and drops everything the moment a claim is stale.
"""

import logging
import math
import os
import random
import socket
import time
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from tasks_app import lifecycle, logs, reasons
from tasks_app.db import disk_reserve
from tasks_app.db.errors import is_disk_full
from tasks_app.engine import item_planner, source_availability
from tasks_app.engine.call_pool import JOB_SECONDS, Call, CallPool
from tasks_app.engine.recorder import Recorder
from tasks_app.engine.request_planner import RequestPlanner
from tasks_app.engine.request_queue import RequestQueue
from tasks_app.engine.source_router import (
    RECHECK_SECONDS,
    SourceRouter,
    SourceState,
    describe_refusal,
    is_stalled,
)
from tasks_app.errors import StaleClaim
from tasks_app.lifecycle import Claim, Halt, Lane, events, selectors
from tasks_app.queue import dispatch
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.reasons import type_name
from tasks_app.sources.base import Transient
from tasks_app.throttle.limiter import Blocked
from tasks_app.workers import job_time, memory, process_state, shutdown
from tasks_app.workers.process_state import HeldLane

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 3.0
COMPARE_SECONDS = 60.0  # for which what has come waits for its comparison when the slice's time is over
BATCH = 20  # stocks claimed at once while claimed stocks need no request
MIN_WAIT_SECONDS = 0.005
COUNTS_SECONDS = 5.0  # after which it stores what became of its requests


def run(task_id: str, number: int, generation: int) -> None:
    """The queued job. A second copy of a job, or one whose task has ended, does nothing.

    Whatever it raises, django-q2 stores as the job's failure.
    """
    with logs.bind(task_id=task_id, slice=f"{number}/{generation}"):
        _run(UUID(task_id), number, generation)


def _run(task_id: UUID, number: int, generation: int) -> None:
    """Runs the slice; its lines in the log have the id of the request that started the task."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    try:
        lane = lifecycle.begin(task_id, number, generation, worker)
        with logs.bind(request_id=events.request_id_of_start(task_id)):
            _run_lane(lane)
    except StaleClaim as stale:
        logger.debug("slice stops: %s", stale)
    except OperationalError as error:
        if not is_disk_full(error):
            raise
        logger.error("task fails: %s", error)
        # If not even this can be written, the task stays running and continues once there is space. On SQLite
        # the transaction has the lock from its beginning: no other worker's bars use up what is released.
        with suppress(StaleClaim), transaction.atomic():
            disk_reserve.release()
            lifecycle.fail(task_id, "disk_full", reasons.stored_reason("disk_full"))


def _run_lane(lane: Lane) -> None:
    """Collects in a lane that has begun. Raises what ended it."""
    with process_state.own_state.holding(HeldLane(lane.task_id, lane.number, lane.generation)):
        try:
            if source_availability.require_source(lane):
                Slice(lane).run()
        except StaleClaim:
            raise
        except Exception as error:
            if memory.is_memory_error(error):
                try:
                    logger.error("slice is out of memory")
                finally:
                    os._exit(lifecycle.OUT_OF_MEMORY)  # the supervisor releases the lane
            if not isinstance(error, (OperationalError, InterfaceError)):  # else the leases expire
                lifecycle.abort(lane, type_name(error))
            raise


class Claiming(Enum):
    """How many stocks a slice claims next."""

    FOR_REQUESTS = auto()  # as many as can be requested now: a claim counts as an attempt
    IN_BATCHES = auto()  # the last ones needed no request, so more are claimed at once
    NOTHING_DUE = auto()  # the last claim found no due stock


class SliceIsOver(Exception):
    """The slice's time is over before the task's items are planned."""


class Slice:
    """One run of a lane. Its methods raise `StaleClaim` once the lane is lost."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.conf = lane, settings.COLLECTOR
        self.heartbeat_at = time.monotonic() + self.conf.heartbeat
        self.counts_stored_at = time.monotonic()
        # Slices end at different times: while one queues its successor, the others keep up the rate.
        self.ends_at = time.monotonic() + self.conf.slice_seconds * random.uniform(0.75, 1.0)  # noqa: S311
        self.claiming = Claiming.FOR_REQUESTS
        # While the source is blocked, stocks are claimed until one of them needs a request.
        self.claims_while_blocked = True
        self.stall_checked = False
        self.halt: Halt | None = None  # of the task, as of the last heartbeat
        self.calls: CallPool[Any] = CallPool(self.conf.fetch_timeout)  # an abandoned one outlives its queue
        self._load_task()

    def run(self) -> None:
        """Plans the task's items if need be, then collects until the slice's time or work is over."""
        try:
            if self.task.planned_at is None and not self._plan_items():
                return
            self._collect()
            self._close()
        except BaseException:
            self._end_sessions()
            raise
        finally:
            self.calls.abandon_all()
            if self.calls.abandoned or memory.is_scarce():
                dispatch.retire_this_worker()
            self._store_counts()

    def _load_task(self) -> None:
        self.task = selectors.get_task(self.lane.task_id)
        self.router = SourceRouter(self.task, self.conf)
        days = trading_days_for(self.task.market, self.task.source)
        self.planner = RequestPlanner(self.task, days, self.router.reachable)
        self.recorder = Recorder(self.task, self.planner)
        self.queue = RequestQueue(self.lane, self.router, self.recorder, self.calls, self.conf)

    def _plan_items(self) -> bool:
        """Creates the task's items. Returns False if the slice was over first or the task has failed."""
        first = self.router.sources[0]
        args = first.source, self.task.market, first.limiter, self.calls, self._wait_for_list
        fetch = partial(
            item_planner.fetch_stock_list,
            *args,
            adjust=self.task.adjust,
            kind=self.task.kind,
            cost=first.traits.cost("list"),
        )
        try:
            is_planned = item_planner.plan(
                self.task,
                self.lane,
                fetch,
                self.conf,
                self._after_batch,
                source=first.name,
                pause=self._pause_before_list,
                may_repeat=lambda: not first.limiter.blocked(),
            )
        except SliceIsOver:
            self._close()
            return False
        if is_planned:
            self._load_task()
        return is_planned

    def _close(self) -> None:
        """Hands the lane over to its next slice."""
        self._end_sessions()
        lifecycle.close(self.lane)

    def _end_sessions(self) -> None:
        """Ends sessions of which the vendor allows one, where the next slice may run on another machine."""
        if any(each.source.has_session for each in self.queue.sources) and dispatch.has_other_hosts():
            for each in self.queue.sources:
                each.end_session()

    def _after_batch(self) -> None:
        """Sends heartbeats during a plan, and leaves its rest to the next slice in a drain."""
        self._beat_if_due()
        if self._must_end():
            raise SliceIsOver

    def _wait_for_list(self, blocked: Blocked | None) -> Call[Any] | None:
        """Waits in the source's line, or for its response, which may outlast the slice, but no halt."""
        if self._must_end() or (blocked and self._is_over()):
            raise SliceIsOver
        if blocked:
            self._fail_if_stalled(blocked)
        return self._wait(_recheck_after(blocked.seconds if blocked else math.inf))

    def _pause_before_list(self, error: Transient, attempt: int) -> None:
        """Waits before the stock list is requested again. Raises `SliceIsOver` to leave that to the next."""
        until = time.monotonic() + self.queue.retry_delay(attempt, error)
        while (left := until - time.monotonic()) > 0:
            if self._is_over():
                raise SliceIsOver
            self._wait(left)

    def _collect(self) -> None:
        while True:
            wait = self._advance()
            if self._is_done():
                return
            if call := self._wait(wait):
                for claim in self.queue.complete(call, claim_more=self._may_claim_more()):
                    self._take_up(claim)

    def _wait(self, seconds: float) -> Call[Any] | None:
        """Returns a call that has ended, or None after so many seconds or at the lane's next heartbeat."""
        call = self.calls.next(min(self.heartbeat_at - time.monotonic(), seconds))
        self._beat_if_due()
        return call

    def _beat_if_due(self) -> None:
        if time.monotonic() >= self.heartbeat_at:
            self.halt = lifecycle.beat(self.lane) or self.halt
            self.heartbeat_at = time.monotonic() + self.conf.heartbeat
            if time.monotonic() >= self.counts_stored_at + COUNTS_SECONDS:
                self._store_counts()

    def _store_counts(self) -> None:
        """Adds what became of the requests to the history of their sources."""
        for source in self.queue.sources:
            source.counter.store()
        self.counts_stored_at = time.monotonic()

    def _must_end(self) -> bool:
        """Whether the slice ends before its time: its worker stops, or its task is paused or yields."""
        return self.halt is not None or shutdown.is_requested()

    def _must_leave(self) -> bool:
        """Whether the slice ends without sending another request: its worker stops, or its task is paused."""
        return self.halt is Halt.PAUSED or shutdown.is_requested()

    def _is_over(self) -> bool:
        if self._must_end():
            self.ends_at = min(self.ends_at, time.monotonic())
        return time.monotonic() >= self.ends_at

    def _drain_left(self) -> float:
        """Returns for how many seconds a slice that must leave still waits for what is in flight."""
        return self.ends_at + DRAIN_SECONDS - time.monotonic()

    def _is_done(self) -> bool:
        """A drain waits a little for the requests in flight; what has not ended by then is requeued."""
        if self._must_leave() and self._is_over() and self._drain_left() <= 0:
            return True
        return self.queue.is_empty() and (self._is_over() or self.claiming is Claiming.NOTHING_DUE)

    def _advance(self) -> float:
        """Claims stocks and sends their requests. Returns the seconds after which to do so again."""
        if self._is_over():
            if self._must_leave():  # otherwise requests that have reserved their time are still sent
                self.queue.recall_waiting()
                self.queue.release_all()
                return self._drain_left()
            self.queue.release_all_but_compared()
            return self._finish_comparisons()
        current = self.router.current()
        blocked, cooldown = current.blocked(), current.cooldown_left()
        if blocked:
            self._fail_if_stalled(blocked)
        if not cooldown and (not blocked or self.claims_while_blocked):
            self._claim(current)
        wait = min([*map(self._send, self.router.sources), self._send_to_second()])
        may_claim = self.claiming is not Claiming.NOTHING_DUE
        if blocked or cooldown:
            if not may_claim:  # stocks become due while the source is blocked
                self.claiming = Claiming.FOR_REQUESTS
            return min(wait, _recheck_after(cooldown or math.inf))
        return 0.0 if may_claim and self.queue.is_empty() else wait

    def _finish_comparisons(self) -> float:
        """Asks the second source for the bars of what has come, for a while after the slice's time.

        Otherwise the first source would be asked again for them. Returns as `_advance` does.
        """
        second = self.queue.second.state
        if second is None or not self.queue.waiting:
            return math.inf
        if time.monotonic() - self.ends_at > COMPARE_SECONDS:
            self.queue.stop_comparing()
            return math.inf
        job_time.extend(self.conf.fetch_timeout + JOB_SECONDS)
        return self._send_to_second()

    def _send_to_second(self) -> float:
        """Sends what is to be compared, as `_send` does; wakes up at the end of the source's pause, too."""
        if (second := self.queue.second.state) is None:
            return math.inf
        wait = self._send(second)
        return min(wait, _recheck_after(second.cooldown_left() or math.inf)) if self.queue.waiting else wait

    def _claim(self, source: SourceState) -> None:
        """Claims as many stocks as can be requested now, or a batch while stocks need no request."""
        in_batches = self.claiming is Claiming.IN_BATCHES
        limit = BATCH - len(self.queue.waiting) if in_batches else self.queue.capacity(source)
        if limit <= 0:
            return
        claims = lifecycle.claim(self.lane, limit, may_isolate=self.queue.may_isolate())
        for claim in claims:
            self._take_up(claim)
        self.queue.record_from_days(source)
        if not claims:
            self.claiming = Claiming.NOTHING_DUE
        else:
            self.claiming = Claiming.FOR_REQUESTS if self.queue.waiting else Claiming.IN_BATCHES

    def _may_claim_more(self) -> bool:
        """Whether a record's commit may claim stocks for the current source, which must be the first."""
        source = self.router.current()
        is_free = not (source.position or source.blocked() or source.cooldown_left())
        return self.claiming is not Claiming.NOTHING_DUE and not self._is_over() and is_free

    def _take_up(self, claim: Claim) -> None:
        """Queues a claimed stock for its request, or records that nothing of it is missing."""
        stored, request = self.planner.plan(claim)
        if request is None:
            self.recorder.record_skipped(claim, stored)
        else:
            self.queue.add(self.router.route(claim, request, stored))

    def _send(self, source: SourceState) -> float:
        """Sends what the source's limiter permits. Returns the seconds until it permits more."""
        blocked = self.queue.send(source)
        if blocked is None:
            return math.inf
        if blocked.reason:
            self.claims_while_blocked &= source is self.queue.second.state
            self.queue.release_blocked(source, blocked)
        return _recheck_after(blocked.seconds)

    def _fail_if_stalled(self, blocked: Blocked) -> None:
        """Fails the task if its source refuses every request, or has been blocked for too long."""
        if blocked.refusal_code:
            lifecycle.fail_by(self.lane, *describe_refusal(self.task.source, blocked))
        if blocked.reason and not self.stall_checked and is_stalled(self.task.pk, self.conf):
            message = reasons.stored_reason("source_paused", source=self.task.source, reason=blocked.reason)
            lifecycle.fail_by(self.lane, "source_paused", message)
        self.stall_checked = True


def _recheck_after(seconds: float) -> float:
    """Returns when to check again what changes in so many seconds: another process may change it sooner."""
    return max(min(seconds, RECHECK_SECONDS), MIN_WAIT_SECONDS)
