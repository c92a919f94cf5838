"""How soon a cancel is answered, and what still happens afterwards: `python -m benchmarks.cancel [URL]`.

1. Over HTTP while two workers write as fast as they can: request to answer. Promised: 200 ms.
2. With a source that hangs: from the answer to the last request to the source, to the end of the hung
   connections, and to the first stock of the next task. Promised: 5 s each.
3. Thousands of cancels at random moments: nothing is written after the answer.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.client import MARKET, Order, cancel, first_bar, start, until, written
from benchmarks.product import ROOT, Access, a_database, arguments, quickstart, spread

SAMPLE = {**MARKET, "source": "sample", "market": "US", "stock_codes": ["IBM"], "start_date": "2000-01-01"}
QUIET_SECONDS = 6.0
HANGS = 5


def latencies(
    access: Access, order: Order, rounds: int, chance: random.Random, longest: float = 0.3
) -> tuple[list[float], list[float]]:
    """Seconds to the first bars, and of the cancels, which met workers in the midst of writing.

    A cancel comes at a random moment after the first bar, `longest` seconds at most.
    """
    firsts, cancels = [], []
    for _ in range(rounds):
        task_id, first = first_bar(access, order)
        firsts.append(first)
        time.sleep(chance.uniform(0.0, longest))
        cancels.append(cancel(access, task_id))
    return firsts, cancels


class Hang:
    """One collection whose every request hangs, cancelled; seconds from the answer to what follows."""

    def __init__(self, access: Access, log: Path) -> None:
        self.access, self.log = access, log
        self.before = len(self._requests())

    def run(self) -> dict[str, float]:
        task_id = start(self.access, MARKET)
        until(lambda: len(self._requests()) >= self.before + 2, "two hung requests")
        hung = {pid for _, pid in self._requests()[self.before :]}
        cancel(self.access, task_id)
        answered, answered_at = time.monotonic(), time.time()
        following = start(self.access, SAMPLE)
        first = until(lambda: written(self.access, following), "a stock of the next task") - answered
        over = until(lambda: not any(map(_lives, hung)), "the hung processes' end") - answered
        until(lambda: time.monotonic() > answered + QUIET_SECONDS, "a while")
        last = max(at for at, _ in self._requests()) - answered_at
        return {"last request": max(last, 0.0), "end of hung connections": over, "next task's stock": first}

    def _requests(self) -> list[tuple[float, int]]:
        """(unix time, pid) of each."""
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(float(at), int(pid)) for at, pid, _ in lines]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def tell_latency(url: str, rounds: int, chance: random.Random) -> None:
    with quickstart(url) as access:
        _, cancels = latencies(access, MARKET, rounds, chance)
    print(f"request to answer, {rounds} cancels: {spread(cancels)}", flush=True)


def tell_hang(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests"
        settings = {"COLLECTOR_SIMULATED_HANG_RATE": "1", "COLLECTOR_SIMULATED_LOG": str(log)}
        with quickstart(url, **settings) as access:
            seen = [Hang(access, log).run() for _ in range(HANGS)]
    for what in seen[0]:
        print(f"answer to {what}, slowest of {HANGS}: {max(one[what] for one in seen):.2f} s", flush=True)


def storm(url: str, rounds: int, seed: int) -> int:
    """Run tests.concurrency.cancel_storm on a migrated database; its exit code."""
    command = [sys.executable, "-m", "tests.concurrency.cancel_storm", f"--rounds={rounds}", f"--seed={seed}"]
    settings = {"DJANGO_SETTINGS_MODULE": "collector_site.settings", "DATABASE_URL": url}
    market = {"COLLECTOR_SIMULATED_STOCKS": "1000000", "COLLECTOR_SIMULATED_BARS": "20"}
    environment = {**os.environ, **settings, **market}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """1 when something was written after an answer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cancel", description=__doc__)
    parser.add_argument("--cancels", type=int, default=60, help="over HTTP")
    parser.add_argument("--rounds", type=int, default=10_000, help="of the storm; 0: none")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = arguments(parser, cancels=10, rounds=100)
    print(f"seed {options.seed}", flush=True)
    with a_database(options.url) as url:
        tell_latency(url, options.cancels, random.Random(options.seed))
        tell_hang(url)
        return storm(url, options.rounds, options.seed) if options.rounds else 0


if __name__ == "__main__":
    sys.exit(main())
