"""The real AKShare client in real worker processes, on a loopback Eastmoney."""

import importlib.util
from pathlib import Path

import pytest

from tests.concurrency.own_database import manage, rows
from tests.fakes.eastmoney_server import run_server
from tools.worker_machine import Machine, eventually

ENDED = "SELECT status, success_count FROM tasks_app_collectiontask WHERE status <> 'running'"


@pytest.mark.any_database
@pytest.mark.skipif(
    importlib.util.find_spec("akshare") is None,
    reason="akshare is not installed: pip install -r requirements-akshare.txt",
)
def test_real_client_sends_one_request_at_a_time(database_url: str, tmp_path: Path) -> None:
    with run_server() as vendor:
        vendor.failures = {"1.600000": ["429"]}  # with Retry-After: 7
        patience = {"COLLECTOR_AKSHARE_RATE": "20", "COLLECTOR_BREAKER_PAUSE": "1", "COLLECTOR_FAN_OUT": "2"}
        extra = {**vendor.environment, **patience}
        machine = Machine(tmp_path, database_url, **extra)
        try:
            machine.start()
            order = ["--source", "akshare", "--start-date", "2024-06-03", "--end-date", "2024-06-14"]
            manage(database_url, "collect", "start", *order, "--codes", "600000,300750,920002", **extra)
            eventually(lambda: rows(database_url, ENDED), what="the task's end")
            assert rows(database_url, ENDED) == [("completed", 3)]
        finally:
            machine.close()
        assert vendor.max_open == 1
        assert vendor.count("kline", "1.600000") == 2
        assert vendor.count("kline") == 4
