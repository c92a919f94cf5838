"""The fastest plain script: writes the same bars into the same table with the raw database driver.

One transaction per stock, with the fastest method measured for each database: on PostgreSQL a COPY into a
staging table and one upsert from there, on SQLite an upsert by `executemany`.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection

from tasks_app.models import DailyBar
from tasks_app.sources.base import Bar

TABLE = DailyBar._meta.db_table
COLUMNS = ", ".join(Bar._fields)
KEY = "market, symbol, adjust, day"
VALUES = Bar._fields[1:]
NEW = ", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "collected_at"))
OLD, EXCLUDED = (", ".join(f"{row}.{name}" for name in VALUES) for row in ("old", "excluded"))
CHANGED = f"({OLD}) IS DISTINCT FROM ({EXCLUDED})"
UPSERT = f"ON CONFLICT ({KEY}) DO UPDATE SET {NEW} WHERE {CHANGED}"
STAGING = """CREATE TEMPORARY TABLE bare_bar (day date, open float8, high float8, low float8, close float8,
    volume int8, prev_close float8, amount float8, amplitude float8, change float8, change_pct float8,
    turnover float8, is_st bool, limit_up float8, limit_down float8) ON COMMIT DELETE ROWS"""
TYPES = ["date", *["float8"] * 4, "int8", *["float8"] * 6, "bool", "float8", "float8"]


class PostgreSQL:
    """Writes with binary COPY."""

    def __init__(self) -> None:
        parameters = connection.get_connection_params()
        names = ("dbname", "user", "password", "host", "port")
        wanted = {name: parameters[name] for name in names if name in parameters}
        self.connection = psycopg.connect(**wanted)
        self.connection.execute(STAGING)
        self.connection.commit()

    def write(self, code: str, bars: Sequence[Bar]) -> None:
        """Writes one stock in one transaction."""
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY bare_bar ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(TYPES)
                for bar in bars:
                    copy.write_row(bar)
            cursor.execute(
                f"""INSERT INTO {TABLE} AS old (market, symbol, adjust, source, collected_at, {COLUMNS})
                SELECT 'CN', %s, '', 'bare', now(), {COLUMNS} FROM bare_bar {UPSERT}""",
                [code],
            )
        self.connection.commit()


class SQLite:
    """Writes with `executemany` and the product's journal settings."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        marks = ", ".join("?" * len(Bar._fields))
        self.insert = f"""INSERT INTO {TABLE} AS old (market, symbol, adjust, source, collected_at, {COLUMNS})
            VALUES ('CN', ?, '', 'bare', ?, {marks})
            {UPSERT.replace("IS DISTINCT FROM", "IS NOT")}"""

    def write(self, code: str, bars: Sequence[Bar]) -> None:
        """Writes one stock in one transaction."""
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        rows = [(code, now, bar.day.isoformat(), *bar[1:]) for bar in bars]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self.insert, rows)
        self.connection.execute("COMMIT")


def writer() -> Any:
    """Returns the writer for Django's default database."""
    return {"postgresql": PostgreSQL, "sqlite": SQLite}[connection.vendor]()
