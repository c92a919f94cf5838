"""Measures how close sources come to their rate, and whether they exceed it: `python -m tests.measure_rates`.

For each vendor's stand-in, several processes request stocks through the engine's limiter as fast as it lets
them. The stand-in notes when each request arrives, further pages and log-ins included. Printed per source are
the achieved rate divided by the allowed one, and the most arrivals within any second. On a busy machine
arrivals jitter, so this is no test of the suite: `tests/throttle` measures permits on a controlled clock.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from tests.sources.vendors import VENDORS, Vendor
from tools.request_rate import most_within
from tools.worker_machine import environment

FIRST, LAST = date(2024, 5, 6), date(2024, 6, 7)  # without a holiday


class Arrivals(list[Any]):
    """Stands in for a stand-in's list of requests, and notes when each is added."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, request: Any) -> None:
        self.times.append(time.monotonic())
        super().append(request)


def measure(vendor: Vendor, rate: float, seconds: float, processes: int) -> tuple[float, int, int]:
    """Returns achieved ÷ allowed rate, the most arrivals in any second, and how many arrived."""
    arrivals = Arrivals()
    with vendor.run() as server, tempfile.TemporaryDirectory() as folder:
        server.requests = arrivals
        extra = {**getattr(server, "environment", {}), **dict(vendor.settings(server))}
        extra |= {
            "COLLECTOR_RATES": f"{vendor.source}={rate:g}",
            "TMPDIR": folder,
            "COLLECTOR_NO_THROTTLE": "0",
        }
        env = environment(f"sqlite:///{Path(folder) / 'db.sqlite3'}", **extra)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=env, check=True)
        command = [sys.executable, "-m", "tests.measure_rates", "--requester", vendor.source, vendor.market]
        command += ["--seconds", str(seconds)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        requesters: list[Any] = [subprocess.Popen(command, env=env, **pipes) for _ in range(processes)]
        for each in requesters:
            each.stdout.readline()  # it has had its first answer, which its client's import had delayed
        began = time.monotonic()
        for each in requesters:
            each.stdin.write("\n")
            each.stdin.flush()
        for each in requesters:
            each.wait()
    times = [at for at in arrivals.times if began <= at <= began + seconds]
    if len(times) < 2:
        return 0.0, len(times), len(times)
    return (len(times) - 1) / (times[-1] - times[0]) / rate, most_within(times, 1.0), len(times)


def request_for(source: str, market: str, seconds: float) -> None:
    """Requests stocks in turn for so many seconds, through the source's limiter.

    Begins when it is told to, which is after the first answer of every process.
    """
    import django

    django.setup()
    from django.conf import settings

    from tasks_app.engine import item_planner
    from tasks_app.engine.answers import CheckedSource
    from tasks_app.market.codes import canonical_or_same
    from tasks_app.sources import registry
    from tasks_app.sources.base import Request, SourceError
    from tests.sources.vendors import STOCKS

    conf = settings.COLLECTOR
    checked = CheckedSource(registry.get_source(source, conf), conf)
    codes = [canonical_or_same(market, stock.code) for stock in STOCKS[market].values()]
    number, end = os.getpid(), time.monotonic() + 60.0
    is_first, failures = True, set()
    while time.monotonic() < end:
        request = Request(market, codes[number % len(codes)], FIRST, LAST)
        try:
            item_planner.call_now(
                partial(checked.fetch, request), source, conf, "bars", timeout=conf.fetch_timeout
            )
        except SourceError as error:
            failures.add(f"{error.code}: {error}")
        if is_first:
            print("ready", flush=True)
            sys.stdin.readline()
            is_first, end = False, time.monotonic() + seconds
        number += 1
    for failure in sorted(failures):
        print(f"  {source}: {failure[:150]}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rate", type=float, default=2.0, help="allowed requests per second (default: 2)")
    parser.add_argument("--seconds", type=float, default=30.0, help="per source (default: 30)")
    parser.add_argument("--processes", type=int, default=2, help="that share the rate (default: 2)")
    parser.add_argument("--source", action="append", help="only this one (default: all)")
    parser.add_argument("--requester", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.requester:
        request_for(*options.requester, options.seconds)
        return
    by_source = {vendor.source: vendor for vendor in reversed(VENDORS)}
    for name in options.source or sorted(by_source):
        share, most, count = measure(by_source[name], options.rate, options.seconds, options.processes)
        print(
            f"{name}: achieved ÷ allowed {share:.3f}, at most {most} in any second, {count} arrivals",
            flush=True,
        )


if __name__ == "__main__":
    main()
