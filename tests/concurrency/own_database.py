"""A database of its own for each test that starts real processes: a file, or one on the suite's server."""

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from tools.worker_machine import ROOT, environment


def on_postgresql() -> bool:
    """Whether this run of the suite is the one on PostgreSQL."""
    return "postgresql" in settings.DATABASES["default"]["ENGINE"]


def manage(url: str, *arguments: str, **extra: str) -> str:
    """Run a management command to its end; what it printed."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, env=environment(url, **extra), check=True, capture_output=True, text=True)
    return done.stdout


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a database answers. Asked directly: a command would be a second of the processor each time."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()
    import psycopg

    with psycopg.connect(url) as server:
        return server.execute(statement).fetchall()


def _sql(statement: str) -> None:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)


def _named(name: str) -> str:
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{name}"))


@contextmanager
def migrated(folder: Path) -> Iterator[str]:
    """The URL of a database with all tables and nothing in them; the run's own where `tests.run` made one."""
    if given := os.environ.get("MIGRATED_DATABASE_URL"):
        yield given
        return
    if on_postgresql():
        name = f"template_{uuid.uuid4().hex[:12]}"
        _sql(f"CREATE DATABASE {name}")
        url = _named(name)
    else:
        url = f"sqlite:///{folder / 'template.sqlite3'}"
    manage(url, "migrate", "--verbosity", "0")
    yield url
    if on_postgresql():
        _sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied(template: str, folder: Path) -> Iterator[str]:
    """A copy of it, gone afterwards."""
    if not on_postgresql():
        shutil.copy(template.removeprefix("sqlite:///"), folder / "db.sqlite3")
        yield f"sqlite:///{folder / 'db.sqlite3'}"
        return
    name = f"copy_{uuid.uuid4().hex[:12]}"
    _sql(f"CREATE DATABASE {name} TEMPLATE {urlsplit(template).path[1:]}")
    yield _named(name)
    _sql(f"DROP DATABASE {name} WITH (FORCE)")
