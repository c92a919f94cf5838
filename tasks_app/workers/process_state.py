"""State that the supervisor shares with its processes, in memory that is written without locks.

A lock would be lost with a process that is killed while it holds it, and all others would wait for it.
"""

import ctypes
import time
from multiprocessing.sharedctypes import RawArray


class ProcessState(ctypes.Structure):
    """One process: its pid (0 while there is none), whether it runs a job, and when it must report next."""

    _fields_ = (("pid", ctypes.c_int), ("is_busy", ctypes.c_bool), ("deadline", ctypes.c_double))
    pid: int
    is_busy: bool
    deadline: float

    def extend_deadline(self, seconds: float) -> None:
        """Reports that the process is alive. The supervisor kills it if the next report comes later."""
        self.deadline = time.monotonic() + seconds

    def is_overdue(self) -> bool:
        """Whether the process has not reported in time."""
        return time.monotonic() > self.deadline


def shared_states(count: int) -> list[ProcessState]:
    """Returns states in memory that this process shares with all processes that it forks."""
    return list(RawArray(ProcessState, count))
