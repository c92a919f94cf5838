"""Stored bars to export, and an emptied database to import them into."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tasks_app.exports import restore, tables
from tasks_app.exports.run import ExportRun
from tasks_app.exports.selection import Selection
from tasks_app.models import CollectionLane, DailyBar, DataImport, Series
from tests.factories import settle

WHOLE = Selection()
AT = datetime(2026, 1, 5, 9, 30, 0, 120_000, tzinfo=UTC)


def store(market: str, code: str, days: Sequence[date], adjust: str = "", **values: Any) -> None:
    """Stores a series of equal bars."""
    columns = {"open": 10.1, "high": 10.3, "low": 9.7, "close": 10.2, "volume": 12_300, **values}
    key = {"market": market, "symbol": code, "adjust": adjust}
    DailyBar.objects.bulk_create(
        DailyBar(**key, day=day, source="recording", collected_at=AT, **columns) for day in days
    )
    Series.objects.create(**key, bars=len(days), first_day=min(days), last_day=max(days))


def export(folder: Path, selection: Selection = WHOLE, name: str = "run") -> ExportRun:
    """Runs an export to its end, of changes that are committed; `name` as in `ExportRun`."""
    settle()
    run = ExportRun(folder, selection, name)
    for _step in run.steps():
        pass
    return run


def bring_back(folder: Path) -> int:
    """Runs an import to its end, and returns the number of rows."""
    steps = list(restore.import_folder(folder))
    return steps[-1].rows


def empty_database() -> None:
    """Leaves what migrations leave."""
    for model in (
        DailyBar,
        DataImport,
        CollectionLane,
        *(table.model for table in reversed(tables.EXPORTED)),
    ):
        model._default_manager.all()._raw_delete("default")
    for model, seed in restore.SEEDS.items():
        model._default_manager.create(**seed)
