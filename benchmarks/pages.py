"""What open task pages cost the web server: `python -m benchmarks.pages [URL]`.

Signs in once, then asks as two hundred browsers do that show one task: each with the version and the
parts that it has, every two seconds. Three times: while stocks end all the time, while a worker is at
work but no stock ends, and when nothing changes at all (an ended task, which real pages stop asking
about). The web server's processor time is /proc's, over all its processes: Linux only.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks.first_bar import call
from benchmarks.product import MARKET, Access, a_database, quickstart, spread

PROMISED = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
LOGIN, PASSWORD = "/admin/login/", "only-for-benchmarks-1"
WARM_SECONDS = 6.0


@dataclass
class Page:
    """One open page: its version, and the parts that it has."""

    etag: str = ""
    have: dict[str, str] = field(default_factory=dict)

    def read(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.etag = headers.get("etag", "")
        if status == 200:
            answer = json.loads(body)
            self.have.update({name: digest for name, (digest, _) in answer["parts"].items()})
            if "cells" in answer:
                self.have["cells"] = answer["cells"][0]


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


class Crowd:
    """Browsers that show the task."""

    def __init__(self, access: Access, cookie: str, task_id: str, clients: int, every: float) -> None:
        self.place = urlsplit(access["url"])
        self.cookie, self.clients, self.every = cookie, clients, every
        self.path = f"/admin/tasks_app/collectiontask/{task_id}/live/"
        self.pages = [Page() for _ in range(clients)]

    def watch(self, seconds: float) -> Figures:
        """First long enough for every page to have all parts, then for as long as is measured."""
        asyncio.run(self._all(WARM_SECONDS))
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self.statuses: Counter[str] = Counter()
        before, began = processor_time(), time.monotonic()
        asyncio.run(self._all(seconds))
        share = (processor_time() - before) / (time.monotonic() - began)
        return Figures(share, self.seconds, self.sizes, self.statuses)

    async def _all(self, seconds: float) -> None:
        self.seconds, self.sizes, self.statuses = [], [], Counter()
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._one(n, page, end) for n, page in enumerate(self.pages)))

    async def _one(self, number: int, page: Page, end: float) -> None:
        await asyncio.sleep(self.every * number / self.clients)
        while time.monotonic() < end:
            began = time.monotonic()
            await self._ask(page)
            taken = time.monotonic() - began
            self.seconds.append(taken)
            await asyncio.sleep(max(0.0, self.every - taken))

    async def _ask(self, page: Page) -> None:
        have = ",".join(f"{name}.{digest}" for name, digest in page.have.items())
        lines = [
            f"GET {self.path}?{urlencode({'have': have})} HTTP/1.1",
            f"Host: {self.place.netloc}",
            f"Cookie: {self.cookie}",
            "Connection: close",
            *([f"If-None-Match: {page.etag}"] if page.etag else []),
        ]
        reader, writer = await asyncio.open_connection(self.place.hostname, self.place.port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await reader.read(-1)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        status = int(first.split(" ")[1])
        pairs = (line.split(": ", 1) for line in rest)
        page.read(status, {name.lower(): value for name, value in pairs}, body)
        self.statuses[str(status)] += 1
        self.sizes.append(len(answer))


def sign_in(access: Access) -> str:
    """The session's cookie."""
    place = urlsplit(access["url"])
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    connection.request("GET", LOGIN)
    answer = connection.getresponse()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.read().decode())
    assert token
    given = answer.headers["Set-Cookie"].split(";")[0]
    form = {
        "csrfmiddlewaretoken": token[1],
        "username": access["user"],
        "password": access["password"],
        "next": "/admin/",
    }
    headers = {"Cookie": given, "Content-Type": "application/x-www-form-urlencoded", "Referer": access["url"]}
    connection.request("POST", LOGIN, urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    cookies = answer.headers.get_all("Set-Cookie") or []
    return next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("sessionid"))


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
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    with quickstart(url, **settings) as access:
        access["password"] = PASSWORD  # a second product on the same database does not tell it again
        task_id = call(access, "POST", "historical", MARKET)["task_id"]
        time.sleep(5)
        if cancelled:
            call(access, "DELETE", f"tasks/{task_id}")
        figures = Crowd(access, sign_in(access), task_id, options.clients, options.every).watch(
            options.seconds
        )
        if call(access, "GET", f"status/{task_id}")["status"] == "running":
            call(access, "DELETE", f"tasks/{task_id}")
        return figures


def main() -> int:
    """1 when the web server used more than was promised, or answered with anything but 200 and 304."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument(
        "url", nargs="?", default="", help="an empty database; temporary SQLite files if none"
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between a page's requests")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each case is measured")
    parser.add_argument("--stocks", type=int, default=6000)
    options = parser.parse_args()
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
        good &= figures.share < PROMISED and set(figures.statuses) <= {"200", "304"}
    print(f"{options.clients} pages, each every {options.every:g} s; promised: less than {PROMISED} cores")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
