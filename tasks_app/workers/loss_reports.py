"""Reports of dead worker processes, from the supervisor to the watchdog.

The supervisor knows within a moment that a worker has died, but has no database connection. A pipe carries
the reports: a short write to a pipe is atomic, takes no lock that a killed process could keep, and what is in
the pipe outlives a watchdog that dies. If a report is lost, the leases of the dead worker expire instead.
"""

import json
import os
import select
import time
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from tasks_app.workers import shutdown
from tasks_app.workers.process_state import HeldLane

PIPE_BYTES = 65_536  # the most that a pipe holds on Linux


class Loss(NamedTuple):
    """A lane whose worker process is dead. `exit_code` is negative for a signal."""

    lane: HeldLane
    exit_code: int


class LossReports:
    """A pipe from the supervisor to the watchdogs that it forks, one after another."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    def send(self, loss: Loss) -> None:
        """Reports a loss. Never blocks: drops the report if no watchdog reads."""
        (task_id, number, generation), exit_code = loss
        line = json.dumps([task_id.hex, number, generation, exit_code]) + "\n"
        with suppress(BlockingIOError):  # the pipe is full
            os.write(self._writer, line.encode())

    def receive(self, seconds: float) -> list[Loss]:
        """Returns the losses that have been reported, waiting up to `seconds` for the first one.

        Returns early without any when a stop is requested.
        """
        deadline = time.monotonic() + seconds
        while not shutdown.is_requested() and (left := deadline - time.monotonic()) > 0:
            if select.select([self._reader], [], [], min(left, shutdown.POLL_SECONDS))[0]:
                lines = os.read(self._reader, PIPE_BYTES).decode().splitlines()
                return [_parse(line) for line in lines]
        return []


def _parse(line: str) -> Loss:
    task_id, number, generation, exit_code = json.loads(line)
    return Loss(HeldLane(UUID(task_id), number, generation), exit_code)
