"""Brings a whole export back into an empty database, bit by bit.

Every file is checked before anything is written. A file is one transaction, which also notes that it is
imported: an import that was interrupted goes on with the next file. No collection runs beside a transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.db import DataError, IntegrityError, connection
from django.db.models import AutoField, Max, Model
from django.db.models.functions import Now

from tasks_app import time_zones
from tasks_app.exports import bars, manifest as manifests, tables
from tasks_app.exports.errors import (
    DamagedFile,
    DatabaseNotEmpty,
    ImportDiscarded,
    LaterExport,
    PartialExport,
    RowConflict,
    UnfinishedExport,
)
from tasks_app.exports.folder import ExportFolder
from tasks_app.exports.manifest import Manifest
from tasks_app.exports.run import describe
from tasks_app.exports.selection import Selection
from tasks_app.lifecycle.slot import locked_slot, require_free_slot
from tasks_app.models import (
    CodeChange,
    CollectionItem,
    Correction,
    DailyBar,
    DataImport,
    Finding,
    SyntheticSource,
)
from tasks_app.quotes import coverage, upsert

CHECKING, IMPORTING, ENDED = "checking", "importing", "ended"
BATCH = 5_000
# Rows that migrations make, by their columns. They give way to those of the export.
SEEDS: dict[type[Model], dict[str, Any]] = {
    SyntheticSource: {"name": "simulated"},
    CodeChange: {"market": "US", "old_code": "FB", "new_code": "META", "changed_on": date(2022, 6, 9)},
}


@dataclass(frozen=True)
class Progress:
    """How far an import is: `done` of `total` files of a phase, and the rows that are imported."""

    phase: str
    done: int
    total: int
    rows: int = 0


def import_folder(folder: Path) -> Iterator[Progress]:
    """Imports an export; yields after each file, and while large ones are read.

    Raises `ImportRefused` before anything is written, `TaskAlreadyRunning` while a task runs, `RowConflict`
    when something else was stored since the import began, and `ImportDiscarded` once it is discarded.
    """
    manifest = _read(folder)
    record = _find_unfinished(manifest)
    if record is None:
        require_empty()
    checked = []
    for path, problem in manifests.verified(folder, manifest):
        if problem:
            raise DamagedFile(file=folder / path, reason=problem)
        checked.append(path)
        yield Progress(CHECKING, len(checked), len(manifest.files))
    record = record or _begin(folder, manifest)
    order = sorted(checked, key=_rank)
    for done, path in enumerate(order, 1):
        if path not in record.done:
            _import_file(record, folder, path)
        yield Progress(IMPORTING, done, len(order), record.rows)
    _end(record)
    yield Progress(ENDED, len(order), len(order), record.rows)


def require_empty() -> None:
    """Raises `DatabaseNotEmpty` if a table that an export fills has rows, other than those of migrations."""
    models: list[Any] = [DailyBar, *(table.model for table in tables.EXPORTED)]
    found = []
    for model in models:
        rows: Any = model._default_manager.all()
        if model in SEEDS:
            rows = rows.exclude(**SEEDS[model])
        if rows.exists():
            found.append(str(model._meta.verbose_name_plural))
    if found:
        raise DatabaseNotEmpty(tables=", ".join(found))


def _read(folder: Path) -> Manifest:
    """Returns the manifest of a folder that can be imported. Raises `ImportRefused`."""
    if ExportFolder(folder).next.exists():
        raise UnfinishedExport(folder=folder)
    manifest = manifests.read(folder)
    if manifest.selection != Selection().as_dict():
        raise PartialExport(folder=folder, selection=describe(manifest.selection))
    for key in manifest.parts:
        if bars.read_key(key) is None and table_of(key) is None:
            raise LaterExport(folder=folder, reason=key)
    return manifest


def table_of(path: str) -> tables.Table | None:
    """Returns the table of a part or file; None for one that is not known here."""
    folder, _, name = path.partition("/")
    name = name.removesuffix(tables.SUFFIX).partition("-")[0]
    known = {table.name: table for table in tables.EXPORTED}
    return known.get(name) if folder == tables.FOLDER else None


def _rank(path: str) -> tuple[int, str]:
    """Returns the place of a file: tables in their order, then the bars."""
    names = [table.name for table in tables.EXPORTED]
    table = table_of(path)
    return (names.index(table.name) if table else len(names), path)


def _find_unfinished(manifest: Manifest) -> DataImport | None:
    """Returns the interrupted import of the same export.

    Raises `DatabaseNotEmpty` for one of another, and `ImportDiscarded`.
    """
    record = DataImport.objects.filter(ended_at__isnull=True).first()
    if record:
        require_not_discarded(record)
    if record and record.checksum != manifest.checksum:
        raise DatabaseNotEmpty(tables=f"{record.folder} ({time_zones.write(record.at)})")
    return record


def require_not_discarded(record: DataImport) -> None:
    """Raises `ImportDiscarded` if it is being discarded, or was."""
    if record.is_discarded:
        raise ImportDiscarded(folder=record.folder)


def _begin(folder: Path, manifest: Manifest) -> DataImport:
    with locked_slot():
        require_free_slot()
        require_empty()
        if record := _find_unfinished(manifest):  # another process was first
            return record
        for model, seed in SEEDS.items():
            model._default_manager.filter(**seed).delete()
        return DataImport.objects.create(
            folder=str(folder)[:500], checksum=manifest.checksum, exported_at=manifest.exported_at
        )


def _import_file(record: DataImport, folder: Path, path: str) -> None:
    """Imports a file in one transaction, unless another process has just done it."""
    try:
        with locked_slot():
            require_free_slot()
            _allow_pauses()
            record.refresh_from_db()
            require_not_discarded(record)
            if path in record.done:
                return
            table = table_of(path)
            rows = _import_table(table, folder / path) if table else _import_bars(folder, path)
            record.done, record.rows = [*record.done, path], record.rows + rows
            record.save(update_fields=["done", "rows"])
    except (IntegrityError, DataError) as error:
        raise RowConflict(file=path, reason=" ".join(str(error).split())) from error


def _allow_pauses() -> None:
    """Lets PostgreSQL wait while a busy machine unpacks rows: by itself it ends pauses of ten seconds."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '10min'")


def _import_table(table: tables.Table, path: Path) -> int:
    lines = tables.read_rows(path)
    names = next(lines)
    try:
        parse = tables.parsers(table.model, names)
    except KeyError as error:
        raise LaterExport(folder=path, reason=f"{table.name}.{error.args[0]}") from error
    count, batch = 0, []
    manager = table.model._default_manager
    for values in lines:
        parsed = {name: make(value) for name, make, value in zip(names, parse, values, strict=True)}
        batch.append(table.model(**parsed))
        if len(batch) == BATCH:
            manager.bulk_create(batch)
            count, batch = count + len(batch), []
    manager.bulk_create(batch)
    return count + len(batch)


def _import_bars(folder: Path, path: str) -> int:
    import pyarrow.parquet as pq

    place = bars.read_key(path.rpartition("/")[0])
    market = place[0] if place else ""
    columns = dict(zip(upsert.STORED_COLUMNS[1:], ("code", *upsert.STORED_COLUMNS[2:]), strict=True))
    with pq.ParquetFile(folder / path, memory_map=False) as file:
        for batch in file.iter_batches(BATCH, columns=list(columns.values()), use_threads=False):
            values = [batch.column(name).to_pylist() for name in columns.values()]
            upsert.insert_stored((market, *row) for row in zip(*values, strict=True))
        return int(file.metadata.num_rows)


def _end(record: DataImport) -> None:
    """Has new rows begin above all ids of the export, and ends the import."""
    highest = [
        model._default_manager.aggregate(highest=Max(column))["highest"] or 0
        for model, column in (
            *((CollectionItem, "pk"), (DailyBar, "item_id")),
            *((Correction, "item_id"), (Finding, "item_id")),
        )
    ]
    with locked_slot():
        record.refresh_from_db()
        require_not_discarded(record)
        for table in tables.EXPORTED:
            if isinstance(table.model._meta.pk, AutoField) and table.model is not CollectionItem:
                _continue_ids(table.model, table.model._default_manager.aggregate(n=Max("pk"))["n"] or 0)
        _continue_ids(CollectionItem, max(highest))  # bars refer to items that were deleted since
        DataImport.objects.filter(pk=record.pk).update(ended_at=Now())
    coverage.forget_cached()


def _continue_ids(model: type[Model], highest: int) -> None:
    """Has the next row of a table get an id above this one."""
    table, column = model._meta.db_table, model._meta.pk.column
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            sequence = f"pg_get_serial_sequence('{table}', '{column}')"
            cursor.execute(f"SELECT setval({sequence}, GREATEST(%s, 1), %s)", [highest, highest > 0])
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = MAX(seq, %s) WHERE name = %s", [highest, table])
        if not cursor.rowcount and highest:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, highest])
