"""Calls of AKShare's functions: bounded in time, watched, and their failures told apart.

AKShare makes a new requests.Session per call, looks at no status, and gives some calls no time-out
at all. It takes no session from us, so the one place to bound and to watch all of its calls
without touching its code is the adapter that every new Session mounts. Ours does nothing outside
of `watch`, so other users of requests in this process notice nothing. (A default time-out of
sockets would not do: requests sets "none" on each socket. A wrapper around Session.request would,
but sees neither the calls of adapters nor what a client makes of an answer.)

Imports requests: to be imported only when a request is made.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
from requests import sessions
from requests.adapters import HTTPAdapter

from tasks_app.sources.akshare.errors import NoData, meaning, payload_of
from tasks_app.sources.base import SourceError, Transient

LEAST_SECONDS = 0.05


@dataclass
class Watch:
    """One use of the vendor: it ends at `ends` (monotonic); what came back, answer by answer."""

    ends: float
    answers: list[requests.Response] = field(default_factory=list)

    def left(self) -> float:
        """Seconds that a request may still take."""
        return max(self.ends - time.monotonic(), LEAST_SECONDS)

    def payload(self) -> Any:
        """The last answer's JSON. None without an answer or when it is none."""
        return payload_of(self.answers[-1]) if self.answers else None


_watch: ContextVar[Watch | None] = ContextVar("akshare_watch", default=None)


@contextmanager
def watch(seconds: float) -> Iterator[Watch]:
    """Bound and watch what this thread requests meanwhile: all of it together takes `seconds`.

    Within another watch it ends with that one at the latest.
    """
    around, ends = _watch.get(), time.monotonic() + seconds
    watching = Watch(min(ends, around.ends) if around else ends)
    token = _watch.set(watching)
    try:
        yield watching
    finally:
        _watch.reset(token)


def seconds_left() -> float:
    """What this thread's next request may take, for calls whose adapter is not ours."""
    watching = _watch.get()
    return watching.left() if watching else LEAST_SECONDS


class WatchedAdapter(HTTPAdapter):
    """The adapter of all Sessions; plain unless its thread is in a `watch`."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        watching = _watch.get()
        if watching is None:
            return super().send(request, *args, **options)
        options["timeout"] = shortened(options.get("timeout"), watching.left())
        answer = super().send(request, *args, **options)
        watching.answers.append(answer)
        return answer


sessions.HTTPAdapter = WatchedAdapter  # type: ignore[attr-defined]


def shortened(timeout: Any, left: float) -> float:
    """The client's own time-out, or what is left when it has none or a longer one."""
    return min(float(timeout), left) if isinstance(timeout, (int, float)) else left


def call(function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """What the client's function answers. Raises `Transient`, `Permanent`, or `NoData` for `data: null`."""
    watching = _watch.get()
    if watching is None:
        raise RuntimeError("a call outside of a watch has no time-out")
    watching.answers.clear()
    if watching.ends <= time.monotonic():
        raise Transient("There was no time left for another request.", code="timeout")
    try:
        return function(*arguments, **options)
    except (SourceError, NoData):
        raise
    except Exception as error:
        raise meaning(error, watching.answers[-1] if watching.answers else None) from error
