"""A client of the HTTP API, and market collections that keep running during a measurement."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Access

CollectionRequest = dict[str, Any]
YEAR: CollectionRequest = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}
MARKET: CollectionRequest = {
    **YEAR,
    "force_update": True,
}  # stored days are requested again, so it can be repeated


def call(access: Access, method: str, path: str, body: CollectionRequest | None = None) -> Any:
    """Returns the JSON response."""
    request = urllib.request.Request(
        f"{access['url']}/api/data-collection/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Token {access['token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def start(access: Access, order: CollectionRequest) -> str:
    """Starts a collection; returns its task id."""
    return str(call(access, "POST", "historical", order)["task_id"])


def status(access: Access, task_id: str) -> Any:
    return call(access, "GET", f"status/{task_id}")


def has_bars(access: Access, task_id: str) -> bool:
    """Whether a stock has been stored, as the status endpoint reports it."""
    return bool(status(access, task_id)["success_count"])


def is_running(access: Access, task_id: str) -> bool:
    return bool(status(access, task_id)["status"] == "running")


def cancel(access: Access, task_id: str) -> float:
    """Cancels the task; returns the seconds from request to response."""
    began = time.perf_counter()
    call(access, "DELETE", f"tasks/{task_id}")
    return time.perf_counter() - began


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> float:
    """Returns the monotonic time at which the condition held. Raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.005)
    return time.monotonic()


def time_to_first_bar(access: Access, order: CollectionRequest) -> tuple[str, float]:
    """Starts a collection; returns its id and the seconds until the first stored stock is visible."""
    began = time.monotonic()
    task_id = start(access, order)
    return task_id, wait_until(lambda: has_bars(access, task_id), "a first stock") - began


class Run:
    """A collection that has begun to store; `restart_if_ended` starts another one when it has ended."""

    def __init__(self, access: Access, order: CollectionRequest) -> None:
        self.access, self.order = access, order
        self.task_id, _ = time_to_first_bar(access, order)

    def restart_if_ended(self) -> None:
        if not is_running(self.access, self.task_id):
            self.task_id, _ = time_to_first_bar(self.access, self.order)

    def measure(self, seconds: float) -> float | None:
        """Returns stocks per second over the next `seconds`; None if the collection ended meanwhile."""
        began, before = time.monotonic(), status(self.access, self.task_id)
        time.sleep(seconds)
        after = status(self.access, self.task_id)
        done = int(after["processed_stocks"]) - int(before["processed_stocks"])
        return done / (time.monotonic() - began) if after["status"] == "running" else None

    def stop(self) -> None:
        if is_running(self.access, self.task_id):
            cancel(self.access, self.task_id)
