"""Limits the memory of processes, from outside: a process that is busy can't watch itself. Linux only.

Ten times a second, and more often while one of them is large, the supervisor looks at its processes and
moves their RLIMIT_DATA: a process may allocate as much as its resident memory has left below the limit. What
asks for more gets a `MemoryError`. RLIMIT_AS would not do: V8, jemalloc and others reserve gigabytes of
addresses that they never touch. A fixed RLIMIT_DATA would count the untouched stacks of threads as if they
were used. A process that gets beyond the limit all the same, by memory that is shared, is killed.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEGABYTE = 1_000_000
WALL = 0.9  # of the limit: an allocation fails before the process is killed
_PAGE = resource.getpagesize() if resource else 0


class Usage(NamedTuple):
    """Bytes of a process: in physical memory, and in its data segment, touched or not."""

    resident: int
    data: int


def read_usage(pid: int) -> Usage | None:
    """Returns the memory of a process; None if it has ended, and where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None
    return Usage(int(fields[1]) * _PAGE, int(fields[5]) * _PAGE)


def limit(pid: int, megabytes: int) -> float:
    """Lets the process allocate what it has left below the limit. Returns the share of it that is used."""
    if (usage := read_usage(pid)) is None:
        return 0.0
    allowed = megabytes * MEGABYTE
    wall = usage.data + max(int(allowed * WALL) - usage.resident, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
        soft = wall if hard == resource.RLIM_INFINITY else min(wall, hard)
        resource.prlimit(pid, resource.RLIMIT_DATA, (soft, hard))
    return usage.resident / allowed
