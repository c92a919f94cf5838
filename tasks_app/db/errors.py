"""Kinds of database errors: missing tables (not migrated, or not to this version), and a full disk."""

import sqlite3

from django.db import OperationalError

# PostgreSQL's SQLSTATE codes, and the texts of SQLite, which has no codes for these.
UNDEFINED_TABLE, UNDEFINED_COLUMN, DISK_FULL = "42P01", "42703", "53100"
SQLITE_MISSING = ("no such table", "no such column", "has no column named")


def is_missing_table(error: BaseException) -> bool:
    """Whether a table or column is missing."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code in (UNDEFINED_TABLE, UNDEFINED_COLUMN) or any(text in str(error) for text in SQLITE_MISSING)


def is_disk_full(error: OperationalError) -> bool:
    """Whether the database refused a write because its disk is full."""
    is_sqlite_full = getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return is_sqlite_full or getattr(error.__cause__, "sqlstate", None) == DISK_FULL
