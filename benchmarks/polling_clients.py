"""Many concurrent HTTP clients: asyncio on raw sockets, a new connection per request, as scripts do."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.harness import Access

TIMEOUT = 30.0
EXPECTED_STATUSES = {"200", "304"}


class Response(NamedTuple):
    """A complete HTTP response."""

    status: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Response":
        """Raises ValueError for a truncated response or an unexpected status."""
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        code = first.split(" ")[1] if first.startswith("HTTP/1.1 ") else "none"
        if code not in EXPECTED_STATUSES or (code == "200" and len(body) != int(headers["content-length"])):
            raise ValueError(code)
        return cls(code, headers, body)


class PollingClients(ABC):
    """Clients in a separate thread, each sending a request every `every` seconds.

    `seconds` and `sizes` hold one value per response; `statuses` counts responses, `errors` everything else.
    A subclass defines `request` and may override `handle`.
    """

    def __init__(self, access: Access, clients: int, every: float) -> None:
        self.address = urlsplit(access["url"])
        self.clients, self.every = clients, every
        self.stop = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    @abstractmethod
    def request(self, number: int, turn: int) -> tuple[str, dict[str, str]]:
        """Returns the path and the headers of a client's next request."""

    def handle(self, number: int, response: Response) -> None:  # noqa: B027 - not every kind looks at them
        """Receives each response."""

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Polls while the block runs; after the first `every` seconds all clients take part."""
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
                await asyncio.wait_for(self._send(number, turn, began), TIMEOUT)
            except (OSError, TimeoutError, ValueError) as error:
                self.errors[f"{type(error).__name__} {error}".strip()] += 1
            turn += 1
            await asyncio.sleep(max(0.0, self.every - (time.perf_counter() - began)))

    async def _send(self, number: int, turn: int, began: float) -> None:
        path, headers = self.request(number, turn)
        headers = {**headers, "Host": self.address.netloc, "Connection": "close"}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        reader, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            raw = await reader.read(-1)
        finally:
            writer.close()
        response = Response.parse(raw)
        self.seconds.append(time.perf_counter() - began)
        self.sizes.append(len(raw))
        self.statuses[response.status] += 1
        self.handle(number, response)
