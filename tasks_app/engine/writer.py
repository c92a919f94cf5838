"""The quote store's one writing path: an upsert that touches only what is new or changed."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now

from tasks_app.models import DailyBar, Stock
from tasks_app.sources.base import Bar, Request

TABLE = DailyBar._meta.db_table
VALUES = Bar._fields[1:]
POSTGRESQL_FULL = "53100"  # SQLSTATE disk_full
_COLUMNS = ", ".join(Bar._fields)
_SET = ", ".join(f"{column} = excluded.{column}" for column in (*VALUES, "source", "collected_at"))
_KEY = "(market, symbol, adjust, day)"

_STAGING = """CREATE TEMPORARY TABLE IF NOT EXISTS incoming_bar (
    day date, open float8, high float8, low float8, close float8, volume int8, prev_close float8,
    amount float8, amplitude float8, change float8, change_pct float8, turnover float8
) ON COMMIT DELETE ROWS"""
_COPY = f"COPY incoming_bar ({_COLUMNS}) FROM STDIN"
_POSTGRESQL = f"""WITH stored AS (
    INSERT INTO {TABLE} AS old (market, symbol, adjust, source, collected_at, {_COLUMNS})
    SELECT %s, %s, %s, %s, statement_timestamp(), {_COLUMNS} FROM incoming_bar
    ON CONFLICT {_KEY} DO UPDATE SET {_SET}
    WHERE ({", ".join(f"old.{v}" for v in VALUES)})
        IS DISTINCT FROM ({", ".join(f"excluded.{v}" for v in VALUES)})
    RETURNING xmax = 0 AS fresh
) SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM stored"""

_SQLITE = f"""INSERT INTO {TABLE} AS old (market, symbol, adjust, source, collected_at, {_COLUMNS})
    VALUES (%s, %s, %s, %s, strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'), {", ".join(["%s"] * 12)})
    ON CONFLICT {_KEY} DO UPDATE SET {_SET}
    WHERE {" OR ".join(f"old.{v} IS NOT excluded.{v}" for v in VALUES)}"""


@dataclass(frozen=True)
class Stored:
    """How many bars were new, how many corrected an older one, how many were there already."""

    collected: int = 0
    corrected: int = 0
    skipped: int = 0


def store(request: Request, source: str, bars: Sequence[Bar]) -> Stored:
    """Write bars, by rising day and each day once, in the caller's transaction."""
    if not bars:
        return Stored()
    write = {"postgresql": _write_postgresql, "sqlite": _write_sqlite}[connection.vendor]
    with connection.cursor() as cursor:
        collected, corrected = write(cursor, request, source, bars)
    return Stored(collected, corrected, len(bars) - collected - corrected)


def _write_postgresql(
    cursor: CursorWrapper, request: Request, source: str, bars: Sequence[Bar]
) -> tuple[int, int]:
    cursor.execute(_STAGING)
    cursor.execute("DELETE FROM incoming_bar")  # an earlier stock of the same transaction
    with cursor.cursor.copy(_COPY) as copy:
        for bar in bars:
            copy.write_row(bar)
    cursor.execute(_POSTGRESQL, (request.market, request.code, request.adjust, source))
    collected, corrected = cursor.fetchone()
    return collected, corrected


def _write_sqlite(
    cursor: CursorWrapper, request: Request, source: str, bars: Sequence[Bar]
) -> tuple[int, int]:
    """SQLite can't tell an insert from an update, so the rows in the window are counted twice."""
    key = (request.market, request.code, request.adjust)
    before = _count(cursor, key, bars)
    cursor.executemany(_SQLITE, [(*key, source, bar.day.isoformat(), *bar[1:]) for bar in bars])
    touched = cursor.rowcount
    collected = _count(cursor, key, bars) - before
    return collected, touched - collected


def _count(cursor: CursorWrapper, key: tuple[str, ...], bars: Sequence[Bar]) -> int:
    window = (bars[0].day.isoformat(), bars[-1].day.isoformat())
    cursor.execute(
        f"SELECT count(*) FROM {TABLE} "
        "WHERE market = %s AND symbol = %s AND adjust = %s AND day BETWEEN %s AND %s",
        (*key, *window),
    )
    return int(cursor.fetchone()[0])


def finds_no_space(error: OperationalError) -> bool:
    """Whether the database refused a write because its disk is full."""
    full = getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return full or getattr(error.__cause__, "sqlstate", None) == POSTGRESQL_FULL


def note_stock(request: Request, full_history: bool) -> None:
    """Make sure the stock is known, and remember that its full history is stored."""
    stock = Stock(market=request.market, code=request.code)
    Stock.objects.bulk_create([stock], ignore_conflicts=True)
    if full_history:
        Stock.objects.filter(market=request.market, code=request.code).update(
            full_collection_completed=True, full_collection_date=Now()
        )
