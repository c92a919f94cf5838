"""A database that answers and has not got our tables: it was never migrated, or not to this version."""

_MISSING_TABLE, _MISSING_COLUMN = "42P01", "42703"  # PostgreSQL's codes
_SQLITE_SAYS = ("no such table", "no such column", "has no column named")


def are_missing(error: BaseException) -> bool:
    """Whether the database's error says so."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code in (_MISSING_TABLE, _MISSING_COLUMN) or any(text in str(error) for text in _SQLITE_SAYS)
