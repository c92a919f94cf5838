"""Many clients at once: asyncio on raw sockets, a new connection for each request, as a script would."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.product import Access

PATIENCE = 30.0
GOOD = {"200", "304"}


class Answer(NamedTuple):
    """All of it has come."""

    status: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, answer: bytes) -> "Answer":
        """Raises ValueError for one that was cut short."""
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        code = first.split(" ")[1] if first.startswith("HTTP/1.1 ") else "none"
        if code not in GOOD or (code == "200" and len(body) != int(headers["content-length"])):
            raise ValueError(code)
        return cls(code, headers, body)


class Crowd:
    """Clients in a thread of their own, each asking every so many seconds.

    `seconds` and `sizes` of every answer; `statuses` counts the answers, `errors` every other end.
    A kind of client says what its `request` is, and may `take` the answer.
    """

    def __init__(self, access: Access, clients: int, every: float) -> None:
        self.place = urlsplit(access["url"])
        self.clients, self.every = clients, every
        self.stop = threading.Event()
        self.forget()

    def forget(self) -> None:
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        """The path and the headers of a client's request."""
        raise NotImplementedError("each crowd asks for something else")

    def take(self, number: int, answer: Answer) -> None:
        """What a client keeps of it."""

    @contextmanager
    def asking(self) -> Iterator[None]:
        """They ask meanwhile, all of them from the first `every` seconds on."""
        self.stop.clear()
        thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()

    async def _all(self) -> None:
        await asyncio.gather(*map(self._client, range(self.clients)))

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self.every * number / self.clients)
        turn = number
        while not self.stop.is_set():
            began = time.perf_counter()
            try:
                await asyncio.wait_for(self._ask(number, turn, began), PATIENCE)
            except (OSError, TimeoutError, ValueError) as error:
                self.errors[f"{type(error).__name__} {error}".strip()] += 1
            turn += 1
            await asyncio.sleep(max(0.0, self.every - (time.perf_counter() - began)))

    async def _ask(self, number: int, turn: int, began: float) -> None:
        path, headers = self.request(number, turn)
        headers = {**headers, "Host": self.place.netloc, "Connection": "close"}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        reader, writer = await asyncio.open_connection(self.place.hostname, self.place.port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            came = await reader.read(-1)
        finally:
            writer.close()
        answer = Answer.read(came)
        self.seconds.append(time.perf_counter() - began)
        self.sizes.append(len(came))
        self.statuses[answer.status] += 1
        self.take(number, answer)
