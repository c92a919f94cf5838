"""The vendor of the drill: an HTTP server that breaks and heals on demand, and records every request."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tasks_app.sources.simulated.exchange import Exchange, index_of, sessions_between, symbol_at
from tools.notice_receivers import serving

STOCKS = 480


class Answer(NamedTuple):
    """One request for a stock's bars: when it came, from which address and process, and what it got."""

    at: float
    address: str
    pid: int
    code: str
    status: int


class Vendor:
    """The state of the server. While it `is_down` each request gets status 503.

    It goes down by itself after `good_for` more answers, if that is set. An answer takes `seconds`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.is_down = False
        self.good_for: int | None = None
        self.seconds = 0.1
        self.answers: list[Answer] = []
        self._exchange = Exchange(seed=16)
        self._lock = Lock()

    def answer(self, address: str, pid: int, path: str) -> tuple[int, Any]:
        """Returns the status and the body of an answer."""
        parts = urlsplit(path)
        if parts.path == "/list":
            symbols = [symbol_at(index) for index in range(STOCKS)]
            return (
                (503, []) if self.is_down else (200, [[one.code, one.name, one.exchange] for one in symbols])
            )
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        began = time.time()
        with self._lock:
            if self.good_for is not None:
                self.good_for -= 1
                if self.good_for < 0:
                    self.is_down, self.good_for = True, None
            status = 503 if self.is_down else 200
            self.answers.append(Answer(began, address, pid, query["code"], status))
        time.sleep(self.seconds)
        return status, self._bars(query) if status == 200 else []

    def _bars(self, query: dict[str, str]) -> list[Any]:
        start, end = (date.fromisoformat(query[name]) for name in ("start", "end"))
        assert index_of(query["code"]) is not None
        bars = self._exchange.bars(query["code"], sessions_between(start, min(end, date.today())))
        return [[bar.day.isoformat(), *bar[1:]] for bar in bars]


class Requests(NamedTuple):
    """What the vendor was asked in one part of the drill."""

    answers: list[Answer]

    def answered(self) -> Counter[str]:
        """Returns how often each stock was answered."""
        return Counter(each.code for each in self.answers if each.status == 200)

    def refused(self) -> int:
        """Returns the number of refused requests."""
        return sum(each.status != 200 for each in self.answers)

    def by_address(self) -> Counter[str]:
        """Returns the number of requests from each machine."""
        return Counter(each.address for each in self.answers)

    def pids(self) -> set[int]:
        """Returns the processes that asked."""
        return {each.pid for each in self.answers}


@contextmanager
def vendor(host: str) -> Iterator[Vendor]:
    """Runs the server on a free port of this address."""
    state = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pid = int(self.headers.get("X-Process", 0))
            status, body = state.answer(self.client_address[0], pid, self.path)
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # the process that asked has ended
                pass

        def log_message(self, *args: Any) -> None:
            pass

    with serving(ThreadingHTTPServer((host, 0), Handler)) as port:
        state.url = f"http://{host}:{port}"
        yield state
