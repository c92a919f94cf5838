"""An SQLite database: its journal, its disk, its size, and on request whether it is intact."""

import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from django.db import connection
from django.template.defaultfilters import filesizeformat

from tasks_app.db import sqlite_priority
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.guard_names import Guards
from tasks_app.diagnostics.texts import gettext_lazy as _

MEGABYTE = 1_000_000
LARGE_WAL = 1000 * MEGABYTE
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "glusterfs", "ceph"})
MOUNTS = Path("/proc/self/mounts")

SIZE = ok("database_size", _("The file takes %(size)s, of which %(free)s can be reused."))
NOT_WAL = fault(
    "journal_mode",
    _("SQLite's journal mode is %(mode)s, not WAL: readers and writers block each other."),
    _("Put the file on a local disk with room, and restart everything. A network disk can't have WAL."),
    operations("sqlite"),
)
READ_ONLY = fault(
    "database_read_only",
    _("The database can't be written: %(path)s"),
    _(
        "Give the user that runs the workers and the web server the file and its folder, on a"
        " disk that is writable."
    ),
    operations("sqlite"),
)
ON_NETWORK = fault(
    "database_on_network_disk",
    _("The database is on a network disk (%(kind)s). SQLite's locks do not hold there, and the file breaks."),
    _("Move it to a local disk, or use PostgreSQL."),
    operations("sqlite"),
)
WAL_LARGE = warning(
    "wal_large",
    _("The file -wal has %(size)s. It can't be merged while one reader stays open."),
    _("End what reads for so long, a forgotten sqlite3 shell or a bulk read; then restart the workers."),
    operations("sqlite"),
)
INTACT = ok("database_intact", _("PRAGMA quick_check finds nothing wrong."))
DAMAGED = fault(
    "database_damaged",
    _("The database is damaged: %(problem)s"),
    _("Stop everything, keep a copy of the file with its -wal and -shm, and restore the last backup."),
    operations("backups"),
)


def exists(file: str) -> bool:
    """Returns whether the database's file is there. To connect would make an empty one."""
    return Path(file).exists()


def guards() -> Guards:
    """Reads the names of triggers and constraints, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index', 'trigger')"
        )
        rows = cursor.fetchall()
    triggers = frozenset(name for kind, name, _sql in rows if kind == "trigger")
    indexes = frozenset(name for kind, name, _sql in rows if kind == "index")
    in_tables = (re.findall(r'CONSTRAINT "(\w+)"', sql) for kind, _name, sql in rows if kind == "table")
    return Guards(triggers, indexes.union(*in_tables))


def examine() -> Iterator[Finding]:
    """Examines the file without reading its rows. A database in memory has none."""
    if not (file := sqlite_priority.database_file()):
        return
    yield from why_not_written(Path(file))
    if kind := network_disk(Path(file)):
        yield ON_NETWORK(kind=kind)
    mode = str(_pragma("journal_mode"))
    pages, free, size = (int(_pragma(name)) for name in ("page_count", "freelist_count", "page_size"))
    if mode != "wal":
        yield NOT_WAL(mode=mode)
    wal = Path(f"{file}-wal")
    if (wal_bytes := wal.stat().st_size if wal.exists() else 0) > LARGE_WAL:
        yield WAL_LARGE(size=filesizeformat(wal_bytes))
    yield SIZE(size=filesizeformat(pages * size), free=filesizeformat(free * size))


def is_damage(error: BaseException) -> bool:
    """Whether SQLite could not read the file because it is damaged, or none of its own."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def check_integrity() -> Iterator[Finding]:
    """Reads the whole file: takes seconds per gigabyte."""
    problem = _pragma("quick_check(1)")
    yield INTACT() if problem == "ok" else DAMAGED(problem=" ".join(str(problem).split()))


def network_disk(path: Path) -> str:
    """Returns the type of the network file system that a path is on; "" for none, and outside Linux."""
    if not MOUNTS.exists():
        return ""
    best, kind = "", ""
    target = str(path.resolve())
    for line in MOUNTS.read_text().splitlines():
        _device, folder, found, *_rest = line.split()
        folder = folder.encode().decode("unicode_escape")  # spaces are written as \040
        if (target == folder or target.startswith(folder.rstrip("/") + "/")) and len(folder) >= len(best):
            best, kind = folder, found
    return kind if kind in NETWORK else ""


def why_not_written(file: Path) -> Iterator[Finding]:
    """Yields a finding if this user, or the disk, lets nobody write the file."""
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            yield READ_ONLY(path=path)
            return


def _pragma(name: str) -> int | str:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        value: int | str = cursor.fetchone()[0]
    return value
