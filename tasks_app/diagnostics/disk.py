"""Disks: room and permission to write, where the database, the exports, the files of a source
and the cache are."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from tasks_app.db import disk_reserve, sqlite_priority
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.texts import gettext_lazy as _
from tasks_app.queue import dispatch

MEGABYTE = 1_000_000
FULL_BYTES, LOW_BYTES, LOW_SHARE = 100 * MEGABYTE, 1000 * MEGABYTE, 0.05

ROOM = ok("disk_room", _("%(what)s: %(free)s free of %(total)s (%(path)s)"))
LOW = warning(
    "disk_low",
    _("%(what)s: only %(free)s of %(total)s are free (%(path)s)."),
    _(
        "Make room: old exports, old tasks (COLLECTOR_RETENTION_DAYS), raw answers"
        " (COLLECTOR_RAW_ANSWERS_MB)."
    ),
    operations("old-tasks"),
)
FULL = fault(
    "disk_full",
    _("%(what)s: only %(free)s of %(total)s are free (%(path)s). The next write may fail."),
    _("Make room now, then retry the task that failed as disk_full. What was stored stays."),
    operations("sqlite"),
)
NOT_WRITABLE = fault(
    "folder_not_writable",
    _("%(what)s: this user can't write into %(path)s."),
    _("Give the folder to the user that runs web server and workers, on a disk that is mounted for writing."),
)
FOLDER_MISSING = fault(
    "folder_missing",
    _("%(what)s: there is no folder %(path)s."),
    _("Mount or make it, or correct the setting."),
)
NO_RESERVE = warning(
    "disk_reserve_missing",
    _("Workers run, but their reserve of disk space is missing: %(path)s"),
    _("It is made again when two megabytes are free and the folder can be written."),
    operations("sqlite"),
)


def examine() -> Iterator[Finding]:
    """Asks the file systems. Takes no query."""
    for what, path, is_written in places():
        yield from _examine(what, path, is_written)
    reserve = disk_reserve.path()
    if reserve and not reserve.exists() and dispatch.live_clusters():
        yield NO_RESERVE(path=reserve)


def places() -> list[tuple[Any, Path, bool]]:
    """Returns what lies where on this machine, and whether it is written; not PostgreSQL's own folder."""
    conf, found = settings.COLLECTOR, []
    if file := sqlite_priority.database_file():
        found.append((_("database"), Path(file).parent, True))
    cache = settings.CACHES["default"].get("LOCATION")
    if isinstance(cache, Path):
        found.append((_("cache"), cache, True))
    for what, folder, is_written in (
        (_("exports"), conf.export_dir, True),
        (_("files of the source csv"), conf.csv_dir, False),
        (_("log of the simulated source"), conf.simulated.log and str(Path(conf.simulated.log).parent), True),
    ):
        if folder:
            found.append((what, Path(folder), is_written))
    return found


def _examine(what: Any, path: Path, is_written: bool) -> Iterator[Finding]:
    if not path.exists():
        if path == settings.CACHES["default"].get("LOCATION"):  # made by the first process that needs it
            path = path.parent if path.parent.exists() else path.parent.parent
        else:
            yield FOLDER_MISSING(what=what, path=path)
            return
    if is_written and not os.access(path, os.W_OK | os.X_OK):
        yield NOT_WRITABLE(what=what, path=path)
        return
    usage = shutil.disk_usage(path)
    kind = ROOM
    if is_written and usage.free < LOW_BYTES and usage.free < LOW_SHARE * usage.total:
        kind = LOW
    if is_written and usage.free < FULL_BYTES:
        kind = FULL
    yield kind(what=what, path=path, free=filesizeformat(usage.free), total=filesizeformat(usage.total))
