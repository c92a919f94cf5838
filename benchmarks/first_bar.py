"""From `POST historical` to the first committed bar: `python -m benchmarks.first_bar [DATABASE_URL]`.

Starts the product as a user does (quickstart: gunicorn, django-q2 workers), then starts and cancels
tasks over HTTP and polls the status for the first collected bar.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 20
ORDER = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}


def call(access: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    """The JSON answer of the API."""
    request = urllib.request.Request(
        f"{access['url']}/api/data-collection/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Token {access['token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def round_trip(access: dict[str, str], order: dict[str, Any]) -> float:
    """Seconds from the request to the first bar that a reader sees."""
    began = time.perf_counter()
    task_id = call(access, "POST", "historical", order)["task_id"]
    while not call(access, "GET", f"status/{task_id}")["success_count"]:
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    if call(access, "GET", f"status/{task_id}")["status"] == "running":
        call(access, "DELETE", f"tasks/{task_id}")
    return seconds


def main() -> None:
    """Print the median and the slowest of each kind of order."""
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/db.sqlite3"
        settings = {**os.environ, "DATABASE_URL": url, "COLLECTOR_SIMULATED_LATENCY": "0.01"}
        command = [sys.executable, "manage.py", "quickstart", "--port", "0", "--no-collect"]
        with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as product:
            assert product.stdout
            ready = next(line for line in product.stdout if line.startswith("READY "))
            access = json.loads(ready.removeprefix("READY "))
            one = {**ORDER, "stock_codes": ["000001"]}
            for name, order in {"one stock": one, "a whole market": ORDER}.items():
                seconds = [round_trip(access, order) for _ in range(ROUNDS)]
                print(f"{name:>15}: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s")
            product.terminate()


if __name__ == "__main__":
    main()
