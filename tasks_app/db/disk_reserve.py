"""A reserve of disk space, so that a task on a full disk can still store why it failed.

On a full disk SQLite cannot store even that (tests/concurrency/test_database_loss.py fills one): without
the reserve the task would stay "running" with no reason shown. PostgreSQL keeps its own.
"""

import logging
import os
import shutil
from pathlib import Path

from tasks_app.db import sqlite_priority

logger = logging.getLogger("tasks_app.worker")
SIZE = 1 << 20
REQUIRED_FREE = 2 * SIZE  # with less space left, the reserve itself would fill the disk


def reserve() -> None:
    """Reserves 1 MB next to the database, unless it is reserved already or the disk is nearly full."""
    file = path()
    if file is None:
        return
    try:
        if file.exists() or shutil.disk_usage(file.parent).free < REQUIRED_FREE:
            return
        try:
            with file.open("xb") as output:
                output.write(bytes(SIZE))  # written, because file systems store a mere size as a hole
                os.fsync(output.fileno())
        except FileExistsError:  # another process was first
            pass
        except OSError:
            file.unlink(missing_ok=True)  # all of it or nothing
            raise
    except OSError as error:
        logger.warning("no disk space could be reserved: %s", error)


def release() -> None:
    """Releases the reserve, for the few pages that store why the task failed."""
    if file := path():
        file.unlink(missing_ok=True)


def path() -> Path | None:
    """Returns the path of the reserve; None unless the database is an SQLite file."""
    name = sqlite_priority.database_file()
    return Path(f"{name}-ballast") if name else None
