"""Room for the last word: on a full disk SQLite could otherwise not even store that the task failed."""

import logging
import os
import shutil
from pathlib import Path

from django.db import connection

logger = logging.getLogger("tasks_app.worker")
SIZE = 1 << 20
FREE = 2 * SIZE  # with less than this left, it would itself be what fills the disk


def keep() -> None:
    """Lay by a megabyte beside the database, unless it lies there already or there is no room."""
    path = _path()
    if path is None or path.exists() or shutil.disk_usage(path.parent).free < FREE:
        return
    try:
        with path.open("xb") as file:
            file.write(bytes(SIZE))  # written, not only promised: file systems may give holes
            os.fsync(file.fileno())
    except FileExistsError:
        return
    except OSError as error:
        path.unlink(missing_ok=True)
        logger.warning("no room could be laid by for a full disk: %s", error)


def drop() -> None:
    """Give the room back, for the few pages that say why the task ended."""
    if path := _path():
        path.unlink(missing_ok=True)


def _path() -> Path | None:
    """The file beside the database; None where the database is no file of ours."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or "memory" in name:
        return None
    return Path(f"{name}-ballast")
