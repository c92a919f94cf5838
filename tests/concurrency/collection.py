"""One collection on real workers, for tests that break something meanwhile."""

import json
from pathlib import Path
from typing import Any

from tests.concurrency.own_database import manage, rows
from tools.worker_machine import eventually

BARS = 20
STOCKS = 40
RUNNING = "SELECT 1 FROM tasks_app_collectiontask WHERE status = 'running'"


class Collection:
    """A task on real workers, driven by `manage.py collect`."""

    def __init__(self, url: str, folder: Path, **extra: str) -> None:
        self.url = url
        self.log = folder / "requests"
        self.extra = {
            "COLLECTOR_SIMULATED_STOCKS": str(STOCKS),
            "COLLECTOR_SIMULATED_BARS": str(BARS),
            "COLLECTOR_SIMULATED_LATENCY": "0.2",
            "COLLECTOR_SIMULATED_LOG": str(self.log),
            "COLLECTOR_LEASE": "4",
            **extra,
        }
        self.id = ""

    def start(self, *options: str) -> None:
        order = ["--source", "simulated", "--start-date", "2024-01-01", "--end-date", "2024-12-31", *options]
        self.id = json.loads(manage(self.url, "collect", "start", *order, "--json", **self.extra))["task_id"]

    def status(self) -> Any:
        return json.loads(manage(self.url, "collect", "status", self.id, "--json", **self.extra))

    def requests(self) -> list[str]:
        """Returns the code of every request so far."""
        if not self.log.exists():
            return []
        return [line.split()[2] for line in self.log.read_text().splitlines()]

    def last_requesting_pids(self) -> list[int]:
        """Returns the processes that made the last two requests."""
        return [int(line.split()[1]) for line in self.log.read_text().splitlines()[-2:]]

    def wait_for_end(self, seconds: float) -> Any:
        """Waits for the task's end; returns its status."""
        eventually(lambda: not rows(self.url, RUNNING), seconds, "the task's end")
        return self.status()
