"""Who writes next on SQLite: people before workers.

SQLite has one write lock and no queue for it: who finds it taken sleeps for a while and looks again,
so that two workers which write without a pause can keep a cancel waiting for a second. PostgreSQL
needs none of this.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, cast

from django.db import connection

if TYPE_CHECKING:
    from django.db.backends.sqlite3.base import DatabaseWrapper

try:
    import fcntl
except ImportError:  # Windows has no flock; there SQLite's own lottery decides
    fcntl = None  # type: ignore[assignment]

LONGEST_SECONDS = 1.0
LOOK_SECONDS = 0.002


@contextmanager
def interactive_write() -> Iterator[None]:
    """A person's write goes in here: workers begin no further one until it is over.

    Within a transaction there is nothing to wait for: it holds the write lock already, which those who
    are ahead may be waiting for.
    """
    name = "" if connection.in_atomic_block else _lock()
    if not name:
        yield
        return
    descriptor = _open(name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def yield_to_interactive() -> None:
    """A worker calls this before it writes: it returns when nobody is ahead, or after a second."""
    name = _lock()
    if not name:
        return
    descriptor, deadline = _own(name, os.getpid()), time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
            continue
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return


def database_file() -> str:
    """The path of the SQLite database; "" where the database is no file."""
    if connection.vendor != "sqlite" or cast("DatabaseWrapper", connection).is_in_memory_db():
        return ""
    return str(connection.settings_dict["NAME"])


def _lock() -> str:
    """The file that is locked, beside the database; "" where there is no need or no file."""
    name = database_file() if fcntl else ""
    return f"{name}-turn" if name else ""


def _open(name: str) -> int:
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)


@cache
def _own(name: str, pid: int) -> int:
    """This process's descriptor: one that was inherited would share its locks with the parent."""
    return _open(name)
