"""The database goes away, is locked or full: the task goes on by itself, or fails and says why."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.concurrency.chaos_runner import run_chaos
from tests.concurrency.collection import STOCKS, Collection
from tests.concurrency.own_database import manage, on_postgresql, rows
from tools.postgresql import own_server
from tools.worker_machine import Machine, eventually

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
only_sqlite = pytest.mark.skipif(on_postgresql(), reason="SQLite's")
only_postgresql = pytest.mark.skipif(not on_postgresql(), reason="PostgreSQL's")
BARS = 250
BARS_BY_STOCK = "SELECT count(*) FROM tasks_app_dailybar GROUP BY symbol"
FULL = {
    "COLLECTOR_SIMULATED_BARS": str(BARS),
    "COLLECTOR_SIMULATED_LATENCY": "0.02",
    "COLLECTOR_SLICE_SECONDS": "2",
}


@linux_only
@only_postgresql
def test_server_restart_is_survived() -> None:
    output = run_chaos("postgresql", "server restarted", "connections cut")
    assert "losses  2" in output


@linux_only
@only_sqlite
def test_long_write_lock_is_waited_for(database_url: str) -> None:
    output = run_chaos(database_url, "write lock held", hold="6")
    assert "losses  1" in output


@linux_only
@only_postgresql
def test_full_server_is_waited_for(tmp_path: Path) -> None:
    with own_server() as server, ExitStack() as taken:
        collection = Collection(server.get_uri(), tmp_path)
        manage(collection.url, "migrate", "--verbosity", "0")
        with working(collection, tmp_path) as machine:
            eventually(lambda: len(collection.requests()) > 4, 30, "a few stocks")
            ours = take_all_connections(collection.url, taken)
            eventually(lambda: "too many clients" in machine.log(), 30, "a refused connection")
            assert all(connection.execute("SELECT 1").fetchone() for connection in ours)
            taken.close()
            status = collection.wait_for_end(60)
        assert (status["status"], status["success_count"]) == ("completed", STOCKS)
        assert len(set(collection.requests())) == STOCKS


def take_all_connections(url: str, stack: ExitStack) -> list[psycopg.Connection[Any]]:
    """Every connection that the server has, also those of whoever used it; held until the stack closes."""
    ours: list[psycopg.Connection[Any]] = []
    for _ in range(2):  # the second time for those that the first one cuts
        with suppress(psycopg.OperationalError):
            while True:
                ours.append(stack.enter_context(psycopg.connect(url, autocommit=True)))
        pids = [connection.info.backend_pid for connection in ours]
        ours[0].execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND NOT pid = ANY(%s)",
            [pids],
        )
    return ours


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
    """All but what a few stocks need."""
    (disk / "filling").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 600_000)))


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


@contextmanager
def working(collection: Collection, folder: Path) -> Iterator[Machine]:
    machine = Machine(folder, collection.url, **collection.extra)
    machine.start()
    try:
        collection.start()
        yield machine
    finally:
        machine.close()


def finish(collection: Collection) -> Any:
    """With room again, a failed task is tried again and a running one goes on; the status at the end."""
    if collection.status()["status"] == "failed":
        output = manage(collection.url, "collect", "retry", collection.id, "--json", **collection.extra)
        collection.id = json.loads(output)["task_id"]
    return collection.wait_for_end(60)


def assert_whole(counts: list[int], stocks: int) -> None:
    assert counts == [BARS] * stocks, "bars of a stock are stored all or none"


def stock_counts(url: str) -> list[int]:
    """The number of bars of each stock that has any."""
    return [count for (count,) in rows(url, BARS_BY_STOCK)]


@only_sqlite
def test_full_sqlite_disk_fails_task(template_url: str, tmp_path: Path) -> None:
    with small_disk("4m") as disk:
        shutil.copy(template_url.removeprefix("sqlite:///"), disk / "db.sqlite3")
        collection = Collection(f"sqlite:///{disk / 'db.sqlite3'}", tmp_path, **FULL)
        with working(collection, tmp_path):
            eventually((disk / "db.sqlite3-ballast").exists, 10, "room laid by")
            fill(disk)
            status = collection.wait_for_end(30)
            assert (status["status"], status["error_code"]) == ("failed", "disk_full")
            assert "disk is full" in status["error_message"]
            counts = stock_counts(collection.url)
            assert 0 < len(counts) < STOCKS
            assert_whole(counts, len(counts))
            make_room(disk)
            status = finish(collection)
        assert (status["status"], status["failed_count"]) == ("completed", 0)
        assert_whole(stock_counts(collection.url), STOCKS)


@only_postgresql
def test_full_postgresql_disk_fails_task(tmp_path: Path) -> None:
    with small_disk("1m") as disk, own_server() as server:
        owner = os.stat(server.pgdata)
        os.chown(disk, owner.st_uid, owner.st_gid)
        collection = Collection(server.get_uri(), tmp_path, **FULL)
        manage(collection.url, "migrate", "--verbosity", "0")
        with psycopg.connect(collection.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            connection.execute("ALTER TABLE tasks_app_dailybar SET TABLESPACE small")
        with working(collection, tmp_path):
            status = collection.wait_for_end(30)
            assert (status["status"], status["error_code"]) == ("failed", "disk_full")
            assert "disk is full" in status["error_message"]
            counts = stock_counts(collection.url)
            assert 0 < len(counts) < STOCKS
            assert_whole(counts, len(counts))
            make_room(disk)
            status = finish(collection)
        assert (status["status"], status["failed_count"]) == ("completed", 0)
        assert_whole(stock_counts(collection.url), STOCKS)
