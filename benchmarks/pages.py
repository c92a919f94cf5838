"""What open task pages cost the web server: `python -m benchmarks.pages [URL]`.

Signs in once, then asks as two hundred browsers do that show one task: each with the version and the
parts that it has, every two seconds. Three times: while stocks end all the time, while a worker is at
work but no stock ends, and when nothing changes at all (an ended task, which real pages stop asking
about). The web server's processor time is /proc's, over all its processes: Linux only.
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

from benchmarks.browser import SETTINGS, Browser, Page
from benchmarks.client import MARKET, cancel, running, start
from benchmarks.crowd import GOOD, Answer, Crowd
from benchmarks.product import Access, a_database, arguments, quickstart, spread

PROMISED = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
WARM_SECONDS = 6.0


@dataclass
class Figures:
    """What a while of watching cost and brought."""

    share: float
    seconds: list[float]
    sizes: list[int]
    statuses: Counter[str]

    def line(self, name: str) -> str:
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(self.statuses.items()))
        size = statistics.mean(self.sizes) if self.sizes else 0
        return (
            f"{name:<26} {self.share:>5.2f} cores   {size:>6,.0f} B each, at most "
            f"{max(self.sizes, default=0):,}   {spread(self.seconds)}   {answers}"
        )


class Pages(Crowd):
    """Browsers that show the task."""

    def __init__(self, access: Access, task_id: str, clients: int, every: float) -> None:
        super().__init__(access, clients, every)
        self.cookie = Browser(access).cookie
        self.pages = [Page(task_id) for _ in range(clients)]

    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        page = self.pages[number]
        return page.path, {"Cookie": self.cookie, **page.headers}

    def take(self, number: int, answer: Answer) -> None:
        self.pages[number].take(answer.headers, answer.body)

    def watch(self, seconds: float) -> Figures:
        """First long enough for every page to have all parts, then for as long as is measured."""
        with self.asking():
            time.sleep(WARM_SECONDS)
            self.forget()
            before, began = processor_time(), time.monotonic()
            time.sleep(seconds)
            share = (processor_time() - before) / (time.monotonic() - began)
        return Figures(share, self.seconds, self.sizes, self.statuses + self.errors)


def processor_time() -> float:
    """Seconds that the web server's processes have used so far: those below us whose program is gunicorn."""
    return sum(_used(pid) for pid, command in _below(os.getpid()) if "gunicorn" in command)


def _below(ancestor: int) -> Iterator[tuple[int, str]]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_fields(int(folder.name))[1]), (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    for pid, (_, command) in parents.items():
        above = pid
        while above in parents and above != ancestor:
            above = parents[above][0]
        if above == ancestor:
            yield pid, command


def _fields(pid: int) -> list[str]:
    """The fields of /proc/…/stat after the name: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _used(pid: int) -> float:
    return sum(int(ticks) for ticks in _fields(pid)[11:13]) / TICKS


def measure(url: str, options: argparse.Namespace, latency: str, *, cancelled: bool = False) -> Figures:
    """A product of its own, a running collection (or a cancelled one), and the crowd before it."""
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
        figures = Pages(access, task_id, options.clients, options.every).watch(options.seconds)
        if running(access, task_id):
            cancel(access, task_id)
        return figures


def main() -> int:
    """1 when the web server used more than was promised, or answered with anything but 200 and 304."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between a page's requests")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each case is measured")
    parser.add_argument("--stocks", type=int, default=6000)
    options = arguments(parser, seconds=10.0)
    cases = {
        "stocks end all the time": ("0.15", False),
        "at work, no stock ends": ("25", False),
        "nothing changes": ("25", True),
    }
    good = True
    for name, (latency, cancelled) in cases.items():
        with a_database(options.url) as url:
            figures = measure(url, options, latency, cancelled=cancelled)
        print(figures.line(name), flush=True)
        good &= figures.share < PROMISED and set(figures.statuses) <= GOOD
    print(f"{options.clients} pages, each every {options.every:g} s; promised: less than {PROMISED} cores")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
