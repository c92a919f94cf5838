"""A TCP proxy between a host and its database that can be held or cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

CHUNK = 65_536
PLACE = {"user", "host", "port", "dbname"}


class Link:
    """Forwards bytes to a PostgreSQL server and back.

    While it is held, nothing is forwarded and neither end is told, as when a cable is unplugged; what was
    sent arrives later. When it is cut, both ends are told and no connection is accepted.
    """

    def __init__(self, url: str, address: str) -> None:
        self.server = conninfo_to_dict(url)
        self.listener = socket.create_server((address, 0))
        self.open = True
        self.passing = threading.Event()
        self.passing.set()
        self.trigger = b""
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Returns the database's URL through this link, without TLS, so that `hold_after` can read it."""
        address, port = self.listener.getsockname()
        user, name = self.server.get("user", "postgres"), self.server["dbname"]
        rest = {key: value for key, value in self.server.items() if key not in PLACE}
        options = urlencode({**rest, "sslmode": "disable"}, quote_via=quote)
        return f"postgresql://{user}@{address}:{port}/{name}?{options}"

    def hold(self) -> None:
        self.passing.clear()

    def hold_after(self, words: bytes) -> None:
        """Holds the link as soon as the host has sent these words, which do arrive."""
        self.trigger = words

    @property
    def held(self) -> bool:
        return not self.passing.is_set()

    def cut(self) -> None:
        self.open = False
        for end in self.ends:
            _close(end)
        self.ends.clear()

    def mend(self) -> None:
        """Accepts connections again; what was held back arrives now."""
        self.open = True
        self.passing.set()

    def close(self) -> None:
        self.listener.close()
        self.cut()
        self.passing.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                host, _ = self.listener.accept()
                if not self.open:
                    _close(host)
                    continue
                server = self._connect()
                self.ends += [host, server]
                threading.Thread(target=self._pass_on, args=(host, server, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, host, False), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = str(self.server.get("host") or "127.0.0.1"), self.server.get("port") or 5432
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass_on(self, source: socket.socket, sink: socket.socket, from_host: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                self.passing.wait()
                sink.sendall(chunk)
                if from_host and self.trigger and self.trigger in chunk:
                    self.trigger = b""
                    self.hold()
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def linked(url: str, address: str = "127.0.0.1") -> Iterator[Link]:
    """Yields a link to the server of `url`, which listens at `address`."""
    link = Link(url, address)
    try:
        yield link
    finally:
        link.close()
