"""The product as a user starts it, for benchmarks over HTTP."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
YEAR = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}
MARKET = {**YEAR, "force_update": True}  # however often: what is stored is asked for again
Access = dict[str, str]


@contextmanager
def quickstart(url: str, *options: str, **settings: str) -> Iterator[Access]:
    """Web server and two workers on this database, without a collection; what READY tells."""
    command = [sys.executable, "manage.py", "quickstart", "--port", "0", "--no-collect", *options]
    environment = {**os.environ, "DATABASE_URL": url, **settings}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as product:
        assert product.stdout
        try:
            ready = next(line for line in product.stdout if line.startswith("READY "))
            yield json.loads(ready.removeprefix("READY "))
        finally:
            product.terminate()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def until_it_answers(address: str, seconds: float = 30.0) -> None:
    """Raises the last error after so many seconds."""
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
def a_database(url: str) -> Iterator[str]:
    """The one that was given, else a temporary SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        yield url or f"sqlite:///{folder}/db.sqlite3"


def spread(seconds: Sequence[float]) -> str:
    """The median, the 99th percentile and the slowest, in milliseconds."""
    ordered = sorted(seconds)
    picked = {"p50": len(ordered) // 2, "p99": int(len(ordered) * 0.99), "max": len(ordered) - 1}
    return ", ".join(f"{name} {ordered[index] * 1000:.0f} ms" for name, index in picked.items())
