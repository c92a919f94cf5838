"""The promises, with real processes on a real database: one task, final cancels, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency.collection import BARS, STOCKS, Collection
from tests.concurrency.own_database import manage
from tools.worker_machine import ROOT, environment, eventually


def drill(url: str, name: str, *arguments: str) -> Any:
    """Runs a drill of tests.concurrency.processes; returns what it printed."""
    command = [sys.executable, "-m", "tests.concurrency.processes", name, *arguments]
    settings = environment(url, COLLECTOR_SIMULATED_STOCKS="6000", COLLECTOR_SIMULATED_BARS=str(BARS))
    done = subprocess.run(
        command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_of_thirty_starts_wins(database_url: str) -> None:
    seen = drill(database_url, "starts")
    assert seen == {"answers": {"started": 1, "refused": 29}, "tasks": 1}


def test_one_of_twenty_cancels_succeeds(database_url: str) -> None:
    seen = drill(database_url, "cancels")
    assert seen == {"answers": {"cancelled": 1, "refused": 19}, "events": 1}


def test_cancel_stops_writes_of_other_processes(database_url: str) -> None:
    seed = str(time.time_ns() % 10_000)
    seen = drill(database_url, "cancel_while_writing", seed)
    assert set(seen["rounds"]) <= {"kept", "ended before"}, f"seed {seed}: {seen}"
    assert seen["rounds"]["kept"] >= 5, f"seed {seed}: too few cancels met a running task: {seen}"
    assert seen["bars"] > 0


def test_two_processes_share_a_task(database_url: str) -> None:
    seen = drill(database_url, "shared_task")
    assert seen == {"ended": ["done", "done"], "status": "completed", "success": 100, "bars": 100 * BARS}


@contextmanager
def worker(url: str, folder: Path, **extra: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker machine; whatever is left of it is killed at the end."""
    command = [sys.executable, str(ROOT / "manage.py"), "worker", "--workers", "2"]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment(url, **extra), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def collection(database_url: str, tmp_path: Path) -> Collection:
    return Collection(database_url, tmp_path)


def assert_complete(status: Any) -> None:
    assert status["status"] == "completed"
    assert (status["success_count"], status["failed_count"], status["total_stocks"]) == (STOCKS, 0, STOCKS)
    assert status["collected_count"] + status["skipped_count"] == STOCKS * BARS


def test_killed_worker_loses_only_its_claimed_stock(collection: Collection, tmp_path: Path) -> None:
    with worker(collection.url, tmp_path, **collection.extra):
        collection.start()
        eventually(lambda: len(collection.requests()) >= 6, 20, "some requests")
        os.kill(collection.last_requesting_pids()[0], signal.SIGKILL)
        status = collection.wait_for_end(60)
    assert_complete(status)
    assert status["collected_count"] == STOCKS * BARS
    again = {code: n for code, n in Counter(collection.requests()).items() if n > 1}
    assert len(again) <= 1, f"only the stock in the killed worker's hands is asked for again: {again}"


def test_task_continues_after_everything_was_killed(collection: Collection, tmp_path: Path) -> None:
    with worker(collection.url, tmp_path, **collection.extra):
        collection.start()
        eventually(lambda: len(collection.requests()) >= 6, 20, "some requests")
    before = len(collection.requests())
    with worker(collection.url, tmp_path, **collection.extra):
        eventually(lambda: len(collection.requests()) > before, 30, "the first request after the kill")
        status = collection.wait_for_end(60)
    assert_complete(status)
    assert sum(n - 1 for n in Counter(collection.requests()).values()) <= 2


def test_cancel_ends_hung_requests_in_five_seconds(collection: Collection, tmp_path: Path) -> None:
    extra = {**collection.extra, "COLLECTOR_SIMULATED_HANG_RATE": "1"}
    with worker(collection.url, tmp_path, **extra):
        collection.start()
        eventually(lambda: len(collection.requests()) >= 2, 20, "two hung requests")
        hung = collection.last_requesting_pids()
        manage(collection.url, "collect", "cancel", collection.id)
        eventually(lambda: not any(_alive(pid) for pid in hung), 5, "the hung processes' end")
    assert collection.status()["status"] == "cancelled"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
