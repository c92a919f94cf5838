"""A database that answers and has not got our tables: it was never migrated, or not to this version."""

import sqlite3

from django.db import OperationalError

_MISSING_TABLE, _MISSING_COLUMN = "42P01", "42703"  # PostgreSQL's codes
POSTGRESQL_FULL = "53100"  # SQLSTATE disk_full
_SQLITE_SAYS = ("no such table", "no such column", "has no column named")


def are_missing(error: BaseException) -> bool:
    """Whether the database's error says so."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code in (_MISSING_TABLE, _MISSING_COLUMN) or any(text in str(error) for text in _SQLITE_SAYS)


def finds_no_space(error: OperationalError) -> bool:
    """Whether the database refused a write because its disk is full."""
    full = getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return full or getattr(error.__cause__, "sqlstate", None) == POSTGRESQL_FULL
