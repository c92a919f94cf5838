"""The site under test: `manage.py quickstart` with real workers and its own database."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.browser.requirements import ROOT
from tests.fakes.held_source import HeldAnswers
from tools.worker_machine import environment, eventually, marked

STOCKS = 24
# These override the machine's environment. A request that a test holds is not overdue within the run, and
# its slice notices a cancel when the answer comes: a slice that gives up a request has its process replaced.
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.browser.site_settings",
    "COLLECTOR_SOURCES": "drill=tests.browser.failing_source:FailingSource",
    "COLLECTOR_SIMULATED_STOCKS": str(STOCKS),
    "COLLECTOR_SIMULATED_BARS": "60",
    "COLLECTOR_FETCH_TIMEOUT": "1200",
    "COLLECTOR_HEARTBEAT": "300",
    "COLLECTOR_LEASE": "1200",
    "COLLECTOR_NO_THROTTLE": "1",
    "COLLECTOR_WATCHDOG_INTERVAL": "10",  # no test waits for a round
}


class Site:
    """A folder with a database and, between `start` and `stop`, the processes that serve it.

    A test that needs a running task holds the `answers` of its source.
    """

    def __init__(self, folder: Path, **extra: str) -> None:
        self.folder = folder
        self.database = folder / "site.sqlite3"
        self.process: subprocess.Popen[bytes] | None = None
        self.mark = f"site-{os.getpid()}-{time.monotonic_ns()}"
        self.answers = HeldAnswers(folder / "answers")
        self.answers.release_all()
        quotes = folder / "quotes"  # of the source csv, to which files can be uploaded
        quotes.mkdir(exist_ok=True)
        settings = {**self.answers.environment, **SETTINGS, **extra, "MARK": self.mark}
        settings["COLLECTOR_CSV_DIR"] = str(quotes)
        exports = folder / "exports"
        exports.mkdir(exist_ok=True)
        settings["COLLECTOR_EXPORT_DIR"] = str(exports)
        self.environment = environment(f"sqlite:///{self.database}", **settings)

    def seed(self, module: str) -> None:
        """Creates the database with a program that migrates and fills it; from `tests.run`'s migrated one."""
        if migrated := os.environ.get("MIGRATED_DATABASE_URL"):
            shutil.copy(migrated.removeprefix("sqlite:///"), self.database)
        done = subprocess.run(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Raises AssertionError with the log when the site does not start."""
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "quickstart", "--port", "0", "--no-collect"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = self.process
        eventually(lambda: self._ready() or process.poll() is not None, 180, "READY")
        assert self._ready(), self.log.read_text()
        self.access: dict[str, str] = json.loads(self._ready().removeprefix("READY "))
        self.url = self.access["url"]

    def stop(self) -> None:
        """Stops the server and kills every process that it left behind."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in marked(self.mark) if sys.platform == "linux" else []:
            os.kill(pid, signal.SIGKILL)

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Returns the API's response to the administrator; None for a 400 or 404."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/data-collection/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Token {self.access['token']}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code in (400, 404):
                return None
            raise

    def start_task(self, **order: Any) -> str:
        """Starts a task of the failing source over the API and returns its id. It requests every stock."""
        dates = {"start_date": "2024-01-01", "end_date": "2024-01-31"}  # the watchdog looks at each day
        body = {**dates, "source": "drill", "force_update": True, **order}
        response = self.api("POST", "historical", body)
        assert response, f"not started: {body}"
        return str(response["task_id"])

    def status(self, task_id: str) -> str:
        return str(self.api("GET", f"status/{task_id}")["status"])

    def become_idle(self) -> None:
        """Cancels the running task, if any, releases all answers and waits for the end of the slices."""
        while current := self.api("GET", "current-task")["current_task"]:
            self.api("DELETE", f"tasks/{current['task_id']}")
        self.answers.release_all()
        eventually(lambda: self._value("SELECT count(*) FROM django_q_ormq") == 0, 60, "an empty queue")

    def tasks(self, status: str) -> list[str]:
        """Returns the ids of the tasks with that status, the newest first."""
        return [task["task_id"] for task in self.api("GET", f"tasks?status={status}")]

    def failed_task(self) -> str:
        """Returns the id of the newest ended task with more than one failed stock."""
        tasks = self.api("GET", "tasks")
        return next(str(t["task_id"]) for t in tasks if t["status"] != "running" and t["failed_count"] > 1)

    def first_task(self) -> str:
        """Returns the id of the oldest task, which took two minutes."""
        return str(self.api("GET", "tasks")[-1]["task_id"])

    def yielded_task(self) -> str:
        """Returns the id of the newest task that yielded to a plan."""
        return next(str(t["task_id"]) for t in self.api("GET", "tasks") if t["yielded_to"])

    def stock(self, market: str, code: str) -> int:
        """Returns the primary key of a stock, which its page has in its URL."""
        return self._value("SELECT id FROM tasks_app_stock WHERE market = ? AND code = ?", market, code)

    def _value(self, query: str, *parameters: str) -> int:
        with closing(sqlite3.connect(self.database)) as connection:
            return int(connection.execute(query, parameters).fetchone()[0])

    def _ready(self) -> str:
        lines = self.log.read_text().splitlines(keepends=True)
        return next((line for line in lines if line.startswith("READY ") and line.endswith("\n")), "")
