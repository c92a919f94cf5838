"""Reads of one moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# BEGIN alone: on SQLite `atomic` would begin as a writer, and keep others out for the time of the read.
BEGIN = {"postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", "sqlite": "BEGIN DEFERRED"}


@contextmanager
def snapshot(idle_seconds: int) -> Iterator[None]:
    """Shows all statements within the database as of their first one. Nothing can be written meanwhile.

    On PostgreSQL the reader may pause between two statements for `idle_seconds`; a longer pause ends the
    connection. Inside a transaction it does nothing: that one decides what its statements see.
    """
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(BEGIN[connection.vendor])
        try:
            if connection.vendor == "postgresql":
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds}s'")
            yield
            cursor.execute("ROLLBACK")
        except BaseException:
            connection.close()  # a COPY may be under way, in which no statement can be sent
            raise
