"""Exports as jobs of the queue: one function per verb.

A job works for one slice of time, then queues its successor. What it wrote lies in the folder, so a killed
worker costs one part at most. The row has a generation like a task's lane: of two copies of a job one works.
A command that exports by itself has a row, too, without jobs.
"""

import math
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.errors import CollectorError
from tasks_app.exports import errors
from tasks_app.exports.folder import WORK
from tasks_app.exports.run import PUBLISHING, ExportRun, Progress
from tasks_app.exports.selection import Selection
from tasks_app.lifecycle import audit
from tasks_app.lifecycle.events import Actor
from tasks_app.models import Export
from tasks_app.models.audit import AuditVerb
from tasks_app.models.transfers import ExportState
from tasks_app.queue import dispatch

MAX_LOSSES = 5  # workers in a row that end without having finished a slice
RUNNING = ExportState.RUNNING
PRUNED = 100
ID = r"[1-9][0-9]{0,17}"


def start(folder: Path, selection: Selection, actor: Actor, *, is_queued: bool = True) -> Export:
    """Starts an export. Raises `ExportRunning` while another one writes into the folder."""
    try:
        with sqlite_priority.interactive_write(), transaction.atomic():
            _fail_interrupted(Export.objects.filter(folder=str(folder)))
            export = Export.objects.create(
                folder=str(folder),
                layout=selection.layout,
                selection=selection.as_dict(),
                is_queued=is_queued,
                host="" if is_queued else socket.gethostname(),
                user=actor.user,
                user_name=actor.name,
                channel=actor.channel,
            )
            if is_queued:
                dispatch.queue_export(export.pk, export.generation)
    except IntegrityError:
        seconds = math.ceil(settings.COLLECTOR.lease)
        raise errors.ExportRunning(folder=folder, seconds=seconds) from None
    return export


def get_export(export_id: str) -> Export:
    """Returns the export of an untrusted id. Raises `ExportNotFound`."""
    export = Export.objects.filter(pk=int(export_id)).first() if re.fullmatch(ID, export_id) else None
    if export is None:
        raise errors.ExportNotFound(export=export_id[:40])
    return export


def describe(export: Export) -> dict[str, Any]:
    """Returns an export as the API shows it; the sentence of its error in the reader's language."""
    columns = (
        *("id", "folder", "layout", "selection", "state", "phase", "done", "total", "rows", "parts"),
        *("written", "checksum", "is_consistent", "at", "ended_at", "user_name", "channel"),
    )
    return {
        **{name: getattr(export, name) for name in columns},
        "error_code": export.error["code"] if export.error else "",
        "error_message": errors.describe(export.error) or None,
    }


def cancel(export_id: int, actor: Actor) -> None:
    """Cancels an export; the published files stay. Raises `ExportEnded`, also while it publishes."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        running = Export.objects.filter(pk=export_id, state=RUNNING).exclude(phase=PUBLISHING)
        if not running.update(state=ExportState.CANCELLED, ended_at=Now(), generation=F("generation") + 1):
            raise errors.ExportEnded
        folder = Export.objects.values_list("folder", flat=True).get(pk=export_id)
        audit.record(AuditVerb.CANCELLED, "export", actor, object_id=export_id, name=folder)


class StaleExport(Exception):
    """The export was cancelled, or another worker goes on with it."""


class Worker:
    """What works on an export: the slice of a job, or a command until the end.

    `keep_alive` is called with each heartbeat, so that the job's time-out does not end it.
    """

    def __init__(self, export: Export, keep_alive: Callable[[], object] = lambda: None) -> None:
        self.export, self.keep_alive = export, keep_alive
        self.run = ExportRun(Path(export.folder), Selection.from_dict(export.selection), str(export.pk))
        self.rows_before = export.rows
        self._beat_at = float("-inf")

    def work(self, seconds: float, show: Callable[[Progress], object] = lambda step: None) -> bool:
        """Works for some seconds at least. Returns whether the export has ended.

        Raises `StaleExport`, `ExportError`, and `django.db.Error` when the database is unavailable.
        """
        until = time.monotonic() + seconds
        with closing(self.run.steps()) as steps:
            for step in steps:
                show(step)
                self._beat(step)
                if step.is_resumable and time.monotonic() > until:
                    return False
        return True

    def _beat(self, step: Progress) -> None:
        """Tells how far it is, at most once per COLLECTOR_HEARTBEAT, and always before it publishes."""
        now = time.monotonic()
        if step.phase != PUBLISHING and now - self._beat_at < settings.COLLECTOR.heartbeat:
            return
        self._beat_at = now
        self.keep_alive()
        values = {"phase": step.phase, "done": step.done, "total": step.total}
        if not _own(self.export).update(heartbeat_at=Now(), rows=self.rows_before + step.rows, **values):
            raise StaleExport


def begin(export_id: int, generation: int) -> Export | None:
    """Begins the job of a generation; None if it has begun before, or is over."""
    queued = Export.objects.filter(pk=export_id, state=RUNNING, generation=generation, begun=False)
    if not queued.update(begun=True, heartbeat_at=Now()):
        return None
    return Export.objects.get(pk=export_id)


def require_same_folder(export: Export) -> None:
    """Raises `FolderNotShared` if the export began on another machine, whose folder is not this one."""
    host = socket.gethostname()
    if export.host and export.host != host and not (Path(export.folder) / WORK).is_dir():
        raise errors.FolderNotShared(folder=export.folder, host=export.host, other=host)
    if not export.host:
        _own(export).update(host=host)


def go_on_later(export: Export) -> None:
    """Queues the next slice, in one transaction with the end of this one."""
    with transaction.atomic():
        if _own(export).update(generation=F("generation") + 1, begun=False, losses=0, heartbeat_at=Now()):
            dispatch.queue_export(export.pk, export.generation + 1)


def complete(export: Export, run: ExportRun) -> None:
    """Records what the export holds."""
    manifest = run.manifest
    _own(export).update(
        state=ExportState.COMPLETED,
        ended_at=Now(),
        done=F("total"),
        rows=manifest.rows,
        parts=len(manifest.parts),
        written=run.written,
        checksum=manifest.checksum,
        is_consistent=manifest.is_consistent,
    )


def fail(export: Export, error: CollectorError) -> None:
    """Ends the export with an error, whose sentence `errors.describe` gives."""
    _fail(_own(export), error)


def recover() -> None:
    """Goes on with exports whose workers are lost; called by the watchdogs.

    A job that nobody begins is queued again after COLLECTOR_ABANDON_AFTER: it may have been deleted. Raises
    `django.db.Error` when the database is unavailable.
    """
    unbegun_before = Now() - timedelta(seconds=settings.COLLECTOR.abandon_after)
    is_silent = Q(begun=True, heartbeat_at__lt=_lost_before()) | Q(
        begun=False, heartbeat_at__lt=unbegun_before
    )
    for export in Export.objects.filter(is_silent, state=RUNNING, is_queued=True):
        if export.losses + 1 >= MAX_LOSSES:
            fail(export, errors.ExportWorkersLost(count=MAX_LOSSES))
            continue
        with transaction.atomic():
            later = {"generation": F("generation") + 1, "begun": False, "losses": F("losses") + 1}
            if _own(export).filter(heartbeat_at__lt=_lost_before()).update(heartbeat_at=Now(), **later):
                dispatch.queue_export(export.pk, export.generation + 1)
    _fail_interrupted(Export.objects.all())


def prune(days: int) -> int:
    """Deletes up to a batch of exports that ended more than `days` days ago (0: none); returns how many."""
    if not days:
        return 0
    old = Export.objects.filter(ended_at__lt=Now() - timedelta(days=days)).order_by("pk")
    return Export.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:PRUNED])).delete()[0]


def _fail_interrupted(exports: QuerySet[Export]) -> None:
    """Ends the exports of commands that were killed."""
    silent = exports.filter(state=RUNNING, is_queued=False, heartbeat_at__lt=_lost_before())
    _fail(silent, errors.ExportInterrupted())


def _fail(exports: QuerySet[Export], error: CollectorError) -> None:
    stored = {"code": error.code, "params": {name: str(value) for name, value in error.params.items()}}
    exports.update(state=ExportState.FAILED, ended_at=Now(), error=stored)


def _lost_before() -> Any:
    return Now() - timedelta(seconds=settings.COLLECTOR.lease)


def _own(export: Export) -> QuerySet[Export]:
    return Export.objects.filter(pk=export.pk, state=RUNNING, generation=export.generation)
