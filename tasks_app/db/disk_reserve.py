"""Room for the last word: on a full disk SQLite could otherwise not even store that the task failed."""

import logging
import os
import shutil
from pathlib import Path

from tasks_app.db import sqlite_priority

logger = logging.getLogger("tasks_app.worker")
SIZE = 1 << 20
FREE = 2 * SIZE  # with less than this left, it would itself be what fills the disk


def reserve() -> None:
    """Lay by a megabyte beside the database, unless it lies there already or there is no room."""
    path = _path()
    if path is None:
        return
    try:
        if not path.exists() and shutil.disk_usage(path.parent).free >= FREE:
            _write(path)
    except OSError as error:
        logger.warning("no room could be laid by for a full disk: %s", error)


def release() -> None:
    """Give the room back, for the few pages that say why the task ended."""
    if path := _path():
        path.unlink(missing_ok=True)


def _write(path: Path) -> None:
    """Whole or not at all. Raises OSError."""
    try:
        with path.open("xb") as file:
            file.write(bytes(SIZE))  # written, not only promised: file systems may give holes
            os.fsync(file.fileno())
    except FileExistsError:  # another process was first
        return
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _path() -> Path | None:
    """The file beside the database; None where the database is no file of ours."""
    name = sqlite_priority.database_file()
    return Path(f"{name}-ballast") if name else None
