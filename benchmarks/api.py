"""Compares the polled endpoints with two peers: `python -m benchmarks.api [URL]`. Needs wrk (Debian: wrk).

The peers are the design that the product replaces (FastAPI and a dict in one process) and a bare
ModelSerializer view of REST framework on the same table, behind the same web server as ours. The servers
alternate, `--rounds` times. Printed are the best and the lowest round of each: wrk opens all its connections
at once, and sometimes one of gunicorn's two processes accepts nearly all of them while the other idles.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.api_client import MARKET, CollectionRequest, is_running, start
from benchmarks.harness import (
    ROOT,
    Access,
    free_port,
    parse_arguments,
    quickstart,
    temporary_database,
    wait_until_reachable,
)
from benchmarks.peers.old_design import TASK_ID

PAUSE_SECONDS = 2.0
GUNICORN = ["-m", "gunicorn", "--workers=2", "--threads=4", "--worker-class=gthread", "--log-level=warning"]
SEED = """
import sys, django
django.setup()
from benchmarks.seeding import past_tasks
past_tasks(int(sys.argv[1]))
"""


@contextlib.contextmanager
def serving(command: list[str], path: str, url: str) -> Iterator[str]:
    """Runs a server on a free port; yields its address once `path` responds."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    command_line = [word.format(port=port) for word in command]
    with subprocess.Popen([sys.executable, *command_line], cwd=ROOT, env=environment) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_reachable(f"{address}{path}")
            yield address
        finally:
            server.terminate()


def requests_per_second(address: str, seconds: int, *headers: str) -> float:
    """Returns wrk's requests per second; fails if a response is not 2xx or 3xx."""
    time.sleep(PAUSE_SECONDS)  # until the server has closed the connections of the run before
    options = [word for header in headers for word in ("-H", header)]
    output = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", *options, address], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in output, output
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert rate, output
    return float(rate[1])


def etag_of(address: str, *headers: str) -> str:
    fields = dict(header.split(": ", 1) for header in headers)
    with urlopen(Request(address, headers=fields)) as response:
        return str(response.headers["ETag"])


class Comparison:
    """Our endpoints and the peers', measured alternately."""

    def __init__(self, access: Access, tasks: tuple[str, str], old: str, bare: str, seconds: int) -> None:
        task_id, failing = tasks
        ours, token = f"{access['url']}/api/data-collection", f"Authorization: Token {access['token']}"
        known = f"If-None-Match: {etag_of(f'{ours}/status/{task_id}', token)}"
        failures = f"{ours}/status/{failing}"
        known_failures = f"If-None-Match: {etag_of(failures, token)}"
        old, path = f"{old}/api/data-collection", f"status/{task_id}"
        self.measurements: dict[str, Callable[[], float]] = {
            "status": lambda: requests_per_second(f"{ours}/{path}", seconds, token),
            "status, 304": lambda: requests_per_second(f"{ours}/{path}", seconds, token, known),
            "100 failures": lambda: requests_per_second(failures, seconds, token),
            "100 failures, 304": lambda: requests_per_second(failures, seconds, token, known_failures),
            "current-task": lambda: requests_per_second(f"{ours}/current-task", seconds, token),
            "tasks": lambda: requests_per_second(f"{ours}/tasks", seconds, token),
            "bare DRF": lambda: requests_per_second(f"{bare}/api/data-collection/{path}", seconds),
            "FastAPI dict": lambda: requests_per_second(f"{old}/status/{TASK_ID}", seconds),
        }

    def run(self, rounds: int) -> dict[str, list[float]]:
        rates: dict[str, list[float]] = {name: [] for name in self.measurements}
        for _ in range(rounds):
            for name, measure in self.measurements.items():
                rates[name].append(measure())
        return rates


def report(past: int, rates: dict[str, list[float]]) -> None:
    """Prints the rates, and the ratios of the best rounds."""
    print(f"\n{past:,} past tasks")
    for name, rounds in rates.items():
        print(f"  {name:18} {max(rounds):8,.0f} requests/s, lowest {min(rounds):8,.0f}")
    for above, below in (
        ("status", "bare DRF"),
        ("status", "FastAPI dict"),
        ("status, 304", "status"),
        ("100 failures, 304", "100 failures"),
        ("current-task", "FastAPI dict"),
    ):
        print(f"  {above} ÷ {below}: {max(rates[above]) / max(rates[below]):.2f}", flush=True)


SAMPLE: CollectionRequest = {
    "start_date": "2010-01-01",
    "end_date": "2010-12-31",
    "source": "sample",
    "market": "US",
}
FAILING = {  # half of the stocks fail at their only attempt
    "COLLECTOR_SIMULATED_STOCKS": "300",
    "COLLECTOR_SIMULATED_FAILURE_RATE": "0.5",
    "COLLECTOR_MAX_ATTEMPTS": "1",
}


def ended_task(access: Access, order: CollectionRequest) -> str:
    task_id = start(access, order)
    while is_running(access, task_id):
        time.sleep(0.2)
    return task_id


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--past", default="10,10000,1000000", help="numbers of past tasks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    options = parse_arguments(parser, past="10000", rounds=1, seconds=1)
    if not shutil.which("wrk"):
        print("SKIPPED: wrk is not installed (Debian: apt-get install wrk)", flush=True)
        return 0
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(temporary_database(options.url))
        access = stack.enter_context(quickstart(url, DJANGO_DEBUG="off", **SERVED_PLAINLY, **FAILING))
        task_id, failing = ended_task(access, SAMPLE), ended_task(access, MARKET)
        uvicorn = ["-m", "uvicorn", "--port={port}", "--log-level=warning", "benchmarks.peers.old_design:app"]
        bare = [*GUNICORN, "--bind=127.0.0.1:{port}", "benchmarks.peers.bare_drf:application"]
        old_address = stack.enter_context(serving(uvicorn, "/api/data-collection/current-task", url))
        bare_address = stack.enter_context(serving(bare, f"/api/data-collection/status/{task_id}", url))
        comparison, present = (
            Comparison(access, (task_id, failing), old_address, bare_address, options.seconds),
            0,
        )
        for past in map(int, options.past.split(",")):
            add_past_tasks(url, past - present)
            present = past
            report(past, comparison.run(options.rounds))
    return 0


SERVED_PLAINLY = {
    "DJANGO_SECRET_KEY": "only-for-this-benchmark-" + "x" * 40,
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_HTTPS": "off",
}


def add_past_tasks(url: str, count: int) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    subprocess.run([sys.executable, "-c", SEED, str(count)], cwd=Path(ROOT), env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
