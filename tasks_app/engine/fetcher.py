"""Calls to a source in threads of their own, so that a hung one can be given up."""

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
    """One call: what it is for, when it began (monotonic seconds), and how it ended."""

    key: Key
    began: float = field(default_factory=time.monotonic)
    answer: Answer | None = None
    error: SourceError | None = None


class Fetcher(Generic[Key, Answer]):
    """Up to `limit` calls at once. A call that outlasts `timeout` seconds is given up as Transient.

    A thread can't be stopped: the given-up ones live on until their own end, so `abandoned` tells
    the caller to let the process be replaced.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self.limit = limit
        self.timeout = timeout
        self.abandoned = 0
        self._open: dict[int, Call[Key, Answer]] = {}
        self._ended: SimpleQueue[Call[Key, Answer]] = SimpleQueue()

    def free(self) -> int:
        """How many more calls may be made now."""
        return self.limit - len(self._open)

    def idle(self) -> bool:
        """Nothing is being asked."""
        return not self._open

    def submit(self, key: Key, call: Callable[[], Answer]) -> None:
        """Make the call in a new daemon thread."""
        entry: Call[Key, Answer] = Call(key)
        self._open[id(entry)] = entry
        threading.Thread(target=self._run, args=(entry, call), daemon=True).start()

    def next(self, wait: float) -> Call[Key, Answer] | None:
        """A call that has ended, waiting up to `wait` seconds for one; None when none did."""
        try:
            while True:
                entry = self._ended.get(timeout=max(wait, 0.0))
                if self._open.pop(id(entry), None):
                    return entry
        except Empty:
            return self._overdue()

    def give_up(self) -> None:
        """Forget all open calls: their answers will not be looked at."""
        self.abandoned += len(self._open)
        self._open.clear()

    def _overdue(self) -> Call[Key, Answer] | None:
        for entry in self._open.values():
            if time.monotonic() - entry.began > self.timeout:
                del self._open[id(entry)]
                self.abandoned += 1
                late = Transient(f"The source did not answer within {self.timeout:g} s.", code="timeout")
                return Call(entry.key, entry.began, error=late)
        return None

    def _run(self, entry: Call[Key, Answer], call: Callable[[], Answer]) -> None:
        try:
            entry.answer = call()
        except SourceError as error:
            entry.error = error
        except BaseException as error:  # whatever a vendor's library raises is that stock's failure
            logger.exception("the source raised something unforeseen")
            entry.error = Permanent(f"{type(error).__name__}: {error}", code="source_raised")
        self._ended.put(entry)
