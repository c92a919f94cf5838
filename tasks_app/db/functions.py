"""Database functions and expressions that Django lacks."""

import time
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import DateField, Func, IntegerField
from django.db.models.functions import Now


class Clock(Now):
    """The database's time at this moment.

    PostgreSQL's `Now` is the start of the statement, which is past for an update that waited for its row.
    """

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CLOCK_TIMESTAMP()", **context)


class Epoch(Func):
    """A time as whole seconds since 1970."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
        )

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="FLOOR(EXTRACT(EPOCH FROM %(expressions)s))::bigint"
        )


class LastRangeEnd(Func):
    """The last day of the last range in a JSON list of pairs of ISO dates; null for an empty list."""

    arity = 1
    output_field = DateField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="JSON_EXTRACT(%(expressions)s, '$[#-1][1]')")

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s -> -1 ->> 1)::date")


class YearOf(Func):
    """The year of a day, as a number; Django's own calls Python for each row on SQLite."""

    arity = 1
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(substr(%(expressions)s, 1, 4) AS INTEGER)")

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="EXTRACT(YEAR FROM %(expressions)s)::int")


def clock_offset() -> float:
    """Returns by how many seconds this host's clock is ahead of the database's, to a few milliseconds.

    SQLite has no clock of its own: always 0.
    """
    if connection.vendor == "sqlite":
        return 0.0
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())")
        theirs = float(cursor.fetchone()[0])
    return (before + time.time()) / 2 - theirs


def database_now() -> datetime:
    """Returns the database's time, aware."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        now = cursor.fetchone()[0]
    return now if isinstance(now, datetime) else datetime.fromisoformat(now).replace(tzinfo=UTC)
