"""The story of an export: find the parts that changed, write them, publish.

It can be left after any step, also by a kill: parts that are written stay, and the next run goes on. Parts
that are read while a collection writes are of different moments; the manifest says so, and the next run
writes what has changed since.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max, Sum

from tasks_app.db.functions import database_now
from tasks_app.exports import changed_parts
from tasks_app.exports.changed_parts import Base, last_change
from tasks_app.exports.errors import OtherSelection
from tasks_app.exports.folder import ExportFolder
from tasks_app.exports.layouts import LAYOUTS
from tasks_app.exports.manifest import Manifest, Part
from tasks_app.exports.selection import Selection
from tasks_app.exports.stock_files import require_prices
from tasks_app.models import CollectionTask, DataDeletion, DataImport, RawAnswerReplay, TaskEvent
from tasks_app.models.states import TaskStatus

SCANNING, WRITING, PUBLISHING, ENDED = "scanning", "writing", "publishing", "ended"


@dataclass(frozen=True)
class Progress:
    """How far an export is: `done` of `total` steps of a phase, and the rows that this run has written.

    Where `is_resumable` is true, a step of work has just ended: a run that is left there loses nothing, and
    the next one gets further.
    """

    phase: str
    done: int
    total: int
    rows: int = 0
    is_resumable: bool = True


class ExportRun:
    """An export into a folder. `name` identifies the work: a later run of that name goes on with its scan.

    `manifest` says what was exported once `steps` has ended, `written` how many parts were written anew.
    """

    def __init__(self, folder: Path, selection: Selection, name: str) -> None:
        self.folder, self.selection, self.name = ExportFolder(folder), selection, name
        self.layout = LAYOUTS[selection.layout](selection)
        self.rows = self.written = 0
        self.state: dict[str, Any] = {}
        self.published: dict[str, Part] = {}
        self.staged: dict[str, Part] = {}
        self.manifest = Manifest({})

    def steps(self) -> Generator[Progress]:
        """Runs the export. Raises `ExportError`, and `django.db.Error` when the database is unavailable."""
        require_prices(self.selection)
        with self.folder.opened():
            self._take_up()
            yield from self._scan()
            yield from self._write()
            yield Progress(PUBLISHING, 0, 1, self.rows, is_resumable=False)
            self._publish()
        yield Progress(ENDED, 1, 1, self.rows, is_resumable=False)

    def _take_up(self) -> None:
        """Reads what is published and staged, and the state that an earlier run of this work left."""
        described, migration = self.selection.as_dict(), _last_migration()
        self.folder.finish_publication()
        before = self.folder.read_manifest()
        if before and before.selection != described:
            raise OtherSelection(folder=self.folder.path, other=describe(before.selection))
        if before and before.migration == migration:  # a migration may change rows without a trace
            self.published = before.parts
        origin = {"selection": described, "migration": migration}
        self.state = self.folder.read_state()
        if {name: self.state.get(name) for name in origin} != origin:
            self.folder.discard()
        self.staged = self.folder.staged()
        if self.state.get("name") != self.name:
            number, number_at = last_change()
            since = changed_parts.since(before, self.selection) if before and self.published else None
            begun = {"cursor": "", "is_scanned": False, "versions": {}, "memory": {}, "moment": _moment()}
            numbers = {"since": since, "number": number, "number_at": number_at}
            self.state = {"name": self.name, **origin, **begun, **numbers}
            self.folder.write_state(self.state)
        self.layout.memory = self.state["memory"]
        if (since := self.state.get("since")) is not None:
            versions = {key: part.version for key, part in self.published.items()}
            self.layout.base = Base(versions, since, self.state["number"])

    def _scan(self) -> Iterator[Progress]:
        """Reads the versions of all parts into the state, from where an earlier run left off."""
        if self.state["is_scanned"]:
            return
        try:
            for cursor, done, total in self.layout.scan(self.state["versions"], self.state["cursor"]):
                self.state["cursor"] = cursor
                yield Progress(SCANNING, done, total)
            self.state["is_scanned"] = True
        finally:
            self.folder.write_state(self.state)

    def _write(self) -> Iterator[Progress]:
        """Writes the parts whose stored rows are not those of their files."""
        changed = sorted(key for key in self.state["versions"] if not self._is_current(key))
        total = len(changed)
        for done, key in enumerate(changed):
            rows = 0
            with self.folder.writing() as scratch:
                for written in self.layout.write(key, scratch):
                    rows, self.rows = rows + written, self.rows + written
                    yield Progress(WRITING, done, total, self.rows, is_resumable=False)
                self.staged[key] = self.folder.keep(scratch, key, self._version(key), rows)
            yield Progress(WRITING, done + 1, total, self.rows)

    def _version(self, key: str) -> str:
        """The version of a part; without one its rows are read once in each run."""
        version: str = self.state["versions"][key]
        return version or f"as read by {self.name}"

    def _is_current(self, key: str) -> bool:
        version = self._version(key)
        if (part := self.staged.get(key)) and part.version == version:
            return True
        published = self.published.get(key)
        return bool(published and published.version == version and not self.folder.lacks(published))

    def _publish(self) -> None:
        parts = {}
        for key in self.state["versions"]:
            waiting, before = self.staged.get(key), self.published.get(key)
            if waiting is None or waiting.version != self._version(key):
                parts[key] = self.published[key]
                continue
            parts[key] = waiting
            self.written += before is None or before.files != waiting.files
        moment = _moment()
        self.manifest = Manifest(
            selection=self.state["selection"],
            migration=self.state["migration"],
            exported_at=database_now().isoformat(),
            is_consistent=self.selection.as_of is not None
            or (moment == self.state["moment"] and not moment["running"]),
            number=self.state.get("number"),
            number_at=self.state.get("number_at", ""),
            parts=dict(sorted(parts.items())),
        )
        self.folder.publish(self.manifest)


def describe(selection: dict[str, Any]) -> str:
    """Returns a selection as text, such as `layout=parquet, market=CN`."""
    restricted = {name: value for name, value in selection.items() if value not in (None, "", [])}
    if selection["adjust"] == "":
        restricted["adjust"] = "none"
    texts = {name: ",".join(value) if name == "codes" else value for name, value in restricted.items()}
    return ", ".join(f"{name}={text}" for name, text in texts.items())[:200]


def _last_migration() -> str:
    applied = MigrationRecorder.Migration.objects.filter(app="tasks_app")
    return str(applied.order_by("-name").values_list("name", flat=True).first() or "")


def _moment() -> dict[str, Any]:
    """Returns what changes when bars are written: by a task, a deletion, a replay or an import."""
    deleted = DataDeletion.objects.aggregate(Max("pk"), Sum("bars"))
    return {
        "running": CollectionTask.objects.filter(status=TaskStatus.RUNNING).exists(),
        "event": TaskEvent.objects.aggregate(Max("pk"))["pk__max"],
        "deletion": [deleted["pk__max"], int(deleted["bars__sum"] or 0)],
        "replay": list(RawAnswerReplay.objects.order_by("-pk").values_list("pk", "added", "corrected")[:1]),
        "import": list(DataImport.objects.order_by("-pk").values_list("pk", "rows")[:1]),
    }
