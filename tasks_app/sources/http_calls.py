"""HTTP requests of vendors' clients: limited in time, responses recorded, failures interpreted.

Clients such as AKShare and Tushare make a new requests.Session per call, ignore the HTTP status, and give
some calls no timeout at all. They accept no session from us, so the one place to limit and record all of
their calls without patching their code is the adapter that every new Session mounts. Ours does nothing
outside of `call_scope`, so other users of requests in this process notice nothing. (A default timeout of
sockets would not work: requests sets "none" on each socket. A wrapper around Session.request would, but
sees neither the calls of adapters nor what a client makes of a response.)

Imports requests: import this module only when a request is made.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import sessions
from requests.adapters import HTTPAdapter

from tasks_app.sources import raw_answers
from tasks_app.sources.base import Permanent, SourceError, Transient, unreachable
from tasks_app.sources.permits import use_permit

MIN_SECONDS = 0.05
TOO_MANY, BLOCKED = 429, {403, 418, 436, 456, 618}
THROTTLED_SECONDS, BLOCKED_SECONDS, CAPTCHA_SECONDS, BUSY_SECONDS = 300.0, 3600.0, 1800.0, 30.0
BAN_SECONDS = 300.0  # the first pause after a connection closed without a response
SIGNS_OF_A_CLOSED_CONNECTION = ("RemoteDisconnected", "ConnectionResetError", "UNEXPECTED_EOF")


@dataclass
class CallScope:
    """The requests of one thread up to a deadline on the monotonic clock, and their responses.

    Requests to the domain get its headers, too, and no others do: they may be secret.
    """

    deadline: float
    domain: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    responses: list[requests.Response] = field(default_factory=list)
    waited: float = 0.0  # seconds, for permits

    def seconds_left(self) -> float:
        """Returns how long a request may still take."""
        return max(self.deadline - time.monotonic(), MIN_SECONDS)

    def begin_request(self, timeout: Any) -> float:
        """Takes a permit unless the call has one. Waiting costs no time.

        Returns the timeout of the request, given the client's.
        """
        began = time.monotonic()
        use_permit()
        self.waited += time.monotonic() - began
        self.deadline += time.monotonic() - began
        return limit_timeout(timeout, self.seconds_left())

    def add_headers(self, request: requests.PreparedRequest) -> None:
        """Adds the domain's headers to a request to it, in place of the client's own."""
        address = urlsplit(request.url or "")
        if address.scheme == "https" and f".{address.hostname}".endswith(f".{self.domain}"):
            request.headers.update(self.headers)

    def last_json(self) -> Any:
        """Returns the JSON of the last response; None without one or when it is not JSON."""
        return json_of(self.responses[-1]) if self.responses else None


# Any client's responses of this form can be recorded: those of requests, and of curl_cffi.
_current_scope: ContextVar[CallScope | None] = ContextVar("http_call_scope", default=None)


@contextmanager
def call_scope(
    seconds: float, domain: str = "", headers: Mapping[str, str] | None = None
) -> Iterator[CallScope]:
    """Limits all requests of this thread together to `seconds`, and records their responses.

    Each request takes a permit of the source's limits, unless the call has one. Requests to the domain have
    the headers. Within another scope it ends with that one at the latest.
    """
    outer, deadline = _current_scope.get(), time.monotonic() + seconds
    scope = CallScope(deadline, domain, headers or {})
    if outer:
        scope.deadline = min(deadline, outer.deadline)
    token = _current_scope.set(scope)
    try:
        yield scope
    finally:
        _current_scope.reset(token)


def current_scope() -> CallScope:
    """Returns this thread's scope, ready for a call. Raises `Transient` if its time is over."""
    scope = _current_scope.get()
    if scope is None:
        raise RuntimeError("a call outside of a scope has no timeout")
    scope.responses.clear()
    if scope.deadline <= time.monotonic():
        raise Transient("There was no time left for another request.", code="timeout")
    return scope


def scope_of_thread() -> CallScope | None:
    """Returns the scope of this thread's call; None outside of any."""
    return _current_scope.get()


class ScopedAdapter(HTTPAdapter):
    """The adapter of all Sessions: an ordinary one, unless its thread is in a `call_scope`, or its call is
    recorded or replayed.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        scope = scope_of_thread()
        asked = raw_answers.describe_http(request.method or "", request.url or "", request.body)
        if recorded := raw_answers.replayed(asked):
            response: requests.Response = raw_answers.http_response(recorded)
            response.request, response.url = request, request.url or ""
        else:
            if scope:
                options["timeout"] = scope.begin_request(options.get("timeout"))
                scope.add_headers(request)
            response = super().send(request, *args, **options)
            if raw_answers.is_recording():
                headers = {"content_type": "Content-Type", "location": "Location"}
                about: dict[str, Any] = {key: response.headers.get(name, "") for key, name in headers.items()}
                about["status"] = response.status_code
                raw_answers.record(asked, response.content, about)
        if scope:
            scope.responses.append(response)
        return response


sessions.HTTPAdapter = ScopedAdapter  # type: ignore[attr-defined]


def limit_timeout(timeout: Any, left: float) -> float:
    """Returns the client's own timeout, or the seconds left when it has none or a longer one."""
    return min(float(timeout), left) if isinstance(timeout, (int, float)) else left


def json_of(response: requests.Response | None) -> Any:
    """Returns the response's JSON; None without a response or when it is not JSON."""
    try:
        return None if response is None else response.json()
    except ValueError:
        return None


def transport_error(error: Exception, response: requests.Response | None, vendor: str) -> SourceError | None:
    """Returns what an exception or status means if no response with data came; None if one did."""
    if isinstance(error, (requests.Timeout, TimeoutError)) or "Read timed out" in str(error):
        return _timeout(error, vendor)
    if isinstance(error, requests.ConnectionError):
        return _connection_error(error, vendor)
    if response is not None and response.status_code >= 400:
        return http_error(response, vendor)
    # Not every response is recorded; then the error itself may hold the text.
    body = getattr(error, "doc", "") if response is None else response.content[:200].decode("ascii", "ignore")
    if body.lstrip().startswith("<"):
        text = f"{vendor} sent a web page instead of data: a captcha, as for automated requests."
        return Transient(text, code="captcha", retry_after=CAPTCHA_SECONDS)
    if isinstance(error, (JSONDecodeError, requests.RequestException)):
        return Transient(f"{vendor}'s response broke off.", code="source_busy", retry_after=BUSY_SECONDS)
    return None


def host_of(error: Exception, response: requests.Response | None) -> str:
    """Returns the host that a request went to; "" if it is not known."""
    request = getattr(response if response is not None else error, "request", None)
    return urlsplit(getattr(request, "url", None) or "").hostname or ""


def _timeout(error: Exception, vendor: str) -> Transient:
    if isinstance(error, requests.ConnectTimeout):
        return unreachable(vendor, "ConnectTimeout", code="timeout")
    return Transient(f"{vendor} did not respond in time.", code="timeout")


def _connection_error(error: requests.ConnectionError, vendor: str) -> Transient:
    """Distinguishes a connection closed without a response from one that was never made."""
    if any(sign in repr(error) for sign in SIGNS_OF_A_CLOSED_CONNECTION):
        text = f"{vendor} closed the connection without a response, which is how it bans."
        return Transient(text, code="blacklisted", retry_after=BAN_SECONDS)
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return unreachable(vendor, type(reason).__name__, retry_after=BUSY_SECONDS)


def http_error(response: requests.Response, vendor: str) -> SourceError:
    """Returns the meaning of an HTTP status from 400 on."""
    status, header = response.status_code, response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isascii() and header.isdigit() else None
    if status == TOO_MANY:
        text = f"{vendor} asks to slow down (HTTP 429)."
        return Transient(text, code="throttled", retry_after=retry_after or THROTTLED_SECONDS)
    if status in BLOCKED:
        text = f"{vendor} blocks this address (HTTP {status})."
        return Transient(text, code="blacklisted", retry_after=retry_after or BLOCKED_SECONDS)
    if status >= 500:
        text = f"{vendor} is out of order (HTTP {status})."
        return Transient(text, code="source_busy", retry_after=retry_after or BUSY_SECONDS)
    return Permanent(f"{vendor} refuses this request (HTTP {status}): its URL may have changed.")
