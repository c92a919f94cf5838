"""The only code that writes bars: it inserts new ones, updates changed ones and leaves equal ones alone."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now

from tasks_app.db.change_triggers import announce_bars
from tasks_app.market.codes import kind_of
from tasks_app.models import DailyBar, Stock
from tasks_app.quotes.corrections import BarDiff, diff_bars
from tasks_app.sources.base import Bar, Request

TABLE = DailyBar._meta.db_table
VALUES = Bar._fields[1:]
_COLUMNS = ", ".join(Bar._fields)
_KEY = "(market, symbol, adjust, day)"
_SERIES = "market = %s AND symbol = %s AND adjust = %s"
_SET = ", ".join(f"{column} = %s" for column in (*VALUES, "source", "item_id"))

_STAGING = """CREATE TEMPORARY TABLE IF NOT EXISTS incoming_bar (
    day date, open float8, high float8, low float8, close float8, volume int8, prev_close float8,
    amount float8, amplitude float8, change float8, change_pct float8, turnover float8,
    is_st bool, limit_up float8, limit_down float8
) ON COMMIT DELETE ROWS"""
_TYPES = ("date", "float8", "float8", "float8", "float8", "int8", *["float8"] * 6, "bool", "float8", "float8")
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

# The day as text: Python's sqlite3 would convert each to a date, slowly.
_STORED = (
    f"SELECT source, day || '', {', '.join(VALUES)} FROM {TABLE} WHERE {_SERIES} AND day BETWEEN %s AND %s"
)
_INSERT_ONE = f"""INSERT INTO {TABLE} (market, symbol, adjust, source, item_id, collected_at, {_COLUMNS})
    VALUES ({", ".join(["%s"] * (6 + len(Bar._fields)))})"""
_STORED_TYPES = ("varchar", "varchar", "varchar", "date", *_TYPES[1:], "varchar", "int8", "timestamptz")
STORED_COLUMNS = ("market", "symbol", "adjust", *Bar._fields, "source", "item_id", "collected_at")
_COPY_STORED = f"COPY {TABLE} ({', '.join(STORED_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_INSERT_STORED = f"""INSERT INTO {TABLE} ({", ".join(STORED_COLUMNS)})
    VALUES ({", ".join(["%s"] * len(STORED_COLUMNS))})"""
_NOW = {"postgresql": "statement_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}

SeriesKey = tuple[str, str, str]  # market, code, adjust
Differing = dict[date, tuple[str, Bar]]  # stored bars that differ from the new ones, with their source


@dataclass(frozen=True)
class Provenance:
    """The source that bars came from, and the item that they were requested for.

    `replay_id` is that of the replay that has derived them again from a raw answer; None for a collection.
    """

    source: str
    item_id: int
    replay_id: int | None = None


@dataclass(frozen=True)
class UpsertResult:
    """The numbers of bars that were new and unchanged (`skipped`), and the corrections in date order."""

    collected: int = 0
    skipped: int = 0
    corrections: tuple[BarDiff, ...] = ()

    @property
    def corrected(self) -> int:
        return len(self.corrections)


def upsert_bars(
    request: Request,
    origin: Provenance,
    bars: Sequence[Bar],
    *,
    overwrite: bool = False,
    expect_new: bool = False,
    review: Callable[[Sequence[BarDiff]], Sequence[BarDiff]] | None = None,
) -> UpsertResult:
    """Writes bars, in ascending date order and one per day, in the caller's transaction.

    `overwrite`: every value that differs is replaced, whatever source it came from. `expect_new`: none of the
    bars is expected to be stored, which saves work; the expectation may be wrong. `review` is given the
    changes and returns those to write.
    """
    if not bars:
        return UpsertResult()
    key = (request.market, request.code, request.adjust)
    is_postgresql = connection.vendor == "postgresql"
    if expect_new and is_postgresql and _copy_new(key, origin, bars):
        return UpsertResult(len(bars))
    with connection.cursor() as cursor:
        insert_new = _insert_new_postgresql if is_postgresql else _insert_new_sqlite
        collected, differing = insert_new(cursor, key, origin, bars)
        found: list[BarDiff] = []
        for bar in bars if differing else ():
            if bar.day not in differing:
                continue
            source, old = differing[bar.day]
            diff = (
                BarDiff(old, bar, source)
                if overwrite
                else diff_bars(old, bar, same_source=source == origin.source, source=source)
            )
            if diff and diff.columns:
                found.append(diff)
        changed = review(found) if review else found
        # What is said of a day of which nothing was said before completes the bar, and corrects nothing.
        corrections = [diff for diff in changed if diff.is_correction]
        if changed:
            update = f"UPDATE {TABLE} SET {_SET}, collected_at = {_NOW[connection.vendor]}"
            rows: list[tuple[Any, ...]] = [
                (*diff.new[1:], origin.source, origin.item_id, *key, diff.new.day.isoformat())
                for diff in changed
            ]
            cursor.executemany(f"{update} WHERE {_SERIES} AND day = %s", rows)
    return UpsertResult(collected, len(bars) - collected - len(corrections), tuple(corrections))


def _copy_new(key: SeriesKey, origin: Provenance, bars: Sequence[Bar]) -> bool:
    """Copies the bars straight into the table. Returns False, without effect, if one is stored already."""
    fixed = (*key, origin.source, origin.item_id)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _copy(cursor, _COPY_KEYED, (*_KEY_TYPES, *_TYPES), [fixed + bar for bar in bars])
    except IntegrityError:
        return False
    return True


def _copy(cursor: CursorWrapper, sql: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes rows with COPY in the binary format, whose columns must be of exactly these types."""
    with connection.wrap_database_errors, cursor.cursor.copy(sql) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _insert_new_postgresql(
    cursor: CursorWrapper, key: SeriesKey, origin: Provenance, bars: Sequence[Bar]
) -> tuple[int, Differing]:
    """Inserts the new bars; returns their number, and the stored bars that differ from the others."""
    cursor.execute(_STAGING)
    cursor.execute("DELETE FROM incoming_bar")  # left by an earlier stock of the same transaction
    _copy(cursor, _COPY, _TYPES, bars)
    cursor.execute(_INSERT, (*key, origin.source, origin.item_id))
    collected, differing = cursor.rowcount, {}
    if collected < len(bars):
        cursor.execute(_DIFFERING, key)
        differing = {row[1]: (row[0], Bar(*row[1:])) for row in cursor.fetchall()}
    return collected, differing


def _insert_new_sqlite(
    cursor: CursorWrapper, key: SeriesKey, origin: Provenance, bars: Sequence[Bar]
) -> tuple[int, Differing]:
    """The same on SQLite, where comparing in Python is cheaper than comparing in SQL."""
    cursor.execute(_STORED, (*key, bars[0].day.isoformat(), bars[-1].day.isoformat()))
    stored = {row[1]: row for row in cursor.fetchall()}
    cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")  # once, not per bar
    fixed = (*key, origin.source, origin.item_id, cursor.fetchone()[0])
    runs: dict[int, list[tuple[Any, ...]]] = {}  # new bars between which no stored one stands
    days, differing = sorted(stored), {}
    for bar in bars:
        day = bar.day.isoformat()
        if (row := stored.get(day)) is None:
            runs.setdefault(bisect_left(days, day) if days else 0, []).append((*fixed, day, *bar[1:]))
        elif row[2:] != bar[1:]:
            differing[bar.day] = (row[0], Bar(bar.day, *row[2:]))
    for run in runs.values():
        announce_bars(cursor, key, [new[len(fixed)] for new in run], origin.item_id)
        cursor.executemany(_INSERT_ONE, run)
    return sum(map(len, runs.values())), differing


def insert_stored(rows: Iterable[tuple[Any, ...]]) -> None:
    """Inserts bars as another database had them: rows of `STORED_COLUMNS`, none of which is stored here.

    Days are dates, times aware. Raises `IntegrityError`; the caller's transaction then has to end.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _copy(cursor, _COPY_STORED, _STORED_TYPES, rows)
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(_INSERT_STORED, [(*row[:-1], adapt(row[-1])) for row in rows])


def save_stock(market: str, code: str, full_history: bool) -> None:
    """Inserts the stock unless it exists, and with `full_history` marks its full history as collected."""
    stock = Stock(market=market, code=code, kind=kind_of(market, code))
    Stock.objects.bulk_create([stock], ignore_conflicts=True)
    if full_history:
        Stock.objects.filter(market=market, code=code).update(
            full_collection_completed=True, full_collection_date=Now()
        )
