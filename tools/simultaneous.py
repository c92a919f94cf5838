"""Processes that begin at the same instant: forks, which share what their parent has loaded."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

forks = multiprocessing.get_context("fork")
LONGEST_SECONDS = 120.0


class Simultaneous:
    """Processes that wait, each with its own database connection, until `release` lets all of them begin.

    Each calls `action` with its number.
    """

    def __init__(self, count: int, action: Callable[[int], Any]) -> None:
        self.barrier = forks.Barrier(count + 1)
        connections.close_all()
        self.pipes = [self._fork(number, action) for number in range(count)]

    def release(self) -> None:
        """Returns once all of them have begun."""
        self.barrier.wait(LONGEST_SECONDS)

    def results(self) -> list[Any]:
        """Returns what each process returned, or the traceback of what it raised. Raises `EOFError` for a
        process that was killed.
        """
        assert all(pipe.poll(LONGEST_SECONDS) for pipe in self.pipes), "the processes never end"
        return [pipe.recv() for pipe in self.pipes]

    def _fork(self, number: int, action: Callable[[int], Any]) -> Any:
        receiver, sender = forks.Pipe(duplex=False)

        def run() -> None:
            try:
                connection.ensure_connection()
                self.barrier.wait(LONGEST_SECONDS)
                result = action(number)
            except BaseException:
                result = traceback.format_exc()
            sender.send(result)
            os._exit(0)  # nothing of the parent's is flushed or closed here

        forks.Process(target=run, daemon=True).start()
        sender.close()
        return receiver


def run_at_once(count: int, action: Callable[[int], Any]) -> list[Any]:
    """Returns what each of the processes returned."""
    processes = Simultaneous(count, action)
    processes.release()
    return processes.results()
