"""The real AKShare client in real worker processes, on a loopback Eastmoney."""

import importlib.util
import os
from pathlib import Path

import pytest

from tests.concurrency.own_database import manage, rows
from tests.fakes.eastmoney_server import run_server
from tools.worker_machine import Machine, eventually, marked

MARK = f"akshare-{os.getpid()}"
MOST_MEGABYTES = 120  # of a worker
ENDED = "SELECT status, success_count FROM tasks_app_collectiontask WHERE status <> 'running'"


def peak_megabytes(pid: int) -> float:
    """Returns the most memory that a process has held."""
    (line,) = (x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1_000_000


def shared_processes() -> list[int]:
    """Returns the pids of processes that run the client of this test's machine."""
    return [pid for pid in marked(MARK) if "source_main" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.soak  # tests/sources/test_shared_process.py has the same with a made-up client
@pytest.mark.skipif(
    importlib.util.find_spec("akshare") is None,
    reason="akshare is not installed: pip install -r requirements-akshare.txt",
)
def test_real_client_sends_one_request_at_a_time_from_one_process(database_url: str, tmp_path: Path) -> None:
    with run_server() as vendor:
        vendor.failures = {"1.600000": ["429"]}  # with Retry-After: 7
        vendor.wanted_cookie = "nid18=made-up"
        patience = {"COLLECTOR_AKSHARE_RATE": "20", "COLLECTOR_BREAKER_PAUSE": "1", "COLLECTOR_FAN_OUT": "2"}
        extra = {**vendor.environment, **patience, "COLLECTOR_AKSHARE_COOKIE": "nid18=made-up", "MARK": MARK}
        machine = Machine(tmp_path, database_url, **extra)
        try:
            machine.start()
            order = ["--source", "akshare", "--start-date", "2024-06-03", "--end-date", "2024-06-14"]
            order += ["--codes", "600000,300750,920002"]
            manage(database_url, "collect", "--skip-checks", "start", *order, **extra)
            eventually(lambda: rows(database_url, ENDED), what="the task's end")
            assert rows(database_url, ENDED) == [("completed", 3)]
            sizes = [peak_megabytes(pid) for pid in machine.current().workers]
            assert max(sizes) < MOST_MEGABYTES
            shared = shared_processes()
            assert len(shared) == 1
            assert peak_megabytes(shared.pop()) < MOST_MEGABYTES
        finally:
            machine.close()
        eventually(lambda: not shared_processes(), what="the end of the client's process")
        assert vendor.max_open == 1
        assert vendor.count("kline", "1.600000") == 2
        assert vendor.count("kline") == 4
