"""The API as a script uses it, and market runs that go on while something is measured."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from benchmarks.product import Access

Order = dict[str, Any]
YEAR: Order = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}
MARKET: Order = {**YEAR, "force_update": True}  # however often: what is stored is asked for again


def call(access: Access, method: str, path: str, body: Order | None = None) -> Any:
    """The JSON answer."""
    request = urllib.request.Request(
        f"{access['url']}/api/data-collection/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Token {access['token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def start(access: Access, order: Order) -> str:
    """The new task's id."""
    return str(call(access, "POST", "historical", order)["task_id"])


def status(access: Access, task_id: str) -> Any:
    return call(access, "GET", f"status/{task_id}")


def written(access: Access, task_id: str) -> bool:
    """Whether a reader sees a stock's bars."""
    return bool(status(access, task_id)["success_count"])


def running(access: Access, task_id: str) -> bool:
    return bool(status(access, task_id)["status"] == "running")


def cancel(access: Access, task_id: str) -> float:
    """Seconds from the request to the answer."""
    began = time.perf_counter()
    call(access, "DELETE", f"tasks/{task_id}")
    return time.perf_counter() - began


def until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> float:
    """The monotonic time at which it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.005)
    return time.monotonic()


def first_bar(access: Access, order: Order) -> tuple[str, float]:
    """A new task's id, and the seconds from the request to the first bar that a reader sees."""
    began = time.monotonic()
    task_id = start(access, order)
    return task_id, until(lambda: written(access, task_id), "a first stock") - began


class Run:
    """A collection that has begun to write; `go_on` starts another one when it has ended."""

    def __init__(self, access: Access, order: Order) -> None:
        self.access, self.order = access, order
        self.task_id, _ = first_bar(access, order)

    def go_on(self) -> None:
        if not running(self.access, self.task_id):
            self.task_id, _ = first_bar(self.access, self.order)

    def pace(self, seconds: float) -> float | None:
        """Stocks a second in the next so many seconds; None when it ended meanwhile."""
        began, before = time.monotonic(), status(self.access, self.task_id)
        time.sleep(seconds)
        after = status(self.access, self.task_id)
        done = int(after["processed_stocks"]) - int(before["processed_stocks"])
        return done / (time.monotonic() - began) if after["status"] == "running" else None

    def stop(self) -> None:
        if running(self.access, self.task_id):
            cancel(self.access, self.task_id)
