"""What a failure of AKShare means: the vendor's refusals told apart, and changes of its interface named.

Imports requests: to be imported only when a request is made.
"""

from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import requests

from tasks_app.sources.base import Permanent, SourceError, Transient

TOO_MANY, BLOCKED = 429, {403, 418, 436, 456, 618}
THROTTLED_SECONDS, BLOCKED_SECONDS, CAPTCHA_SECONDS = 300.0, 3600.0, 1800.0
BUSY_SECONDS = 30.0
# A connection that is closed without an answer is how Eastmoney bans. People report that asking
# again soon makes it longer, and recovery after 5 hours to days.
CLOSED_SECONDS = (300.0, 3600.0, 18_000.0)
SIGNS_OF_A_CLOSED_LINE = ("RemoteDisconnected", "ConnectionResetError", "UNEXPECTED_EOF")


class NoData(Exception):
    """The vendor answered `data: null`: an unknown stock, or a throttle."""


def meaning(error: Exception, answer: requests.Response | None) -> Exception:
    """What an exception of the client means, given the last answer that came."""
    if answer is None:
        answer = getattr(error, "response", None)
    who = vendor(error, answer)
    if isinstance(error, (requests.Timeout, TimeoutError)) or "Read timed out" in str(error):
        return Transient(f"{who} did not answer in time.", code="timeout")
    if isinstance(error, requests.ConnectionError):
        return lost(error, who)
    if answer is not None and answer.status_code >= 400:
        return refused_with(answer, who)
    if is_page(answer, error):
        text = f"{who} answers with a web page instead of data, as it does to robots (a captcha)."
        return Transient(text, code="captcha", retry_after=CAPTCHA_SECONDS)
    if isinstance(error, (JSONDecodeError, requests.RequestException)):
        return Transient(f"{who}'s answer broke off.", code="source_busy", retry_after=BUSY_SECONDS)
    return misread(error, payload_of(answer), who)


def vendor(error: Exception, answer: requests.Response | None) -> str:
    """Who was asked: Eastmoney, or an exchange by its host."""
    request = getattr(answer if answer is not None else error, "request", None)
    host = urlsplit(getattr(request, "url", None) or "").hostname or ""
    return host if host and not host.endswith("eastmoney.com") else "Eastmoney"


def payload_of(answer: requests.Response | None) -> Any:
    """The answer's JSON. None without an answer or when it is none."""
    try:
        return None if answer is None else answer.json()
    except requests.JSONDecodeError:
        return None


def refused_with(answer: requests.Response, who: str) -> SourceError:
    """The meaning of an HTTP status from 400 on."""
    status, asked = answer.status_code, retry_after(answer)
    if status == TOO_MANY:
        text = f"{who} asks to slow down (HTTP 429)."
        return Transient(text, code="throttled", retry_after=asked or THROTTLED_SECONDS)
    if status in BLOCKED:
        text = f"{who} shuts us out (HTTP {status})."
        return Transient(text, code="blacklisted", retry_after=asked or BLOCKED_SECONDS)
    if status >= 500:
        text = f"{who} is out of order (HTTP {status})."
        return Transient(text, code="source_busy", retry_after=asked or BUSY_SECONDS)
    return Permanent(f"{who} refuses this request (HTTP {status}): its address may have changed.")


def retry_after(answer: requests.Response) -> float | None:
    """Seconds that the vendor asks us to wait."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def is_page(answer: requests.Response | None, error: Exception) -> bool:
    """A page for people came where data should be. Not every answer is watched: the error may have it."""
    text = getattr(error, "doc", "") if answer is None else answer.content[:200].decode("ascii", "ignore")
    return text.lstrip().startswith("<")


def lost(error: requests.ConnectionError, who: str) -> Transient:
    """A connection that was closed without an answer is told from one that never was."""
    if any(sign in repr(error) for sign in SIGNS_OF_A_CLOSED_LINE):
        text = f"{who} closed the connection without an answer, which is how it bans."
        return Transient(text, code="blacklisted", retry_after=CLOSED_SECONDS[0])
    return Transient(f"{who} is out of reach: {type(error).__name__}.", retry_after=BUSY_SECONDS)


def closed_seconds(times: int) -> float:
    """The pause after so many refusals of this kind in a row, from 1."""
    return CLOSED_SECONDS[min(times, len(CLOSED_SECONDS)) - 1]


def misread(error: Exception, payload: Any, who: str) -> Exception:
    """The client stumbled over an answer that it does not understand."""
    if isinstance(payload, dict) and payload.get("data", ...) is None:
        return NoData()
    if isinstance(error, ValueError) and "Length mismatch" in str(error):
        return changed(f"it sends another number of fields than AKShare knows ({fields_of(payload)})", who)
    if isinstance(error, KeyError):
        return changed(f"{error} is missing from its answer", who)
    return Permanent(f"AKShare failed with {type(error).__name__}: {error}", code="source_raised")


def changed(how: str, who: str = "Eastmoney") -> Permanent:
    """An interface is not what it was."""
    text = f"{who}'s interface has changed: {how}. A newer release of AKShare may know it."
    return Permanent(text, code="columns_changed")


def fields_of(payload: Any) -> str:
    """A line of quotes as it came, to see what is in it."""
    lines = ((payload or {}).get("data") or {}).get("klines") if isinstance(payload, dict) else None
    return f"{len(lines[0].split(','))} instead of 11: {lines[0]}" if lines else "unknown"
