"""Lets users write before workers on SQLite.

SQLite has one write lock and no queue for it: a writer that finds it taken sleeps and tries again, so two
workers that write without a pause can keep a cancel waiting for a second. Therefore a user's verb holds a
lock on a file beside the database, and workers wait for that file before they write. It decides only who
writes first; correctness stays with the database. PostgreSQL needs none of this.
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
except ImportError:  # Windows has no flock: SQLite's own order applies
    fcntl = None  # type: ignore[assignment]

LONGEST_SECONDS = 1.0
RETRY_SECONDS = 0.002


@contextmanager
def interactive_write() -> Iterator[None]:
    """Context of a user's write: workers begin no further write until it ends.

    Inside a transaction it does not wait: the transaction holds the write lock already, and the process
    that holds the file may be waiting for that.
    """
    path = "" if connection.in_atomic_block else _lock_path()
    if not path:
        yield
        return
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def yield_to_interactive() -> None:
    """Waits while a user writes, for a second at most. A worker calls this before each write."""
    if not (path := _lock_path()):
        return
    descriptor, deadline = _own_descriptor(path, os.getpid()), time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(RETRY_SECONDS)
            continue
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return


def database_file() -> str:
    """Returns the path of the SQLite database; "" for one in memory and for PostgreSQL."""
    if connection.vendor != "sqlite" or cast("DatabaseWrapper", connection).is_in_memory_db():
        return ""
    return str(connection.settings_dict["NAME"])


def _lock_path() -> str:
    """Returns the path of the locked file; "" where no lock is needed or possible."""
    path = database_file() if fcntl else ""
    return f"{path}-turn" if path else ""


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)


@cache
def _own_descriptor(path: str, pid: int) -> int:
    """Returns this process's descriptor: an inherited one would share its locks with the parent."""
    return _open(path)
