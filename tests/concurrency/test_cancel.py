"""A cancel is final from its answer on, by whatever way it comes; and a hung source holds nobody up."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency.own_database import manage, rows
from tools.worker_machine import ROOT, Machine, environment, eventually

SOON = 5.0
SUCCEEDED = "SELECT 1 FROM tasks_app_collectiontask WHERE success_count > 0"
MARKET = {"COLLECTOR_SIMULATED_STOCKS": "1000000", "COLLECTOR_SIMULATED_BARS": "20"}
DAYS = ["--start-date", "2000-01-01", "--end-date", "2024-12-31"]


def storm(url: str, by: str, rounds: int) -> Any:
    """What tools.cancel_storm saw."""
    seed = time.time_ns() % 10_000
    command = [sys.executable, "-m", "tools.cancel_storm"]
    command += [f"--by={by}", f"--rounds={rounds}", f"--seed={seed}"]
    settings = environment(url, DJANGO_ALLOWED_HOSTS="testserver", DJANGO_LOG_LEVEL="ERROR", **MARKET)
    done = subprocess.run(
        command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    seen = json.loads(done.stdout.splitlines()[-1])
    print(seen)
    return seen


@pytest.mark.parametrize(("by", "rounds"), [("code", 100), ("api", 40), ("admin", 40), ("command", 40)])
def test_nothing_is_written_after_cancel(database_url: str, by: str, rounds: int) -> None:
    seen = storm(database_url, by, rounds)
    assert seen["broken"] == [], seen
    assert seen["with a stock in a worker's hands"] > rounds // 10, f"too few met a write: {seen}"


@pytest.fixture
def hung(database_url: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine whose two workers both wait for the simulated source, which does not answer."""
    log = str(tmp_path / "requests")
    machine = Machine(
        tmp_path, database_url, COLLECTOR_SIMULATED_HANG_RATE="1", COLLECTOR_SIMULATED_LOG=log, **MARKET
    )
    machine.start()
    yield machine
    machine.close()


def requests(machine: Machine) -> list[tuple[float, int]]:
    """(unix time, pid) of each request to the simulated source."""
    file = machine.folder / "requests"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(float(at), int(pid)) for at, pid, _ in lines]


def test_cancel_frees_workers_for_the_next_task(hung: Machine) -> None:
    manage(hung.url, "collect", "start", "--source", "simulated", "--codes", "000001,000002", *DAYS)
    eventually(lambda: len(requests(hung)) == 2, 20, "two hung requests")
    victims = {pid for _, pid in requests(hung)}
    manage(hung.url, "collect", "cancel")
    answered = time.time()
    order = ["--source", "sample", "--market", "US", "--codes", "IBM", *DAYS]
    manage(hung.url, "collect", "start", *order)
    next_task = eventually(lambda: rows(hung.url, SUCCEEDED), SOON, "the next task's first stock")
    ended = eventually(lambda: not victims & set(hung.living()), SOON, "the end of the hung requests")
    print(f"after {time.time() - answered:.1f} s: {next_task=:.1f} {ended=:.1f}")
    assert len(requests(hung)) == 2
