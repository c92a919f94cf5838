"""Calls of AKShare's functions: limited in time, with their responses recorded and failures interpreted.

AKShare makes a new requests.Session per call, ignores the HTTP status, and gives some calls no timeout at
all. It accepts no session from us, so the one place to limit and record all of its calls without patching
its code is the adapter that every new Session mounts. Ours does nothing outside of `call_scope`, so other
users of requests in this process notice nothing. (A default timeout of sockets would not work: requests sets
"none" on each socket. A wrapper around Session.request would, but sees neither the calls of adapters nor
what a client makes of a response.)

Imports requests: import this module only when a request is made.
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

from tasks_app.sources.akshare.errors import interpret, json_of
from tasks_app.sources.base import SourceError, Transient

MIN_SECONDS = 0.05


@dataclass
class CallScope:
    """The requests of one thread up to a deadline on the monotonic clock, and their responses."""

    deadline: float
    responses: list[requests.Response] = field(default_factory=list)

    def seconds_left(self) -> float:
        """Returns how long a request may still take."""
        return max(self.deadline - time.monotonic(), MIN_SECONDS)

    def last_json(self) -> Any:
        """Returns the JSON of the last response; None without one or when it is not JSON."""
        return json_of(self.responses[-1]) if self.responses else None


_current_scope: ContextVar[CallScope | None] = ContextVar("akshare_call_scope", default=None)


@contextmanager
def call_scope(seconds: float) -> Iterator[CallScope]:
    """Limits all requests of this thread together to `seconds`, and records their responses.

    Within another scope it ends with that one at the latest.
    """
    outer, deadline = _current_scope.get(), time.monotonic() + seconds
    scope = CallScope(min(deadline, outer.deadline) if outer else deadline)
    token = _current_scope.set(scope)
    try:
        yield scope
    finally:
        _current_scope.reset(token)


class ScopedAdapter(HTTPAdapter):
    """The adapter of all Sessions; an ordinary one unless its thread is in a `call_scope`."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        scope = _current_scope.get()
        if scope is None:
            return super().send(request, *args, **options)
        options["timeout"] = limit_timeout(options.get("timeout"), scope.seconds_left())
        response = super().send(request, *args, **options)
        scope.responses.append(response)
        return response


sessions.HTTPAdapter = ScopedAdapter  # type: ignore[attr-defined]


def limit_timeout(timeout: Any, left: float) -> float:
    """Returns the client's own timeout, or the seconds left when it has none or a longer one."""
    return min(float(timeout), left) if isinstance(timeout, (int, float)) else left


def call(function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """Calls a function of the client. Raises `SourceError`, of which `NoData` for `data: null`."""
    scope = _current_scope.get()
    if scope is None:
        raise RuntimeError("a call outside of a scope has no timeout")
    scope.responses.clear()
    if scope.deadline <= time.monotonic():
        raise Transient("There was no time left for another request.", code="timeout")
    try:
        return function(*arguments, **options)
    except (SourceError, MemoryError):
        raise
    except Exception as error:
        raise interpret(error, scope.responses[-1] if scope.responses else None) from error
