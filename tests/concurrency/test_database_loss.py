"""The database goes away, is locked or full: the task goes on by itself, or fails and says why."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.models import Count

from tasks_app import lifecycle
from tasks_app.db import disk_reserve
from tasks_app.engine import slice
from tasks_app.models import DailyBar
from tests.concurrency.collection import Collections
from tests.concurrency.own_database import configured, on_postgresql, opened
from tests.factories import ACTOR, make_task
from tools.in_process import work_one
from tools.postgresql import own_server
from tools.worker_machine import PATIENCE, Machine, eventually

only_sqlite = pytest.mark.skipif(on_postgresql(), reason="SQLite's")
only_postgresql = pytest.mark.skipif(not on_postgresql(), reason="PostgreSQL's")
pytestmark = pytest.mark.xdist_group("database_loss")  # the tests share a server and a worker machine
STOCKS, BARS = 40, 250  # more than the small disks hold
FEW = tuple(f"{number:06d}" for number in range(1, 9))
LARGE = {"COLLECTOR_SIMULATED_STOCKS": str(STOCKS), "COLLECTOR_SIMULATED_BARS": str(BARS)}


@contextmanager
def working(url: str, folder: Path) -> Iterator[tuple[Collections, Machine]]:
    collections = Collections(folder)
    with configured(**{**collections.environment, **LARGE}):
        machine = Machine(folder, url)
        machine.start()
        try:
            yield collections, machine
        finally:
            machine.close()


@only_sqlite
def test_write_lock_longer_than_a_lease_is_waited_for(database: str, tmp_path: Path) -> None:
    with working(database, tmp_path) as (collections, _):
        held = collections.start_and_answer(2, stock_codes=FEW)
        file = database.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None, timeout=PATIENCE)) as other:
            other.execute("BEGIN IMMEDIATE")
            collections.answers.release(2)
            eventually(collections.answers.all_taken, what="two answers that can't be stored")
            for table in ("collectionitem", "collectionlane"):  # meanwhile their leases expire
                other.execute(
                    f"UPDATE tasks_app_{table} SET lease_until = '2024-01-01' WHERE lease_until > ''"
                )
            other.execute("COMMIT")
        collections.finish()
        collections.assert_complete(len(FEW), BARS)
        repeated = collections.repeated()
        assert set(repeated) <= set(held.values())
        assert len(repeated) == len(set(repeated))


@pytest.fixture(scope="module")
def server(django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """A PostgreSQL server that may be stopped, with a worker machine: (server, collections, machine)."""
    with own_server() as server, opened(server.get_uri(), django_db_blocker):
        call_command("migrate", verbosity=0)
        with working(server.get_uri(), tmp_path_factory.mktemp("server")) as (collections, machine):
            yield server, collections, machine


def restart(server: Any, noticed: Callable[[str], None]) -> None:
    """Stops it as `systemctl stop` does, and starts it again."""
    server.stop()
    noticed("waiting for the database")
    server.ensure_postgres_running()


def cut_connections(server: Any, noticed: Callable[[str], None]) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as own:
        _terminate_all_but(own, [own.info.backend_pid])


def take_all_connections(server: Any, noticed: Callable[[str], None]) -> None:
    """Every connection that the server has, also those of whoever used it."""
    with ExitStack() as stack:
        ours: list[psycopg.Connection[Any]] = []

        def all_are_ours() -> bool:
            """Takes the free ones, and cuts those of others, who may have been quicker and are cut again."""
            with suppress(psycopg.OperationalError):
                while True:
                    ours.append(stack.enter_context(psycopg.connect(server.get_uri(), autocommit=True)))
            return not _terminate_all_but(ours[0], [one.info.backend_pid for one in ours])

        eventually(all_are_ours, what="all connections")
        noticed("too many clients")
        assert all(one.execute("SELECT 1").fetchone() for one in ours)


def _terminate_all_but(own: "psycopg.Connection[Any]", pids: list[int]) -> int:
    """Returns the number of connections that were cut."""
    return own.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND NOT pid = ANY(%s)",
        [pids],
    ).rowcount


@only_postgresql
@pytest.mark.parametrize(
    "lose", [restart, pytest.param(cut_connections, marks=pytest.mark.soak), take_all_connections]
)
def test_lost_server_is_survived(server: Any, lose: Callable[[Any, Callable[[str], None]], None]) -> None:
    own, collections, machine = server
    held = collections.start_and_answer(2, stock_codes=FEW)
    logged = len(machine.log())

    def noticed(words: str) -> None:
        eventually(lambda: words in machine.log()[logged:], what=words)

    connections.close_all()
    lose(own, noticed)
    collections.end_leases(held)
    collections.finish()
    collections.assert_complete(len(FEW), BARS)
    assert sorted(collections.repeated()) == sorted(held.values())


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of that size. Skips where we may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="small-"))
    folder.chmod(0o755)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if done.returncode:
            pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder)


def fill(disk: Path) -> None:
    """Leaves no byte."""
    with suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


def bar_counts() -> list[int]:
    """Returns the number of bars of each stock that has any."""
    counts = DailyBar.objects.order_by().values("symbol").annotate(count=Count("pk"))
    return list(counts.values_list("count", flat=True))


def assert_full_disk_fails_task(collections: Collections, disk: Path) -> None:
    """The task fails, no stock is stored in part, and a retry completes it once there is room."""
    task = collections.finish()
    assert (task.status, task.error_code) == ("failed", "disk_full")
    assert "disk is full" in task.error_message
    counts = bar_counts()
    assert 0 < len(counts) < STOCKS
    assert counts == [BARS] * len(counts)
    make_room(disk)
    collections.pk = lifecycle.retry(collections.pk, ACTOR).pk
    task = collections.finish()
    assert (task.status, task.failed_count) == ("completed", 0)
    assert bar_counts() == [BARS] * STOCKS


@only_sqlite
def test_full_sqlite_disk_fails_task(template_url: str, django_db_blocker: Any, tmp_path: Path) -> None:
    with small_disk("4m") as disk:
        file = disk / "db.sqlite3"
        shutil.copy(template_url.removeprefix("sqlite:///"), file)
        url = f"sqlite:///{file}"
        with opened(url, django_db_blocker), working(url, tmp_path) as (collections, _):
            # Before the collection fills the disk: with less than two megabytes free, none is reserved.
            eventually(Path(f"{file}-ballast").exists, what="the reserve of disk space")
            collections.start_and_answer(2)
            fill(disk)
            assert_full_disk_fails_task(collections, disk)


@only_sqlite
def test_released_reserve_is_left_to_the_failure(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker that wrote before it would use the space up, and the task would stay running."""
    released = []

    def run(_: object) -> None:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise OperationalError(str(full)) from full

    def release() -> None:
        file = database.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            released.append(file)

    monkeypatch.setattr(slice.Slice, "run", run)
    monkeypatch.setattr(disk_reserve, "release", release)
    task = make_task()
    assert work_one()
    task.refresh_from_db()
    assert (task.status, task.error_code, len(released)) == ("failed", "disk_full", 1)


@only_postgresql
def test_full_postgresql_disk_fails_task(server: Any) -> None:
    own, collections, _ = server
    with small_disk("1m") as disk:
        owner = os.stat(own.pgdata)
        os.chown(disk, owner.st_uid, owner.st_gid)
        with psycopg.connect(own.get_uri(), autocommit=True) as connection:
            connection.execute("TRUNCATE tasks_app_dailybar, tasks_app_series")
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            connection.execute("ALTER TABLE tasks_app_dailybar SET TABLESPACE small")
            try:
                collections.start_and_answer(2)
                assert_full_disk_fails_task(collections, disk)
            finally:
                connection.execute("ALTER TABLE tasks_app_dailybar SET TABLESPACE pg_default")
                connection.execute("DROP TABLESPACE small")
