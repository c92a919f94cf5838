"""What 200 polling clients cost a running collection: `python -m benchmarks.load [URL]`.

Runs the same collection with and without the clients, in turns, and compares medians. Each client opens a
connection once a second, as a script would, and asks for the task's status or for the current task.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from benchmarks.first_bar import call
from benchmarks.product import MARKET, Access, a_database, quickstart, spread

PATIENCE = 30.0
PROMISED = 0.15


class Crowd:
    """Clients in a thread of their own. `seconds` of every answer, and every other end, counted."""

    def __init__(self, access: Access, clients: int, every: float) -> None:
        self.access, self.clients, self.every = access, clients, every
        self.seconds: list[float] = []
        self.errors: Counter[str] = Counter()
        self.stop = threading.Event()
        self.paths = ["current-task"]

    @contextmanager
    def watching(self, task_id: str) -> Iterator[None]:
        self.paths = [f"status/{task_id}", "current-task"]
        self.stop.clear()
        thread = threading.Thread(target=lambda: asyncio.run(self._poll()))
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()

    async def _poll(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self.every * number / self.clients)
        asked = number
        while not self.stop.is_set():
            began = time.perf_counter()
            try:
                status = await asyncio.wait_for(self._get(self.paths[asked % len(self.paths)]), PATIENCE)
            except (OSError, TimeoutError, ValueError) as error:
                status = type(error).__name__
            taken = time.perf_counter() - began
            if status == "200":
                self.seconds.append(taken)
            else:
                self.errors[status] += 1
            asked += 1
            await asyncio.sleep(max(0.0, self.every - taken))

    async def _get(self, path: str) -> str:
        """The answer's status, once all of it is there."""
        place = urlsplit(self.access["url"])
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = f"GET /api/data-collection/{path} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n"
        writer.write(f"{head}Authorization: Token {self.access['token']}\r\n\r\n".encode())
        try:
            answer = await reader.read(-1)
        finally:
            writer.close()
        return answer.split(b" ", 2)[1].decode() if answer.endswith(b"}") else "cut short"


def collection(access: Access, crowd: Crowd | None) -> float:
    """Seconds that a collection of the whole simulated market took, by the database's clock."""
    task_id = call(access, "POST", "historical", MARKET)["task_id"]
    if crowd is None:
        status = ended(access, task_id)
    else:
        with crowd.watching(task_id):
            status = ended(access, task_id)
    assert status["status"] == "completed", status
    begin, end = (datetime.fromisoformat(status[key]) for key in ("start_time", "end_time"))
    return (end - begin).total_seconds()


def ended(access: Access, task_id: str) -> Any:
    """The status once it has ended; asked for rarely, so that asking costs nothing."""
    while (status := call(access, "GET", f"status/{task_id}"))["status"] == "running":
        time.sleep(2)
    return status


def compare(access: Access, crowd: Crowd, pairs: int) -> float:
    """By how much the clients slow a collection; the first one, which stores the bars, does not count."""
    collection(access, None)
    alone, watched = [], []
    for number in range(pairs):
        for crowded in (False, True) if number % 2 else (True, False):
            (watched if crowded else alone).append(collection(access, crowd if crowded else None))
        print(f"alone {alone[-1]:.1f} s, watched {watched[-1]:.1f} s", flush=True)
    return statistics.median(watched) / statistics.median(alone) - 1


def main() -> int:
    """1 when there was an error, or when the collection was slowed by more than was promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("url", nargs="?", default="", help="a database; a temporary SQLite file if none")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between a client's requests")
    parser.add_argument("--stocks", type=int, default=5400)
    parser.add_argument("--latency", default="0.02", help="of the simulated source, in seconds")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    settings = {
        "COLLECTOR_SIMULATED_STOCKS": str(options.stocks),
        "COLLECTOR_SIMULATED_LATENCY": options.latency,
    }
    with a_database(options.url) as url, quickstart(url, **settings) as access:
        crowd = Crowd(access, options.clients, options.every)
        slower = compare(access, crowd, options.pairs)
    print(f"{len(crowd.seconds)} answers: {spread(crowd.seconds)}; errors: {dict(crowd.errors) or 'none'}")
    print(f"slowed by {slower:.1%} (promised: less than {PROMISED:.0%})")
    return 1 if crowd.errors or slower >= PROMISED else 0


if __name__ == "__main__":
    sys.exit(main())
