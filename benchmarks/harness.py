"""What benchmarks share: the running product, temporary databases, arguments, formatting."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
Access = dict[str, str]


@contextmanager
def quickstart(url: str, *options: str, **settings: str) -> Iterator[Access]:
    """Runs the web server and two workers on this database; yields the fields of quickstart's READY line."""
    command = [sys.executable, "manage.py", "quickstart", "--port", "0", "--no-collect", *options]
    environment = {**os.environ, "DATABASE_URL": url, **settings}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as product:
        assert product.stdout
        try:
            ready = next((line for line in product.stdout if line.startswith("READY ")), None)
            if ready is None:
                raise RuntimeError("quickstart ended before it was ready")
            yield json.loads(ready.removeprefix("READY "))
        finally:
            product.terminate()


def free_port() -> int:
    """Returns a TCP port that is not in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_until_reachable(address: str, seconds: float = 30.0) -> None:
    """Returns once the address responds; raises the last error after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def temporary_database(url: str) -> Iterator[str]:
    """Yields `url`, or a temporary database: PostgreSQL for "postgresql", an SQLite file for ""."""
    if url == "postgresql":
        with _on_postgresql() as made:
            yield made
        return
    with tempfile.TemporaryDirectory() as folder:
        yield url or f"sqlite:///{folder}/db.sqlite3"


@contextmanager
def _on_postgresql() -> Iterator[str]:
    """Creates a database on the server at TEST_DATABASE_URL, else on a server of its own."""
    import psycopg

    from tools.postgresql import postgresql

    name = f"bench_{uuid4().hex[:12]}"
    with postgresql() as server, psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def parse_arguments(parser: ArgumentParser, **quick: Any) -> Namespace:
    """Adds the arguments of every benchmark and parses; with --quick, `quick` are the defaults."""
    parser.add_argument(
        "url", nargs="?", default="", help="a database; postgresql: a temporary one; else a temporary SQLite"
    )
    defaults = ", ".join(f"{name} {value}" for name, value in quick.items())
    parser.add_argument("--quick", action="store_true", help=f"a small run: {defaults}")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    return parser.parse_args()


def p99(seconds: Sequence[float]) -> float:
    """Returns the 99th percentile."""
    return sorted(seconds)[int(len(seconds) * 0.99)]


def format_spread(seconds: Sequence[float]) -> str:
    """Returns the median, the 99th percentile and the maximum as text, in milliseconds."""
    picked = {"p50": statistics.median(seconds), "p99": p99(seconds), "max": max(seconds)}
    return ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in picked.items())
