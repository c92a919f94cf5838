"""Runs calls to sources in separate threads, so that a hung call can be abandoned."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tasks_app.sources.base import Permanent, SourceError, Transient

logger = logging.getLogger(__name__)
Key = TypeVar("Key")
Answer = TypeVar("Answer")


@dataclass
class Call(Generic[Key, Answer]):
    """One call: its key, when it began (monotonic seconds; None: not yet), and how it ended.

    `ended`: its thread is done, so it can no longer be overdue. `missed`: its permitted time was over when
    its thread woke up, so no request was sent. `seconds`: how long the request took.
    """

    key: Key
    began: float | None = None
    seconds: float = 0.0
    missed: bool = False
    ended: bool = False
    answer: Answer | None = None
    error: SourceError | None = None
    recalled: threading.Event = field(default_factory=threading.Event)


class CallPool(Generic[Key, Answer]):
    """The calls in flight. One that takes longer than `timeout` seconds is abandoned as `Transient`.

    A thread can't be stopped: a call that is abandoned during its request lives on until its own end, so
    `abandoned` (their number) tells the caller to have the process replaced. Calls that still wait for their
    permitted time never send a request.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.abandoned = 0
        self._open: dict[int, Call[Key, Answer]] = {}
        self._ended: SimpleQueue[Call[Key, Answer]] = SimpleQueue()
        self._beginning = threading.Lock()

    def is_idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._open

    def submit(
        self, key: Key, call: Callable[[], Answer], since: float = 0.0, until: float = float("inf")
    ) -> None:
        """Runs the call in a new daemon thread; it begins between two monotonic times or not at all."""
        entry: Call[Key, Answer] = Call(key)
        self._open[id(entry)] = entry
        threading.Thread(target=self._run, args=(entry, call, since, until), daemon=True).start()

    def next(self, wait: float) -> Call[Key, Answer] | None:
        """Returns a call that has ended, waiting up to `wait` seconds for one; None if none did."""
        if late := self._overdue():
            return late
        try:
            while True:
                entry = self._ended.get(timeout=max(wait, 0.0))
                if self._open.pop(id(entry), None):
                    return entry
        except Empty:
            return self._overdue()

    def recall(self) -> list[Key]:
        """Removes the calls that have not begun, so that they never will. Returns their keys."""
        with self._beginning:
            waiting = [entry for entry in self._open.values() if entry.began is None and not entry.missed]
            for entry in waiting:
                entry.recalled.set()
                del self._open[id(entry)]
        return [entry.key for entry in waiting]

    def abandon_all(self) -> None:
        """Removes all calls; their answers are ignored."""
        self.recall()
        self.abandoned += sum(entry.began is not None and not entry.ended for entry in self._open.values())
        self._open.clear()

    def _overdue(self) -> Call[Key, Answer] | None:
        for entry in self._open.values():
            if entry.began is None or entry.ended:
                continue
            if time.monotonic() - entry.began > self.timeout:
                del self._open[id(entry)]
                self.abandoned += 1
                late = Transient(f"The source did not answer within {self.timeout:g} s.", code="timeout")
                return Call(entry.key, entry.began, self.timeout, error=late)
        return None

    def _run(self, entry: Call[Key, Answer], call: Callable[[], Answer], since: float, until: float) -> None:
        while (early := since - time.monotonic()) > 0 and not entry.recalled.wait(early):
            continue
        if self._begin(entry, until):
            self._ask(entry, call)
        entry.ended = True
        self._ended.put(entry)

    def _begin(self, entry: Call[Key, Answer], until: float) -> bool:
        with self._beginning:
            now = time.monotonic()
            entry.missed = now > until
            if entry.missed or entry.recalled.is_set():
                return False
            entry.began = now
        return True

    def _ask(self, entry: Call[Key, Answer], call: Callable[[], Answer]) -> None:
        try:
            entry.answer = call()
        except SourceError as error:
            entry.error = error
        except BaseException as error:  # anything that a vendor's library raises is that stock's failure
            logger.exception("the source raised an unexpected error")
            entry.error = Permanent(f"{type(error).__name__}: {error}", code="source_raised")
        entry.seconds = time.monotonic() - (entry.began or 0.0)
