"""What the polled answers cost, against two peers: `python -m benchmarks.api [URL]`. Needs wrk (Debian: wrk).

The peers: the design that the product replaces (FastAPI and a dict; one process, as it was), and a bare
ModelSerializer view of REST framework on the same table, behind the same web server as ours. The servers
take turns, `--rounds` times. Told is the best of each one's rounds, and the lowest: of wrk's connections,
which all come at once, sometimes one of gunicorn's two processes takes nearly all, and half of it idles.
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

from benchmarks.client import MARKET, Order, running, start
from benchmarks.peers.old_design import TASK_ID
from benchmarks.product import ROOT, Access, a_database, arguments, free_port, quickstart, until_it_answers

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
    """A server of one's own on a free port; its address, once `path` answers."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    words = [word.format(port=port) for word in command]
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until_it_answers(f"{address}{path}")
            yield address
        finally:
            server.terminate()


def per_second(address: str, seconds: int, *headers: str) -> float:
    """Requests a second that wrk got answered; fails when one was not answered with 2xx or 3xx."""
    time.sleep(PAUSE_SECONDS)  # until the server has closed the connections of the run before
    given = [word for header in headers for word in ("-H", header)]
    told = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", *given, address], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in told, told
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    assert found, told
    return float(found[1])


def tag(address: str, *headers: str) -> str:
    given = dict(header.split(": ", 1) for header in headers)
    with urlopen(Request(address, headers=given)) as answer:
        return str(answer.headers["ETag"])


class Duel:
    """Our paths and the peers', in turns."""

    def __init__(self, access: Access, tasks: tuple[str, str], old: str, bare: str, seconds: int) -> None:
        task_id, failing = tasks
        ours, token = f"{access['url']}/api/data-collection", f"Authorization: Token {access['token']}"
        etag = tag(f"{ours}/status/{task_id}", token)
        failures = f"{ours}/status/{failing}"
        known = f"If-None-Match: {tag(failures, token)}"
        old, path = f"{old}/api/data-collection", f"status/{task_id}"
        self.asks: dict[str, Callable[[], float]] = {
            "status": lambda: per_second(f"{ours}/{path}", seconds, token),
            "status, 304": lambda: per_second(f"{ours}/{path}", seconds, token, f"If-None-Match: {etag}"),
            "100 failures": lambda: per_second(failures, seconds, token),
            "100 failures, 304": lambda: per_second(failures, seconds, token, known),
            "current-task": lambda: per_second(f"{ours}/current-task", seconds, token),
            "tasks": lambda: per_second(f"{ours}/tasks", seconds, token),
            "bare DRF": lambda: per_second(f"{bare}/api/data-collection/{path}", seconds),
            "FastAPI dict": lambda: per_second(f"{old}/status/{TASK_ID}", seconds),
        }

    def fight(self, rounds: int) -> dict[str, list[float]]:
        seen: dict[str, list[float]] = {name: [] for name in self.asks}
        for _ in range(rounds):
            for name, ask in self.asks.items():
                seen[name].append(ask())
        return seen


def tell(past: int, seen: dict[str, list[float]]) -> None:
    """The rates, and the ratios of the best."""
    print(f"\n{past:,} past tasks")
    for name, rates in seen.items():
        print(f"  {name:18} {max(rates):8,.0f} requests/s, lowest {min(rates):8,.0f}")
    for above, below in (
        ("status", "bare DRF"),
        ("status", "FastAPI dict"),
        ("status, 304", "status"),
        ("100 failures, 304", "100 failures"),
        ("current-task", "FastAPI dict"),
    ):
        print(f"  {above} ÷ {below}: {max(seen[above]) / max(seen[below]):.2f}", flush=True)


SAMPLE: Order = {"start_date": "2010-01-01", "end_date": "2010-12-31", "source": "sample", "market": "US"}
FAILING = {  # half of the market's stocks fail, at once
    "COLLECTOR_SIMULATED_STOCKS": "300",
    "COLLECTOR_SIMULATED_FAILURE_RATE": "0.5",
    "COLLECTOR_MAX_ATTEMPTS": "1",
}


def a_task(access: Access, order: Order) -> str:
    task_id = start(access, order)
    while running(access, task_id):
        time.sleep(0.2)
    return task_id


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--past", default="10,10000,1000000", help="numbers of past tasks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    options = arguments(parser, past="10000", rounds=1, seconds=1)
    if not shutil.which("wrk"):
        print("SKIPPED: wrk is not installed (Debian: apt-get install wrk)", flush=True)
        return 0
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(a_database(options.url))
        access = stack.enter_context(quickstart(url, DJANGO_DEBUG="off", **SERVED_PLAINLY, **FAILING))
        task_id, failing = a_task(access, SAMPLE), a_task(access, MARKET)
        uvicorn = ["-m", "uvicorn", "--port={port}", "--log-level=warning", "benchmarks.peers.old_design:app"]
        bare = [*GUNICORN, "--bind=127.0.0.1:{port}", "benchmarks.peers.bare_drf:application"]
        old_address = stack.enter_context(serving(uvicorn, "/api/data-collection/current-task", url))
        bare_address = stack.enter_context(serving(bare, f"/api/data-collection/status/{task_id}", url))
        duel, there = Duel(access, (task_id, failing), old_address, bare_address, options.seconds), 0
        for past in map(int, options.past.split(",")):
            seed(url, past - there)
            there = past
            tell(past, duel.fight(options.rounds))
    return 0


SERVED_PLAINLY = {
    "DJANGO_SECRET_KEY": "only-for-this-benchmark-" + "x" * 40,
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_HTTPS": "off",
}


def seed(url: str, count: int) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    subprocess.run([sys.executable, "-c", SEED, str(count)], cwd=Path(ROOT), env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
