"""Waits for a source while keeping the lane's lease alive."""

import time
from typing import TypeVar

from tasks_app import lifecycle
from tasks_app.engine.call_pool import Call, CallPool
from tasks_app.lifecycle import Lane

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class Heartbeat:
    """Sends a lane's heartbeat every `interval` seconds, from the thread that waits."""

    def __init__(self, lane: Lane, interval: float) -> None:
        self.lane = lane
        self.interval = interval
        self._due = time.monotonic() + interval

    def wait(self, calls: CallPool[Key, Answer], timeout: float = float("inf")) -> Call[Key, Answer] | None:
        """Returns a call that has ended, or None at the next heartbeat or after `timeout` seconds.

        Raises `StaleClaim` once the lane is lost.
        """
        call = calls.next(min(self._due - time.monotonic(), timeout))
        if time.monotonic() >= self._due:
            lifecycle.beat(self.lane)
            self._due = time.monotonic() + self.interval
        return call
