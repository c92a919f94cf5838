"""Measures what polling clients cost a running collection: `python -m benchmarks.polling_load [URL]`.

Counts the stocks per second of one collection with and without clients, alternately, and compares medians.
Each client opens a connection per request, as scripts do, and requests the task's status or the current task.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

from benchmarks.api_client import MARKET, Run
from benchmarks.harness import Access, format_spread, parse_arguments, quickstart, temporary_database
from benchmarks.polling_clients import PollingClients

TARGET = 0.15
TRIES = 3


class StatusPollers(PollingClients):
    """Scripts that poll the API, each cycling through the paths."""

    def __init__(self, access: Access, run: Run, clients: int, every: float, *more_paths: str) -> None:
        super().__init__(access, clients, every)
        self.run, self.more_paths = run, more_paths
        self.headers = {"Authorization": f"Token {access['token']}"}

    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        paths = (f"status/{self.run.task_id}", *self.more_paths)
        return f"/api/data-collection/{paths[turn % len(paths)]}", self.headers


def stocks_per_second(run: Run, clients: PollingClients | None, seconds: float) -> float:
    """Returns stocks per second, while all clients poll if given; measured again if the run ended."""
    with ExitStack() as stack:
        if clients:
            stack.enter_context(clients.polling())
            time.sleep(clients.every)
        for _ in range(TRIES):
            if rate := run.measure(seconds):
                return rate
            run.restart_if_ended()
    raise RuntimeError(f"No collection lasted {seconds:g} s: use more stocks or shorter windows.")


def slowdown(run: Run, clients: PollingClients, pairs: int, seconds: float) -> float:
    """Returns the share by which the clients slow the run down, as the median over pairs of windows."""
    parts = []
    for number in range(pairs):
        order = (None, clients) if number % 2 else (clients, None)
        rates = {load is clients: stocks_per_second(run, load, seconds) for load in order}
        parts.append(rates[False] / rates[True] - 1)
        print(f"  alone {rates[False]:.1f} stocks/s, polled {rates[True]:.1f} stocks/s", flush=True)
    return statistics.median(parts)


def main() -> int:
    """Returns 1 after an error, or if the collection was slowed by more than the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling_load", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between a client's requests")
    parser.add_argument("--stocks", type=int, default=5400)
    parser.add_argument("--latency", default="0.02", help="of the simulated source, in seconds")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each window")
    options = parse_arguments(parser, pairs=1, seconds=5.0)
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(options.stocks),
        "COLLECTOR_SIMULATED_LATENCY": options.latency,
    }
    with temporary_database(options.url) as url, quickstart(url, **settings) as access:
        run = Run(access, MARKET)
        clients = StatusPollers(access, run, options.clients, options.every, "current-task")
        slower = slowdown(run, clients, options.pairs, options.seconds)
    errors = dict(clients.errors) or "none"
    print(f"{len(clients.seconds)} responses: {format_spread(clients.seconds)}; errors: {errors}")
    print(f"slowed by {slower:.1%} (target: less than {TARGET:.0%})")
    return 1 if clients.errors or slower >= TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
