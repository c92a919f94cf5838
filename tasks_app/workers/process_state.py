"""State that the supervisor shares with its processes, in memory that is written without locks.

A lock would be lost with a process that is killed while it holds it, and all others would wait for it.
"""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from typing import NamedTuple
from uuid import UUID


class HeldLane(NamedTuple):
    """The lane of a task that a worker process runs a slice of, as `lifecycle.Lane`."""

    task_id: UUID
    number: int
    generation: int


class ProcessState(ctypes.Structure):
    """One process: its pid (0 while there is none), whether it runs a job, and when it must report next.

    While `holds_lane`, it runs the slice of this generation of a task's lane.
    """

    _fields_ = (
        ("pid", ctypes.c_int),
        ("is_busy", ctypes.c_bool),
        ("deadline", ctypes.c_double),
        ("task_id", ctypes.c_char * 32),
        ("number", ctypes.c_int),
        ("generation", ctypes.c_longlong),
        ("holds_lane", ctypes.c_bool),
    )
    pid: int
    is_busy: bool
    deadline: float
    task_id: bytes
    number: int
    generation: int
    holds_lane: bool

    def extend_deadline(self, seconds: float) -> None:
        """Reports that the process is alive. The supervisor kills it if the next report comes later."""
        self.deadline = time.monotonic() + seconds

    def deadline_left(self) -> float:
        """Returns the seconds until the process must report."""
        return self.deadline - time.monotonic()

    @contextmanager
    def holding(self, lane: HeldLane) -> Iterator[None]:
        """Marks the lane as held by this process meanwhile. Its slice must have begun.

        If the process dies meanwhile, the mark stays, and the supervisor has the lane released.
        """
        self.task_id = lane.task_id.hex.encode()
        self.number, self.generation = lane.number, lane.generation
        self.holds_lane = True  # last: the process may be killed between any two of these
        try:
            yield
        finally:
            self.holds_lane = False

    def take_lane(self) -> HeldLane | None:
        """Returns the lane that a dead process still held, once; None if it held none."""
        if not self.holds_lane:
            return None
        self.holds_lane = False
        return HeldLane(UUID(self.task_id.decode()), self.number, self.generation)

    def is_overdue(self) -> bool:
        """Whether the process has not reported in time."""
        return time.monotonic() > self.deadline


own_state = ProcessState()  # a worker process replaces it by the one that its supervisor reads


def shared_states(count: int) -> list[ProcessState]:
    """Returns states in memory that this process shares with all processes that it forks."""
    return list(RawArray(ProcessState, count))
