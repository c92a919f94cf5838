"""Runs calls to sources in separate threads, so that a hung call can be abandoned."""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from tasks_app.engine.answers import to_source_error
from tasks_app.errors import stored_reason
from tasks_app.sources.base import Permanent, SourceError, Transient

logger = logging.getLogger(__name__)
Key = TypeVar("Key")


@dataclass
class Call(Generic[Key]):
    """One call: its key, when it began (monotonic seconds; None: not yet), and how it ended.

    `ended`: its thread is done, so it can no longer be overdue. `missed`: its permitted time was over when
    its thread woke up, so no request was sent. `seconds`: how long the request took. `result` is what the
    function returned.
    """

    key: Key
    began: float | None = None
    seconds: float = 0.0
    missed: bool = False
    ended: bool = False
    result: Any = None
    error: SourceError | None = None
    recalled: threading.Event = field(default_factory=threading.Event)


class OutOfMemory(Permanent):
    """The worker reached its limit of memory during the request; another request may be the cause."""

    code = "memory_limit"


class CallPool(Generic[Key]):
    """The calls in flight. One that takes longer than `timeout` seconds is abandoned as `Transient`.

    A thread can't be stopped: a call that is abandoned during its request lives on until its own end, so
    `abandoned`, the number of these calls and of those that ran out of memory, tells the caller to have the
    process replaced. Calls that still wait for their permitted time never send a request.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.abandoned = 0
        self._open: dict[int, Call[Key]] = {}
        self._ended: SimpleQueue[Call[Key]] = SimpleQueue()
        self._beginning = threading.Lock()

    def is_idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._open

    def in_flight(self) -> list[Key]:
        """Returns the keys of the calls in flight."""
        return [call.key for call in self._open.values()]

    def submit(
        self, key: Key, function: Callable[[], Any], since: float = 0.0, until: float = float("inf")
    ) -> None:
        """Runs the function in a new daemon thread; it begins between two monotonic times or not at all."""
        call = Call(key)
        self._open[id(call)] = call
        threading.Thread(target=self._run, args=(call, function, since, until), daemon=True).start()

    def next(self, wait: float) -> Call[Key] | None:
        """Returns a call that has ended, waiting up to `wait` seconds for one; None if none did."""
        if overdue := self._abandon_overdue():
            return overdue
        try:
            while True:
                call = self._ended.get(timeout=max(wait, 0.0))
                if self._open.pop(id(call), None):
                    return call
        except Empty:
            return self._abandon_overdue()

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
        self.abandoned += sum(call.began is not None and not call.ended for call in self._open.values())
        self._open.clear()

    def _abandon_overdue(self) -> Call[Key] | None:
        """Removes one overdue call. Returns a failed call in its place; None if no call is overdue."""
        for call in self._open.values():
            if call.began is None or call.ended:
                continue
            if time.monotonic() - call.began > self.timeout:
                del self._open[id(call)]
                self.abandoned += 1
                error = Transient(stored_reason("timeout", seconds=self.timeout), code="timeout")
                return Call(call.key, call.began, self.timeout, error=error)
        return None

    def _run(self, call: Call[Key], function: Callable[[], Any], since: float, until: float) -> None:
        """The thread: waits for the permitted time, runs the function and reports its end."""
        while (early := since - time.monotonic()) > 0 and not call.recalled.wait(early):
            continue
        with self._beginning:
            now = time.monotonic()
            call.missed = now > until
            if not (call.missed or call.recalled.is_set()):
                call.began = now
        if call.began is not None:
            try:
                call.result = function()
            except MemoryError as error:
                traceback.clear_frames(error.__traceback__)  # they hold what has filled the memory
                logger.warning("a request reached the worker's limit of memory")
                self.abandoned += 1  # the process is to be replaced
                call.error = OutOfMemory(stored_reason("memory_limit"))
            except BaseException as error:  # anything that a vendor's library raises is that stock's failure
                call.error = to_source_error(error)
            call.seconds = time.monotonic() - call.began
        call.ended = True
        self._ended.put(call)
