"""Runs calls to sources in separate threads, so that a hung call can be abandoned."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from tasks_app.engine.answer_fields import is_a
from tasks_app.engine.answers import to_source_error
from tasks_app.reasons import stored_reason
from tasks_app.sources.base import Permanent, SourceError, Transient
from tasks_app.sources.permits import granting_permits
from tasks_app.throttle.limiter import NO_PERMIT, Blocked, Permit
from tasks_app.workers import job_time, memory

logger = logging.getLogger(__name__)
Key = TypeVar("Key")
Reserve = Callable[[int], list[Permit] | Blocked]  # of one request, by its cost
RECHECK_SECONDS = 1.0
MIN_WAIT_SECONDS = 0.005
JOB_SECONDS = 30.0  # that a job may take besides a request that has just been permitted


@dataclass
class Call(Generic[Key]):
    """One call: its key, when it began (monotonic seconds; None: not yet), and how it ended.

    `ended`: its thread is done, so it can no longer be overdue. `missed`: its permitted time was over when
    its thread woke up, or it got no first permit, so no request was sent. `first_cost`: the cost of the first
    permit if the call takes that itself: only then it begins. `seconds`: how long the request took, without
    its waits for permits, which `reserve` returns, and for its turn. `waits`: it waits for one of them, so it
    can't be overdue. `result` is what the function returned.
    """

    key: Key
    began: float | None = None
    seconds: float = 0.0
    missed: bool = False
    ended: bool = False
    reserve: Reserve | None = None
    first_cost: int = 0
    waits: bool = False
    result: Any = None
    error: SourceError | None = None
    recalled: threading.Event = field(default_factory=threading.Event)


@dataclass
class PermitRequest(Generic[Key]):
    """A call in flight wants another permit: see `sources.base.take_permit`. The answer goes to `reply`."""

    call: Call[Key]
    cost: int
    reply: "SimpleQueue[list[Permit] | Blocked]"


class OutOfMemory(Permanent):
    """The worker reached its limit of memory during the request; another request may be the cause."""

    code = "memory_limit"

    def __init__(self) -> None:
        super().__init__(stored_reason("memory_limit"))


class CallPool(Generic[Key]):
    """The calls in flight. One that takes longer than `timeout` seconds is abandoned as `Transient`.

    A thread can't be stopped: a call that is abandoned during its request lives on until its own end, so
    `abandoned`, the number of these calls and of those that ran out of memory, tells the caller to have the
    process replaced. Calls that still wait for their permitted time never send a request.

    A call may take further permits for itself. They are reserved in the caller's thread, which alone uses the
    database, while it is in `next`.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.abandoned = 0
        self._out_of_memory = OutOfMemory()  # made while there is memory
        self._ran_out_at = -math.inf  # when a call last ran out of memory
        self._open: dict[int, Call[Key]] = {}
        self._ended: SimpleQueue[Call[Key] | PermitRequest[Key]] = SimpleQueue()
        self._beginning = threading.Lock()

    def is_idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._open

    def in_flight(self) -> list[Key]:
        """Returns the keys of the calls in flight."""
        return [call.key for call in self._open.values()]

    def submit(
        self,
        key: Key,
        function: Callable[[], Any],
        since: float = 0.0,
        until: float = float("inf"),
        reserve: Reserve | None = None,
        *,
        first_cost: int = 0,
    ) -> None:
        """Runs the function in a new daemon thread; it begins between two monotonic times or not at all.

        `reserve` is asked for the further permits that the function takes; without it they cost nothing. With
        a `first_cost` it is asked for the first one, too, when the function takes it: there are no times.

        Raises `RuntimeError` when the system starts no thread: its stack counts against the memory's limit.
        """
        call = Call(key, reserve=reserve, first_cost=first_cost)
        self._open[id(call)] = call
        run = partial(copy_context().run, self._run, call, function, since, until)  # with the log's fields
        threading.Thread(target=run, daemon=True).start()

    def next(self, wait: float) -> Call[Key] | None:
        """Returns a call that has ended, waiting up to `wait` seconds for one; None if none did.

        Calls that take permits meanwhile do not make it wait any longer: the caller has heartbeats to send.
        """
        if overdue := self._abandon_overdue():
            return overdue
        left, ends_at = max(wait, 0.0), time.monotonic() + max(wait, 0.0)
        try:
            while True:
                entry = self._ended.get(timeout=left)
                if not isinstance(entry, PermitRequest):
                    if self._open.pop(id(entry), None):
                        return entry
                    continue
                self._reply(entry)
                if (left := ends_at - time.monotonic()) <= 0:
                    break
        except Empty:
            pass
        return self._take_unqueued() or self._abandon_overdue()

    def recall(self) -> list[Key]:
        """Removes the calls that have not begun, so that they never will. Returns their keys."""
        with self._beginning:
            waiting = [call for call in self._open.values() if call.began is None and not call.missed]
            for call in waiting:
                call.recalled.set()
                del self._open[id(call)]
        return [call.key for call in waiting]

    def abandon_all(self) -> None:
        """Removes all calls; their results are ignored."""
        self.recall()
        for call in self._open.values():
            call.recalled.set()  # one that waits for a permit gets none
        running = [call for call in self._open.values() if call.began is not None and not call.ended]
        self.abandoned += len(running)
        self._open.clear()

    def _abandon_overdue(self) -> Call[Key] | None:
        """Removes one overdue call. Returns a failed call in its place; None if no call is overdue."""
        for call in self._open.values():
            if call.began is None or call.ended or call.waits:
                continue
            if time.monotonic() - call.began > self.timeout:
                call.recalled.set()  # it gets no further permit
                del self._open[id(call)]
                self.abandoned += 1
                error = Transient(stored_reason("timeout", seconds=self.timeout), code="timeout")
                return Call(call.key, call.began, self.timeout, error=error)
        return None

    def _take_unqueued(self) -> Call[Key] | None:
        """Removes and returns a call that ended without memory to queue it; None if there is none."""
        for call in self._open.values():
            if call.ended:
                del self._open[id(call)]
                return call
        return None

    def _run(self, call: Call[Key], function: Callable[[], Any], since: float, until: float) -> None:
        """The thread: waits for the permitted time, runs the function and reports its end."""
        try:
            if call.first_cost or self._begin(call, since, until):
                take, waiting = partial(self._take_permit, call), partial(_waiting, call)
                with granting_permits(take, waiting, has_first=not call.first_cost):
                    call.result = function()
        except BaseException as error:  # anything that a vendor's library raises is that stock's failure
            call.error = self._out_of_memory  # should there be no memory to find out more
            call.error = self._to_source_error(call, error)
            call.missed = call.began is None and call.error.code == NO_PERMIT
        finally:
            if call.began is not None:
                call.seconds = time.monotonic() - call.began
            call.ended = True
            self._ended.put(call)

    def _begin(self, call: Call[Key], since: float, until: float) -> bool:
        """Waits for the call's time. Returns whether it is to be made."""
        while (early := since - time.monotonic()) > 0 and not call.recalled.wait(early):
            continue
        with self._beginning:
            now = time.monotonic()
            call.missed = now > until
            if not (call.missed or call.recalled.is_set()):
                call.began = now
        return call.began is not None

    def _reply(self, request: PermitRequest[Key]) -> None:
        """Reserves a further permit for a call that is still open, and gives the job time for it."""
        if id(request.call) in self._open and request.call.reserve:
            request.reply.put(request.call.reserve(request.cost))
            if self.timeout < math.inf:
                job_time.extend(self.timeout + JOB_SECONDS)

    def _take_permit(self, call: Call[Key], cost: int) -> None:
        """Waits in the call's thread for a permit. Raises `Transient` when there is none."""
        if call.reserve is None:
            return
        with _waiting(call):
            while not self._is_permitted(call, call.first_cost if call.began is None else cost):
                continue
        with self._beginning:
            _require(call)
            if call.began is None:
                call.began = time.monotonic()

    def _is_permitted(self, call: Call[Key], cost: int) -> bool:
        """Asks once, and waits for the permitted time. Returns whether the request may begin now."""
        request = PermitRequest(call, cost, SimpleQueue())
        self._ended.put(request)
        while True:
            _require(call)
            try:
                reply = request.reply.get(timeout=RECHECK_SECONDS)
                break
            except Empty:
                continue
        if isinstance(reply, Blocked):
            if reply.reason:
                raise Transient(reply.reason, code=NO_PERMIT)
            call.recalled.wait(min(max(reply.seconds, MIN_WAIT_SECONDS), RECHECK_SECONDS))
            return False
        permit = reply[0]
        while (early := permit.since - time.monotonic()) > 0 and not call.recalled.wait(early):
            continue
        _require(call)
        return time.monotonic() <= permit.until

    def _to_source_error(self, call: Call[Key], error: BaseException) -> SourceError:
        """Returns what a call's error means for its stock."""
        if memory.is_memory_error(error):
            self._ran_out_at = time.monotonic()
        elif not self._may_lack_memory(call, error):
            return to_source_error(error)
        self.abandoned += 1  # the process is to be replaced
        memory.clear_frames(error)  # they hold what has filled the memory
        logger.warning("a request reached the worker's limit of memory")
        return self._out_of_memory

    def _may_lack_memory(self, call: Call[Key], error: BaseException) -> bool:
        """Returns whether another call, perhaps an abandoned one, may have caused an error by its memory.

        Libraries pass a `MemoryError` on as an error of their own, and some hide it. What a source itself
        says keeps its meaning; it has no other error among its causes.
        """
        is_alone = len(self._open) == 1 and not self.abandoned
        if is_alone or all(is_a(cause, SourceError) for cause in memory.causes(error)):
            return False
        return self._ran_out_at >= (call.began or math.inf) or memory.is_scarce()


@contextmanager
def _waiting(call: Call[Any]) -> Iterator[Callable[[], None]]:
    """Context in the thread of a call whose time is none of the call's. Yields `_require` for it."""
    asked, call.waits = time.monotonic(), True
    try:
        yield partial(_require, call)
    finally:
        if call.began is not None:
            call.began += time.monotonic() - asked
        call.waits = False


def _require(call: Call[Any]) -> None:
    """Raises `Transient` in the thread of a call that was abandoned."""
    if call.recalled.is_set():
        raise Transient(stored_reason("no_permit"), code=NO_PERMIT)
