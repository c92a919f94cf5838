"""Measures what open task pages cost the web server: `python -m benchmarks.task_pages [URL]`.

Signs in once, then polls like two hundred browsers that show one task: each sends the ETag and the digests
that it has, every two seconds. Three cases: stocks end all the time, a worker is busy but no stock ends, and
nothing changes (an ended task, which real pages stop polling). The processor time of all web server processes
comes from /proc: Linux only.
"""

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.api_client import MARKET, cancel, is_running, start
from benchmarks.browser_client import SETTINGS, Browser, TaskPage
from benchmarks.harness import Access, format_spread, parse_arguments, quickstart, temporary_database
from benchmarks.polling_clients import EXPECTED_STATUSES, PollingClients, Response

TARGET = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
WARM_SECONDS = 6.0


@dataclass
class Figures:
    """The cost and the responses of one measurement; `share` is in cores."""

    share: float
    seconds: list[float]
    sizes: list[int]
    statuses: Counter[str]

    def line(self, name: str) -> str:
        responses = ", ".join(f"{count} × {status}" for status, count in sorted(self.statuses.items()))
        size = statistics.mean(self.sizes) if self.sizes else 0
        return (
            f"{name:<26} {self.share:>5.2f} cores   {size:>6,.0f} B each, at most "
            f"{max(self.sizes, default=0):,}   {format_spread(self.seconds)}   {responses}"
        )


class OpenTaskPages(PollingClients):
    """Browsers that show one task."""

    def __init__(self, access: Access, task_id: str, clients: int, every: float) -> None:
        super().__init__(access, clients, every)
        self.cookie = Browser(access).cookie
        self.pages = [TaskPage(task_id) for _ in range(clients)]

    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        page = self.pages[number]
        return page.path, {"Cookie": self.cookie, **page.headers}

    def handle(self, number: int, response: Response) -> None:
        self.pages[number].update(response.headers, response.body)

    def watch(self, seconds: float) -> Figures:
        """Warms up until every page has all parts, then measures for `seconds`."""
        with self.polling():
            time.sleep(WARM_SECONDS)
            self.reset()
            before, began = processor_time(), time.monotonic()
            time.sleep(seconds)
            share = (processor_time() - before) / (time.monotonic() - began)
        return Figures(share, self.seconds, self.sizes, self.statuses + self.errors)


def processor_time() -> float:
    """Returns the seconds used so far by the web server: our descendants that run gunicorn."""
    return sum(_processor_seconds(pid) for pid, command in _descendants(os.getpid()) if "gunicorn" in command)


def _descendants(ancestor: int) -> Iterator[tuple[int, str]]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = (
                int(_stat_fields(int(folder.name))[1]),
                (folder / "cmdline").read_text(),
            )
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    for pid, (_, command) in parents.items():
        above = pid
        while above in parents and above != ancestor:
            above = parents[above][0]
        if above == ancestor:
            yield pid, command


def _stat_fields(pid: int) -> list[str]:
    """Returns the fields of /proc/…/stat after the name: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _processor_seconds(pid: int) -> float:
    return sum(int(ticks) for ticks in _stat_fields(pid)[11:13]) / TICKS


def measure(url: str, options: argparse.Namespace, latency: str, *, cancelled: bool = False) -> Figures:
    """Measures the pages of a running (or cancelled) collection on a fresh product."""
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(options.stocks),
        "COLLECTOR_SIMULATED_LATENCY": latency,
        "COLLECTOR_SIMULATED_BARS": "50",
        "COLLECTOR_SIMULATED_FAILURE_RATE": "0.4",
        "COLLECTOR_NO_THROTTLE": "1",
        **SETTINGS,
    }
    with quickstart(url, **settings) as access:
        task_id = start(access, MARKET)
        time.sleep(5)
        if cancelled:
            cancel(access, task_id)
        figures = OpenTaskPages(access, task_id, options.clients, options.every).watch(options.seconds)
        if is_running(access, task_id):
            cancel(access, task_id)
        return figures


def main() -> int:
    """Returns 1 if the web server used more than the target or sent anything but 200 and 304."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_pages", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between a page's requests")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each case is measured")
    parser.add_argument("--stocks", type=int, default=6000)
    options = parse_arguments(parser, seconds=10.0)
    cases = {
        "stocks end all the time": ("0.15", False),
        "busy, no stock ends": ("25", False),
        "nothing changes": ("25", True),
    }
    met = True
    for name, (latency, cancelled) in cases.items():
        with temporary_database(options.url) as url:
            figures = measure(url, options, latency, cancelled=cancelled)
        print(figures.line(name), flush=True)
        met &= figures.share < TARGET and set(figures.statuses) <= EXPECTED_STATUSES
    print(f"{options.clients} pages, each every {options.every:g} s; target: less than {TARGET} cores")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
