"""What the supervisor and its processes tell each other: shared memory that is written without locks.

A lock would be lost with a process that is killed while it holds it, and all others would wait for it.
"""

import ctypes
import time
from multiprocessing.sharedctypes import RawArray


class ProcessState(ctypes.Structure):
    """One process: its pid (0 while there is none), and until when it is known to be well."""

    _fields_ = (("pid", ctypes.c_int), ("is_busy", ctypes.c_bool), ("deadline", ctypes.c_double))
    pid: int
    is_busy: bool
    deadline: float

    def expect_sign_within(self, seconds: float) -> None:
        """Gives a sign of life: if the next one takes longer, the supervisor kills the process."""
        self.deadline = time.monotonic() + seconds

    def is_overdue(self) -> bool:
        """Whether the promised sign of life did not come."""
        return time.monotonic() > self.deadline


def shared_states(count: int) -> list[ProcessState]:
    """States in memory that this process shares with all that it forks."""
    return list(RawArray(ProcessState, count))
