"""Imports of stock lists from files: each is recorded, and can be undone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.market import stock_list
from tasks_app.market.stock_list import BATCH, Change, SyncResult
from tasks_app.models import Series, Stock, StockImport, StockList
from tasks_app.sources.base import Symbol

SOURCE = "file"  # the "source" of a list that was imported
FIELDS = ("name", "exchange", "listed_on", "delisted_on", "former_names")


@dataclass
class UndoResult:
    """The numbers of stocks that were removed, got their earlier values back, and stayed as they are."""

    removed: int = 0
    restored: int = 0
    kept: int = 0


def import_stocks(
    market: str, file: str, symbols: Sequence[Symbol], *, today: date, accept_shrink: bool = False
) -> tuple[StockImport, SyncResult]:
    """Stores the stocks of a file like a source's list. Returns the record of the import, and its counts.

    The record has no key if nothing changed. Raises what `stock_list.sync` raises.
    """
    record = StockImport(market=market, file=file[-255:])

    def add_changes(changes: Sequence[Change]) -> None:
        """Stores with each batch what it changes, so that an interrupted import can be undone, too."""
        record.changes += [
            [after.code, _values(before) if before else None, _values(after)] for before, after in changes
        ]
        if changes:
            record.save()

    options: dict[str, Any] = {"today": today, "accept_shrink": accept_shrink, "on_changes": add_changes}
    return record, stock_list.sync(market, SOURCE, symbols, **options)


def undo(import_id: int) -> UndoResult:
    """Removes the stocks that an import added, and gives those that it changed their earlier values back.

    A stock stays as it is if bars of it are stored, if a source lists it, or if it has changed since. Raises
    `ImportNotFound` for an import that is unknown or already undone.
    """
    record = StockImport.objects.filter(pk=import_id, undone_at__isnull=True).first()
    if record is None:
        raise errors.ImportNotFound(id=import_id)
    result = UndoResult()
    for first in range(0, len(record.changes), BATCH):
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            lists = StockList.objects.select_for_update().filter(market=record.market)
            others = lists.exclude(source=SOURCE).values_list("codes", flat=True)
            listed = set().union(*(codes or () for codes in others))
            for change in record.changes[first : first + BATCH]:
                _undo_change(record.market, change, listed, result)
    with transaction.atomic():
        StockList.objects.filter(market=record.market, source=SOURCE).delete()
        StockImport.objects.filter(pk=import_id).update(undone_at=Now())
    return result


def _undo_change(market: str, change: Sequence[Any], listed: Collection[str], result: UndoResult) -> None:
    """Undoes one change by one conditional statement, and counts what became of it."""
    code, before, after = change
    unchanged = dict(zip(FIELDS[:-1], after, strict=False))
    stock = Stock.objects.filter(market=market, code=code, **unchanged)
    if before is not None:
        done = stock.update(**dict(zip(FIELDS, before, strict=True)))
        result.restored += done
    else:
        stored = Series.objects.filter(market=OuterRef("market"), symbol=OuterRef("code"))
        unused = stock.filter(~Exists(stored), full_collection_completed=False)
        done = 0 if code in listed else unused.delete()[0]
        result.removed += done
    result.kept += not done


def _values(row: Any) -> list[Any]:
    """Returns a stock's fields as JSON has them."""
    values = (getattr(row, field) for field in FIELDS)
    return [value.isoformat() if isinstance(value, date) else value for value in values]
