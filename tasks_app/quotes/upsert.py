"""The quote store's one writing path: it touches only what is new or changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now

from tasks_app.models import DailyBar, Stock
from tasks_app.quotes import corrections as changes
from tasks_app.quotes.corrections import BarDiff
from tasks_app.sources.base import Bar, Request

TABLE = DailyBar._meta.db_table
VALUES = Bar._fields[1:]
_COLUMNS = ", ".join(Bar._fields)
_KEY = "(market, symbol, adjust, day)"
_SERIES = "market = %s AND symbol = %s AND adjust = %s"
_SET = ", ".join(f"{column} = %s" for column in (*VALUES, "source", "item_id"))

_STAGING = """CREATE TEMPORARY TABLE IF NOT EXISTS incoming_bar (
    day date, open float8, high float8, low float8, close float8, volume int8, prev_close float8,
    amount float8, amplitude float8, change float8, change_pct float8, turnover float8
) ON COMMIT DELETE ROWS"""
_TYPES = ("date", "float8", "float8", "float8", "float8", "int8", *["float8"] * 6)
_COPY = f"COPY incoming_bar ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_KEY_TYPES = ("varchar", "varchar", "varchar", "varchar", "int8")
_COPY_KEYED = f"COPY {TABLE} (market, symbol, adjust, source, item_id, {_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_DIFFERING = f"""SELECT old.source, {", ".join(f"old.{c}" for c in Bar._fields)}
    FROM incoming_bar JOIN {TABLE} AS old USING (day) WHERE {_SERIES}
    AND ({", ".join(f"old.{v}" for v in VALUES)})
        IS DISTINCT FROM ({", ".join(f"incoming_bar.{v}" for v in VALUES)})"""
_INSERT = f"""INSERT INTO {TABLE} (market, symbol, adjust, source, item_id, collected_at, {_COLUMNS})
    SELECT %s, %s, %s, %s, %s, statement_timestamp(), {_COLUMNS} FROM incoming_bar
    ON CONFLICT {_KEY} DO NOTHING"""

# The day as text: Python's sqlite3 would make a date of each, slowly.
_STORED = (
    f"SELECT source, day || '', {', '.join(VALUES)} FROM {TABLE} WHERE {_SERIES} AND day BETWEEN %s AND %s"
)
_INSERT_ONE = f"""INSERT INTO {TABLE} (market, symbol, adjust, source, item_id, collected_at, {_COLUMNS})
    VALUES ({", ".join(["%s"] * 18)})"""
_NOW = {"postgresql": "statement_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


@dataclass(frozen=True)
class Provenance:
    """Who answered, and for which item."""

    source: str
    item_id: int


@dataclass(frozen=True)
class Stored:
    """How many bars were new and how many were there already; what was corrected, by rising day."""

    collected: int = 0
    skipped: int = 0
    corrections: tuple[BarDiff, ...] = ()

    @property
    def corrected(self) -> int:
        return len(self.corrections)


def store(
    request: Request, origin: Provenance, bars: Sequence[Bar], *, anew: bool = False, first: bool = False
) -> Stored:
    """Write bars, by rising day and each day once, in the caller's transaction.

    `anew` lets every value be replaced that differs, whoever it came from. `first` says that none of
    the series is thought to be there, which saves work; it may be wrong.
    """
    if not bars:
        return Stored()
    if first and connection.vendor == "postgresql" and _copied(request, origin, bars):
        return Stored(len(bars))
    write = {"postgresql": _write_postgresql, "sqlite": _write_sqlite}[connection.vendor]
    with connection.cursor() as cursor:
        collected, differing = write(cursor, request, origin, bars)
        corrections = _corrections(differing, bars, origin.source, anew)
        _correct(cursor, request, origin, corrections)
    return Stored(collected, len(bars) - collected - len(corrections), tuple(corrections))


def _copied(request: Request, origin: Provenance, bars: Sequence[Bar]) -> bool:
    """Copy the bars straight into the table; False, and nothing is done, when it has one of them."""
    key = (request.market, request.code, request.adjust, origin.source, origin.item_id)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _copy(cursor, _COPY_KEYED, (*_KEY_TYPES, *_TYPES), [key + bar for bar in bars])
    except IntegrityError:
        return False
    return True


def _copy(cursor: CursorWrapper, sql: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Rows by COPY in the binary format, whose columns must be of exactly these types."""
    with connection.wrap_database_errors, cursor.cursor.copy(sql) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


Differing = dict[date, tuple[str, Bar]]  # the stored bars that differ from the new ones, with their source


def _write_postgresql(
    cursor: CursorWrapper, request: Request, origin: Provenance, bars: Sequence[Bar]
) -> tuple[int, Differing]:
    """Insert the new ones; how many there were, and the stored ones that differ."""
    key = (request.market, request.code, request.adjust)
    cursor.execute(_STAGING)
    cursor.execute("DELETE FROM incoming_bar")  # an earlier stock of the same transaction
    _copy(cursor, _COPY, _TYPES, bars)
    cursor.execute(_INSERT, (*key, origin.source, origin.item_id))
    collected, differing = cursor.rowcount, {}
    if collected < len(bars):
        cursor.execute(_DIFFERING, key)
        differing = {row[1]: (row[0], Bar(*row[1:])) for row in cursor.fetchall()}
    return collected, differing


def _write_sqlite(
    cursor: CursorWrapper, request: Request, origin: Provenance, bars: Sequence[Bar]
) -> tuple[int, Differing]:
    """The same. Reading the stored bars and comparing them here costs less than letting SQLite do it."""
    key = (request.market, request.code, request.adjust)
    cursor.execute(_STORED, (*key, bars[0].day.isoformat(), bars[-1].day.isoformat()))
    stored = {row[1]: row for row in cursor.fetchall()}
    cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")  # once, not for each bar
    head = (*key, origin.source, origin.item_id, cursor.fetchone()[0])
    if not stored:
        cursor.executemany(_INSERT_ONE, [(*head, bar.day.isoformat(), *bar[1:]) for bar in bars])
        return len(bars), {}
    new, differing = [], {}
    for bar in bars:
        day = bar.day.isoformat()
        if (row := stored.get(day)) is None:
            new.append((*head, day, *bar[1:]))
        elif row[2:] != bar[1:]:
            differing[bar.day] = (row[0], Bar(bar.day, *row[2:]))
    if new:
        cursor.executemany(_INSERT_ONE, new)
    return len(new), differing


def _corrections(differing: Differing, bars: Sequence[Bar], source: str, anew: bool) -> list[BarDiff]:
    if not differing:
        return []
    found = []
    for bar in bars:
        if bar.day in differing:
            origin, old = differing[bar.day]
            found.append(
                BarDiff(old, bar) if anew else changes.diff_bars(old, bar, same_source=origin == source)
            )
    return [change for change in found if change is not None and change.columns]


def _correct(
    cursor: CursorWrapper, request: Request, origin: Provenance, corrections: Sequence[BarDiff]
) -> None:
    if not corrections:
        return
    key = (request.market, request.code, request.adjust)
    now = _NOW[connection.vendor]
    update = f"UPDATE {TABLE} SET {_SET}, collected_at = {now} WHERE {_SERIES} AND day = %s"
    rows: list[tuple[Any, ...]] = [
        (*change.new[1:], origin.source, origin.item_id, *key, change.new.day.isoformat())
        for change in corrections
    ]
    cursor.executemany(update, rows)


def note_stock(market: str, code: str, full_history: bool) -> None:
    """Make sure the stock is known, and remember that its full history is stored."""
    stock = Stock(market=market, code=code)
    Stock.objects.bulk_create([stock], ignore_conflicts=True)
    if full_history:
        Stock.objects.filter(market=market, code=code).update(
            full_collection_completed=True, full_collection_date=Now()
        )
