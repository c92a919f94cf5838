"""What polling clients cost a running collection: `python -m benchmarks.load [URL]`.

Counts the stocks a second of one collection with and without the clients, in turns, and compares medians.
Each client opens a connection for each request, as a script would, and asks for the task's status or for
the current task.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

from benchmarks.client import MARKET, Run
from benchmarks.crowd import Crowd
from benchmarks.product import Access, a_database, arguments, quickstart, spread

PROMISED = 0.15
TRIES = 3


class Watchers(Crowd):
    """Scripts that poll the API, each one path after the other."""

    def __init__(self, access: Access, run: Run, clients: int, every: float, *others: str) -> None:
        super().__init__(access, clients, every)
        self.run, self.others = run, others
        self.headers = {"Authorization": f"Token {access['token']}"}

    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        paths = (f"status/{self.run.task_id}", *self.others)
        return f"/api/data-collection/{paths[turn % len(paths)]}", self.headers


def pace(run: Run, crowd: Crowd | None, seconds: float) -> float:
    """Stocks a second, with all of the crowd asking if there is one; measured again if the run ended."""
    with ExitStack() as stack:
        if crowd:
            stack.enter_context(crowd.asking())
            time.sleep(crowd.every)
        for _ in range(TRIES):
            if found := run.pace(seconds):
                return found
            run.go_on()
    raise RuntimeError(f"No collection lasted for {seconds:g} s: more stocks, or shorter windows.")


def slowed(run: Run, crowd: Crowd, pairs: int, seconds: float) -> float:
    """By which part of its time the crowd slows the run; the median of pairs of windows, in seconds."""
    parts = []
    for number in range(pairs):
        turns = (None, crowd) if number % 2 else (crowd, None)
        found = {kind is crowd: pace(run, kind, seconds) for kind in turns}
        parts.append(found[False] / found[True] - 1)
        print(f"  alone {found[False]:.1f} stocks/s, watched {found[True]:.1f} stocks/s", flush=True)
    return statistics.median(parts)


def main() -> int:
    """1 when there was an error, or when the collection was slowed by more than was promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between a client's requests")
    parser.add_argument("--stocks", type=int, default=5400)
    parser.add_argument("--latency", default="0.02", help="of the simulated source, in seconds")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each window")
    options = arguments(parser, pairs=1, seconds=5.0)
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(options.stocks),
        "COLLECTOR_SIMULATED_LATENCY": options.latency,
    }
    with a_database(options.url) as url, quickstart(url, **settings) as access:
        run = Run(access, MARKET)
        crowd = Watchers(access, run, options.clients, options.every, "current-task")
        slower = slowed(run, crowd, options.pairs, options.seconds)
    print(f"{len(crowd.seconds)} answers: {spread(crowd.seconds)}; errors: {dict(crowd.errors) or 'none'}")
    print(f"slowed by {slower:.1%} (promised: less than {PROMISED:.0%})")
    return 1 if crowd.errors or slower >= PROMISED else 0


if __name__ == "__main__":
    sys.exit(main())
