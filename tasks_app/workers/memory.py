"""Limits the memory of processes, from outside: a process that is busy can't watch itself. Linux only.

Ten times a second, and more often while one of them is large, the supervisor looks at its processes and
moves their RLIMIT_DATA: a process may allocate as much as its resident memory has left below the limit. What
asks for more gets a `MemoryError`. RLIMIT_AS would not do: V8, jemalloc and others reserve gigabytes of
addresses that they never touch. A fixed RLIMIT_DATA would count the untouched stacks of threads as if they
were used. A process that gets beyond the limit all the same, by memory that is shared, is killed.
"""

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEGABYTE = 1_000_000
WALL = 0.9  # of the limit: an allocation fails before the process is killed
SCARCE = 32 * MEGABYTE  # several stacks of threads: with less left, anything may fail for want of memory
MOST_CAUSES = 100  # a foreign error may have any number, and be its own cause
_CAUSE, _CONTEXT, _TRACEBACK = (
    BaseException.__dict__[name] for name in ("__cause__", "__context__", "__traceback__")
)
_PARTS = BaseExceptionGroup.__dict__["exceptions"]
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


def is_scarce() -> bool:
    """Returns whether this process has almost reached its RLIMIT_DATA, and so may fail in any way."""
    if resource is None:
        return False
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    usage = None if soft == resource.RLIM_INFINITY else read_usage(os.getpid())
    return usage is not None and soft - usage.data < SCARCE


def is_memory_error(error: BaseException) -> bool:
    """Returns whether the error is a `MemoryError`, or was raised because of one."""
    return any(issubclass(type(cause), MemoryError) for cause in causes(error))


def clear_frames(error: BaseException) -> None:
    """Frees what the functions held that the error, or one of its causes, passed through."""
    for cause in causes(error):
        traceback.clear_frames(_TRACEBACK.__get__(cause))


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what it was raised because of or while handling, however it was wrapped.

    Attributes are read as the built-in classes have them: a foreign error may define them anew.
    """
    seen = [error]
    for cause in seen:
        yield cause
        parts = _PARTS.__get__(cause) if issubclass(type(cause), BaseExceptionGroup) else ()
        for found in (_CAUSE.__get__(cause), _CONTEXT.__get__(cause), *parts[:MOST_CAUSES]):
            if len(seen) < MOST_CAUSES and found is not None and all(found is not known for known in seen):
                seen.append(found)
