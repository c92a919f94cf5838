"""What vendors' clients return, recorded before any parsing, and given back in a replay.

Every request of a source passes `exchange`, or the HTTP clients' sessions (`http_calls`,
`yfinance.client`), which pass here as well. While a call is recorded, each response is kept as the bytes
that came, compressed. In a replay the same code of the source gets these bytes, and nobody is asked: a
request that was not recorded raises `NotRecorded`, and a socket that a client in Python opens all the same
fails.

No secret is kept: headers are left out but for the type of the content, the sources' own secrets are masked
wherever they stand, and so are parameters with such names.
"""

import hashlib
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from tasks_app.source_settings import MASK, mask
from tasks_app.sources.base import Permanent

MAX_BYTES = 64_000_000  # of a call's responses, before compression; a longer call is not recorded
MAX_ASKED = 4000  # characters
LEVEL = 6
SECRET_NAME = re.compile(r"token|crumb|cookie|secret|passw|api_?key|^key$|^sign$", re.IGNORECASE)
# Parameters that clients fill with the time or a random number, and that change no answer.
CHANGING = {"_", "r", "rn", "cb", "callback"}


class NotRecorded(Permanent):
    """A replay needs a response that was not recorded."""

    code = "not_recorded"


class Exchange(NamedTuple):
    """A request and its response. `asked` is the request as text; `content` the body, compressed.

    `about` is what the body alone does not say: its `content_type`, and the HTTP `status`.
    """

    asked: str
    about: dict[str, Any]
    content: bytes
    sha256: str  # of the body
    size: int  # of the body

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.content)


class Recording:
    """The exchanges of one call of a source, in their order. `is_whole`: none was left out."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.is_whole = True
        self._size = 0

    def add(self, exchange: Exchange) -> None:
        """Adds an exchange, unless the call's responses are larger than `MAX_BYTES`: then none is kept."""
        self._size += exchange.size
        self.is_whole = self.is_whole and self._size <= MAX_BYTES
        self.exchanges = [*self.exchanges, exchange] if self.is_whole else []


class Replay:
    """The recorded exchanges of one call, and the moment at which it was made."""

    def __init__(self, exchanges: Sequence[Exchange], moment: datetime) -> None:
        self._left, self.moment = list(exchanges), moment

    def take(self, asked: str) -> Exchange:
        """Returns the first response to this request that was not taken yet. Raises `NotRecorded`."""
        wanted = _comparable(asked)
        for place, exchange in enumerate(self._left):
            if _comparable(exchange.asked) == wanted:
                return self._left.pop(place)
        raise NotRecorded(f"The answers of this call hold no response to {asked.partition(chr(10))[0][:200]}")


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)
_replay: ContextVar[Replay | None] = ContextVar("replay", default=None)
_replays = 0  # in progress in this process
_is_guarded = False


@contextmanager
def recording(into: Recording) -> Iterator[None]:
    """Records the exchanges of this thread."""
    if "requests" in sys.modules:  # whose sessions record only once this module is imported
        from tasks_app.sources import http_calls  # noqa: F401
    token = _recording.set(into)
    try:
        yield
    finally:
        _recording.reset(token)


@contextmanager
def replaying(exchanges: Sequence[Exchange], moment: datetime) -> Iterator[None]:
    """Answers this thread's requests from the exchanges, at the time of `moment`.

    Meanwhile no thread of this process can open a socket in Python.
    """
    global _replays
    _guard_sockets()
    token = _replay.set(Replay(exchanges, moment))
    _replays += 1
    try:
        yield
    finally:
        _replays -= 1
        _replay.reset(token)


def is_recording() -> bool:
    return _recording.get() is not None


def is_active() -> bool:
    """Whether this thread's call is recorded or replayed."""
    return _recording.get() is not None or _replay.get() is not None


def replay_moment() -> datetime | None:
    """Returns the time of the call that is replayed; None outside of a replay."""
    replay = _replay.get()
    return replay.moment if replay else None


def exchange(asked: Any, ask: Callable[[], bytes], content_type: str = "") -> bytes:
    """Returns what the vendor sent: what `ask` returns, or in a replay the recorded bytes.

    `asked` says what is asked, as text or as values that JSON can hold: a replay finds the response by it.
    Raises what `ask` raises, and in a replay `NotRecorded`.
    """
    text = asked if isinstance(asked, str) else json.dumps(asked, sort_keys=True, ensure_ascii=False)
    if recorded := replayed(text):
        return recorded.body
    body = ask()
    record(text, body, {"content_type": content_type})
    return body


def replayed(asked: str) -> Exchange | None:
    """Returns the recorded response to a request; None outside of a replay. Raises `NotRecorded`."""
    replay = _replay.get()
    return replay.take(_masked(asked)) if replay else None


def record(asked: str, body: bytes, about: dict[str, Any]) -> None:
    """Keeps a response if this thread's call is recorded."""
    if (into := _recording.get()) is None or not into.is_whole:
        return
    kept = _without_secrets(body)
    about = {name: mask(value) if isinstance(value, str) else value for name, value in about.items()}
    digest = hashlib.sha256(kept).hexdigest()
    content = zlib.compress(kept, LEVEL)
    into.add(Exchange(_masked(asked)[:MAX_ASKED], about, content, digest, len(kept)))


def keep(exchanges: Sequence[Exchange]) -> None:
    """Keeps what another process has recorded for this thread's call."""
    if into := _recording.get():
        for one in exchanges:
            into.add(one)


def describe_http(method: str, url: str, body: Any = None) -> str:
    """Returns an HTTP request as text: the method and address, and the body on lines of its own."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    return f"{method} {url}" + (f"\n{body}" if body else "")


def _masked(asked: str) -> str:
    """Returns a request without the values of parameters named like secrets, and without known secrets.

    In this order: a known secret may be a part of the address, which could not be read without it.
    """
    return mask(_without_named_secrets(asked))


def _without_named_secrets(asked: str) -> str:
    first, separator, body = asked.partition("\n")
    method, _, url = first.partition(" ")
    if "://" in url:
        address = urlsplit(url)
        query = _masked_form(address.query)
        first = f"{method} {address._replace(netloc=address.netloc.rpartition('@')[2], query=query).geturl()}"
        body = _masked_form(body) if "=" in body and body[0] not in "{[" else body
    try:
        values = json.loads(body or first)
    except ValueError:
        return first + separator + body
    if not isinstance(values, dict):
        return first + separator + body
    hidden = {k: MASK if SECRET_NAME.search(k) and v else v for k, v in values.items()}
    text = json.dumps(hidden, sort_keys=True, ensure_ascii=False)
    return first + separator + text if body else text


def _masked_form(text: str) -> str:
    """Returns `name=value&…`, secret values masked, and the others as they are."""
    pairs = [part.partition("=") for part in text.split("&")]
    return "&".join(f"{k}={MASK}" if SECRET_NAME.search(k) and v else k + s + v for k, s, v in pairs)


def _comparable(asked: str) -> str:
    """Returns a request without what changes no answer."""
    first, separator, body = asked[:MAX_ASKED].partition("\n")
    method, _, url = first.partition(" ")
    if "?" in url:
        address = urlsplit(url)
        pairs = [(k, v) for k, v in parse_qsl(address.query, True) if k not in CHANGING]
        pairs = [pair for pair in pairs if not SECRET_NAME.search(pair[0])]
        first = f"{method} {address._replace(query=urlencode(sorted(pairs))).geturl()}"
    return first + separator + body


def _without_secrets(body: bytes) -> bytes:
    """Returns the body; a secret of a source that a vendor repeats in it is masked."""
    text = body.decode("latin-1")  # any bytes are such a text
    masked = mask(text)
    return body if masked == text else masked.encode("latin-1")


def _guard_sockets() -> None:
    """Makes sockets fail to connect while a replay is in progress. An audit hook can't be removed."""
    global _is_guarded
    if not _is_guarded:
        _is_guarded = True
        sys.addaudithook(_refuse_connections)


def _refuse_connections(event: str, arguments: tuple[Any, ...]) -> None:
    if _replays and event == "socket.connect":
        raise NotRecorded(f"A replay asks nobody, and a client wanted to connect to {arguments[-1]!r}.")


def http_response(recorded: Exchange) -> Any:
    """Returns the recorded response as one of `requests`."""
    import requests

    response = requests.Response()
    response.status_code = int(recorded.about.get("status", 200))
    if content_type := recorded.about.get("content_type"):
        response.headers["Content-Type"] = content_type
    if location := recorded.about.get("location"):
        response.headers["Location"] = location
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response._content, response._content_consumed = recorded.body, True
    return cast(Any, response)
