"""The real AKShare client in real worker processes, on a loopback Eastmoney."""

import json
from pathlib import Path

import pytest

pytest.importorskip("akshare", reason="akshare is not installed: pip install -r requirements-akshare.txt")

from tests.concurrency.own_database import manage
from tests.fakes.eastmoney_server import run_server
from tools.worker_machine import Machine


@pytest.mark.any_database
def test_real_client_sends_one_request_at_a_time(database_url: str, tmp_path: Path) -> None:
    with run_server() as vendor:
        vendor.failures = {"1.600000": ["429"]}  # with Retry-After: 7
        patience = {"COLLECTOR_AKSHARE_RATE": "20", "COLLECTOR_BREAKER_PAUSE": "1", "COLLECTOR_FAN_OUT": "2"}
        extra = {**vendor.environment, **patience}
        machine = Machine(tmp_path, database_url, **extra)
        try:
            machine.start()
            order = ["--source", "akshare", "--start-date", "2024-06-03", "--end-date", "2024-06-14"]
            output = manage(
                database_url, "collect", "start", *order, "--codes", "600000,300750,920002", "--json", **extra
            )
            task = json.loads(output)["task_id"]
            manage(database_url, "collect", "watch", task, **extra)
            ended = json.loads(manage(database_url, "collect", "status", task, "--json", **extra))
            assert (ended["status"], ended["success_count"]) == ("completed", 3)
        finally:
            machine.close()
        assert vendor.max_open == 1
        assert vendor.count("kline", "1.600000") == 2
        assert vendor.count("kline") == 4
