"""Measures how fast a cancel responds and takes effect: `python -m benchmarks.cancel [URL]`.

1. Over HTTP while two workers write at full speed: request to response. Target: 200 ms.
2. With a source that hangs: from the response to the last request to the source, to the end of the hung
   connections, and to the first stock of the next task. Target: 5 s each.
3. Thousands of cancels at random moments (`tools.cancel_storm`, in a process of its own): nothing
   is written after the response.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.api_client import (
    MARKET,
    CollectionRequest,
    cancel,
    has_bars,
    start,
    time_to_first_bar,
    wait_until,
)
from benchmarks.harness import ROOT, Access, format_spread, parse_arguments, quickstart, temporary_database

SAMPLE = {**MARKET, "source": "sample", "market": "US", "stock_codes": ["IBM"], "start_date": "2000-01-01"}
QUIET_SECONDS = 6.0
HANGS = 5


def start_and_cancel(
    access: Access, order: CollectionRequest, rounds: int, rng: random.Random, longest: float = 0.3
) -> tuple[list[float], list[float]]:
    """Returns the seconds to the first bars, and those of cancels that interrupt writing workers.

    Each cancel is sent at a random moment, at most `longest` seconds after the first bar.
    """
    firsts, cancels = [], []
    for _ in range(rounds):
        task_id, first = time_to_first_bar(access, order)
        firsts.append(first)
        time.sleep(rng.uniform(0.0, longest))
        cancels.append(cancel(access, task_id))
    return firsts, cancels


class HungCollection:
    """A collection whose every request hangs, then cancelled; times what follows the response."""

    def __init__(self, access: Access, log: Path) -> None:
        self.access, self.log = access, log
        self.before = len(self._requests())

    def run(self) -> dict[str, float]:
        task_id = start(self.access, MARKET)
        wait_until(lambda: len(self._requests()) >= self.before + 2, "two hung requests")
        hung = {pid for _, pid in self._requests()[self.before :]}
        cancel(self.access, task_id)
        responded, responded_at = time.monotonic(), time.time()
        following = start(self.access, SAMPLE)
        first = wait_until(lambda: has_bars(self.access, following), "a stock of the next task") - responded
        over = wait_until(lambda: not any(map(_is_alive, hung)), "the hung processes' end") - responded
        wait_until(lambda: time.monotonic() > responded + QUIET_SECONDS, "a while")
        last = max(at for at, _ in self._requests()) - responded_at
        return {"last request": max(last, 0.0), "end of hung connections": over, "next task's stock": first}

    def _requests(self) -> list[tuple[float, int]]:
        """Returns (unix time, pid) of each request to the source."""
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(float(at), int(pid)) for at, pid, _ in lines]


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def report_latency(url: str, rounds: int, rng: random.Random) -> None:
    with quickstart(url) as access:
        _, cancels = start_and_cancel(access, MARKET, rounds, rng)
    print(f"request to response, {rounds} cancels: {format_spread(cancels)}", flush=True)


def report_hang(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests"
        settings = {"COLLECTOR_SIMULATED_HANG_RATE": "1", "COLLECTOR_SIMULATED_LOG": str(log)}
        with quickstart(url, **settings) as access:
            measured = [HungCollection(access, log).run() for _ in range(HANGS)]
    for what in measured[0]:
        print(
            f"response to {what}, slowest of {HANGS}: {max(one[what] for one in measured):.2f} s", flush=True
        )


def storm(url: str, rounds: int, seed: int) -> int:
    """Runs tools.cancel_storm on a migrated database; returns its exit code."""
    command = [sys.executable, "-m", "tools.cancel_storm", f"--rounds={rounds}", f"--seed={seed}"]
    settings = {"DJANGO_SETTINGS_MODULE": "collector_site.settings", "DATABASE_URL": url}
    market = {"COLLECTOR_SIMULATED_STOCKS": "1000000", "COLLECTOR_SIMULATED_BARS": "20"}
    environment = {**os.environ, **settings, **market}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """Returns 1 if something was written after a response."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cancel", description=__doc__)
    parser.add_argument("--cancels", type=int, default=60, help="over HTTP")
    parser.add_argument("--rounds", type=int, default=10_000, help="of the storm; 0: none")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parse_arguments(parser, cancels=10, rounds=100)
    print(f"seed {options.seed}", flush=True)
    with temporary_database(options.url) as url:
        report_latency(url, options.cancels, random.Random(options.seed))
        report_hang(url)
        return storm(url, options.rounds, options.seed) if options.rounds else 0


if __name__ == "__main__":
    sys.exit(main())
