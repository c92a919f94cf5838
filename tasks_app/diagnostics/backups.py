"""Backups: the age and size of the newest file in COLLECTOR_BACKUP_DIR."""

import os
import time
from collections.abc import Iterator
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.texts import gettext_lazy as _

MOST_FILES = 10_000  # looked at
SHRUNK = 0.5

SEE = operations("backups")
RECENT = ok("backup_recent", _("The newest backup is %(hours)s h old and takes %(size)s: %(path)s"))
UNKNOWN = warning(
    "backups_unknown",
    _("The folder of the backups is unknown: COLLECTOR_BACKUP_DIR is not set."),
    _("Make backups every day, and set COLLECTOR_BACKUP_DIR to the folder where they arrive."),
    SEE,
)
NONE = fault(
    "backup_missing",
    _("There is no backup in %(path)s."),
    _("Make one now, and see why the job that makes them did not run."),
    SEE,
)
OLD = fault(
    "backup_old",
    _("The newest backup is %(hours)s h old: %(path)s. COLLECTOR_BACKUP_HOURS is %(most)g."),
    _("See why the job that makes them did not run, and make one now."),
    SEE,
)
SMALL = warning(
    "backup_small",
    _("The newest backup, %(path)s, has %(bytes)s bytes; the one before had %(before)s."),
    _("Try whether it can be restored. It may have been cut off, or data were deleted on purpose."),
    SEE,
)


class Backup(NamedTuple):
    modified: float
    size: int
    path: str


def examine() -> Iterator[Finding]:
    """Looks at the files of the folder, not at those of folders in it. Takes no query."""
    folder = settings.COLLECTOR.backup_dir
    if not folder:
        yield UNKNOWN()
        return
    newest = nlargest(2, _files(Path(folder)))
    if not newest:
        yield NONE(path=folder)
        return
    hours = (time.time() - newest[0].modified) / 3600
    most = settings.COLLECTOR.backup_hours
    if hours > most:
        yield OLD(hours=f"{hours:,.1f}", most=most, path=newest[0].path)
    else:
        yield RECENT(hours=f"{hours:,.1f}", size=filesizeformat(newest[0].size), path=newest[0].path)
    before = newest[1].size if len(newest) > 1 else 1
    if newest[0].size < SHRUNK * before:
        yield SMALL(path=newest[0].path, bytes=f"{newest[0].size:,}", before=f"{before:,}")


def _files(folder: Path) -> Iterator[Backup]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in islice(entries, MOST_FILES):
            if entry.is_file():
                status = entry.stat()
                yield Backup(status.st_mtime, status.st_size, entry.path)
