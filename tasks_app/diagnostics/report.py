"""Examines all areas, each by itself: one that fails, or that needs the database, never hides the others."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import Error, connection

from tasks_app.db.errors import is_missing_table
from tasks_app.diagnostics import (
    backups,
    cache,
    calendars,
    clocks,
    database,
    disk,
    installation,
    job_queue,
    lanes,
    sources,
    sqlite,
    web,
    workers,
)
from tasks_app.diagnostics.findings import Finding, Severity, fault
from tasks_app.diagnostics.texts import gettext_lazy as _

logger = logging.getLogger(__name__)
STATEMENT_SECONDS = 5  # of PostgreSQL: a table that a migration has locked must not hold the doctor up
FAILED = fault(
    "check_failed",
    _("This could not be examined: %(reason)s"),
    _("The log has the error. If nothing else above explains it, report it as a fault of this program."),
)
ORDER = (Severity.OK, Severity.WARNING, Severity.FAULT)


@dataclass(frozen=True)
class Area:
    """What is examined together. Without its tables an area with `needs_tables` is left out."""

    name: str
    title: Any
    examine: Callable[[], Iterable[Finding]]
    needs_tables: bool = False


@dataclass
class AreaReport:
    """What was found in an area. `is_skipped`: it was not examined, for want of a database."""

    name: str
    title: str
    findings: list[Finding] = field(default_factory=list)
    is_skipped: bool = False


@dataclass(frozen=True)
class Report:
    areas: list[AreaReport]

    @property
    def findings(self) -> list[Finding]:
        return [finding for area in self.areas for finding in area.findings]

    @property
    def worst(self) -> Severity:
        """The worst severity of all findings."""
        return max((finding.severity for finding in self.findings), key=ORDER.index, default=Severity.OK)

    def count(self, severity: Severity) -> int:
        """Returns how many findings have this severity."""
        return sum(finding.severity is severity for finding in self.findings)


def areas() -> tuple[Area, ...]:
    """Returns the areas after the database itself, in the order of a report."""
    host = socket.gethostname()
    return (
        Area("clocks", _("Clocks"), partial(clocks.examine, host), needs_tables=True),
        Area("queue", _("Queue"), job_queue.examine, needs_tables=True),
        Area("workers", _("Workers"), partial(workers.examine, host), needs_tables=True),
        Area("lanes", _("Use of the workers"), lanes.examine, needs_tables=True),
        Area("calendars", _("Calendars"), calendars.examine, needs_tables=True),
        Area("sources", _("Sources"), sources.examine, needs_tables=True),
        Area("disk", _("Disks"), disk.examine),
        Area("backups", _("Backups"), backups.examine),
        Area("cache", _("Cache"), cache.examine),
        Area("web", _("Web server"), web.examine),
        Area("installation", _("Installation"), installation.examine),
    )


def examine(*, integrity: bool = False) -> Report:
    """Examines everything; raises nothing. With `integrity` an SQLite file is read as a whole."""
    reached = AreaReport("database", str(_("Database")), [database.reach()])
    has_tables = reached.findings[0].severity is Severity.OK
    with _bounded_statements(has_tables):
        if has_tables:
            reached.findings += _run(database.tables)
            reached.findings += _run(database.guards)
            if integrity and connection.vendor == "sqlite":
                reached.findings += _run(sqlite.check_integrity)
        reports = [_examine(area, has_tables) for area in areas()]
    return Report([reached, *reports])


def _examine(area: Area, has_tables: bool) -> AreaReport:
    report = AreaReport(area.name, str(area.title))
    if area.needs_tables and not has_tables:
        report.is_skipped = True
        return report
    try:
        report.findings += _run(area.examine)
    except Error:
        report.is_skipped = True  # the migrations' finding says why
    return report


def _run(examine: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Returns what was found. Raises `django.db.Error` for a missing table: migrations are told elsewhere."""
    found: list[Finding] = []
    try:
        found.extend(examine())
    except Exception as error:
        if isinstance(error, Error) and is_missing_table(error):
            raise
        logger.exception("the doctor could not examine something")
        found.append(FAILED(reason=f"{type(error).__name__}: {' '.join(str(error).split())}"))
    return found


@contextmanager
def _bounded_statements(is_connected: bool) -> Iterator[None]:
    """Context in which PostgreSQL cancels statements that take longer than `STATEMENT_SECONDS`."""
    if connection.vendor != "postgresql" or not is_connected:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [f"{STATEMENT_SECONDS}s"])
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:  # it may be gone, with what was set
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [before])
