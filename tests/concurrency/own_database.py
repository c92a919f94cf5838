"""A database of its own for each test that starts real processes: a file, or one on the suite's server."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import dj_database_url
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from environs import Env

from tasks_app import conf
from tools.postgresql import new_database
from tools.worker_machine import ROOT, environment


def on_postgresql() -> bool:
    """Whether this run of the suite is the one on PostgreSQL."""
    return "postgresql" in settings.DATABASES["default"]["ENGINE"]


def soak_on_sqlite(test: Any) -> Any:
    """Marks a test of both databases that the suite runs on PostgreSQL only."""
    return test if on_postgresql() else pytest.mark.soak(test)


def manage(url: str, *arguments: str, **extra: str) -> str:
    """Runs a management command to its end. Returns what it printed."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, env=environment(url, **extra), check=True, capture_output=True, text=True)
    return done.stdout


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Returns the rows of a query, asked directly: starting a command costs a second of CPU each time."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()
    with psycopg.connect(url) as server:
        return server.execute(statement).fetchall()


@contextmanager
def opened(url: str, blocker: Any) -> Iterator[None]:
    """Makes this process work on a database, too: calling a verb costs a hundredth of starting a command.

    `blocker` is pytest-django's `django_db_blocker`.
    """
    suite, place = connections["default"], dj_database_url.parse(url)
    names = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
    own = {**suite.settings_dict, **{name: place[name] for name in names}}
    own["OPTIONS"] = {**suite.settings_dict["OPTIONS"], **place.get("OPTIONS", {})}
    connections["default"] = type(suite)(own, "default")
    try:
        with blocker.unblock():
            yield
    finally:
        connections["default"].close()
        connections["default"] = suite


@contextmanager
def configured(**variables: str) -> Iterator[None]:
    """The settings of these variables, in this process and in those that it starts meanwhile."""
    with mock.patch.dict(os.environ, variables), override_settings(COLLECTOR=conf.read(Env())):
        yield


@contextmanager
def migrated(folder: Path, blocker: Any) -> Iterator[str]:
    """Yields the URL of a database with empty tables: the run's own where `tests.run` has made one."""
    if given := os.environ.get("MIGRATED_DATABASE_URL"):
        yield given
        return
    with new_database(os.environ["DATABASE_URL"]) if on_postgresql() else nullcontext(_file(folder)) as url:
        with opened(url, blocker):
            call_command("migrate", verbosity=0)
        yield url


@contextmanager
def copied(template: str, folder: Path) -> Iterator[str]:
    """A copy of it, gone afterwards."""
    if on_postgresql():
        with new_database(os.environ["DATABASE_URL"], template=urlsplit(template).path[1:]) as url:
            yield url
    else:
        shutil.copy(template.removeprefix("sqlite:///"), folder / "db.sqlite3")
        yield _file(folder)


def _file(folder: Path) -> str:
    return f"sqlite:///{folder / 'db.sqlite3'}"
