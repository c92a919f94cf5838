"""What the database is: where it is, and which program in which version."""

from django.db import connection


def database_name() -> str:
    """Returns where the database is, without its password."""
    parameters = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(parameters["NAME"])
    user = f"{parameters['USER']}@" if parameters["USER"] else ""
    port = f":{parameters['PORT']}" if parameters["PORT"] else ""
    return f"{connection.vendor}://{user}{parameters['HOST']}{port}/{parameters['NAME']}"


def database_version() -> str:
    """Returns the database's program and version, such as "PostgreSQL 15.4"."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        from sqlite3 import sqlite_version

        return f"SQLite {sqlite_version}"
    version = getattr(connection, "pg_version", 0)
    return f"PostgreSQL {version // 10_000}.{version % 10_000}"
