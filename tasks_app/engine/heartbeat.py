"""Waiting for a source while keeping hold of the lane."""

import time
from typing import TypeVar

from tasks_app import lifecycle
from tasks_app.engine.call_pool import Call, CallPool
from tasks_app.lifecycle import Lane

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class Heartbeat:
    """Beats for a lane every `every` seconds, from the thread that waits."""

    def __init__(self, lane: Lane, every: float) -> None:
        self.lane = lane
        self.every = every
        self._due = time.monotonic() + every

    def wait(self, fetcher: CallPool[Key, Answer], at_most: float = float("inf")) -> Call[Key, Answer] | None:
        """A call that ended, or None at the next beat, or after `at_most` seconds.

        Raises `StaleClaim` once the lane is lost.
        """
        call = fetcher.next(min(self._due - time.monotonic(), at_most))
        if time.monotonic() >= self._due:
            lifecycle.beat(self.lane)
            self._due = time.monotonic() + self.every
        return call
