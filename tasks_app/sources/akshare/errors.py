"""Maps AKShare's failures to source errors: the vendor's refusals, and changes of its interface.

Imports requests: import this module only when a request is made.
"""

from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import requests

from tasks_app.sources.akshare.throttle_probe import THROTTLED_SECONDS, NoData
from tasks_app.sources.base import Permanent, SourceError, Transient

TOO_MANY, BLOCKED = 429, {403, 418, 436, 456, 618}
BLOCKED_SECONDS, CAPTCHA_SECONDS, BUSY_SECONDS = 3600.0, 1800.0, 30.0
# Eastmoney bans by closing connections without a response. Users report that requests during a ban make it
# longer, and that recovery takes 5 hours to days.
BAN_SECONDS = (300.0, 3600.0, 18_000.0)
SIGNS_OF_A_CLOSED_CONNECTION = ("RemoteDisconnected", "ConnectionResetError", "UNEXPECTED_EOF")


def interpret(error: Exception, response: requests.Response | None) -> Exception:
    """Returns what an exception of the client means, given the last response if there was one."""
    if response is None:
        response = getattr(error, "response", None)
    vendor = _vendor_name(error, response)
    if isinstance(error, (requests.Timeout, TimeoutError)) or "Read timed out" in str(error):
        return Transient(f"{vendor} did not respond in time.", code="timeout")
    if isinstance(error, requests.ConnectionError):
        return _connection_error(error, vendor)
    if response is not None and response.status_code >= 400:
        return _http_error(response, vendor)
    # Not every response is recorded; then the error itself may hold the text.
    body = getattr(error, "doc", "") if response is None else response.content[:200].decode("ascii", "ignore")
    if body.lstrip().startswith("<"):
        text = f"{vendor} sent a web page instead of data: a captcha, as for automated requests."
        return Transient(text, code="captcha", retry_after=CAPTCHA_SECONDS)
    if isinstance(error, (JSONDecodeError, requests.RequestException)):
        return Transient(f"{vendor}'s response broke off.", code="source_busy", retry_after=BUSY_SECONDS)
    return _parse_error(error, json_of(response), vendor)


def _vendor_name(error: Exception, response: requests.Response | None) -> str:
    """Returns Eastmoney, or the host of an exchange."""
    request = getattr(response if response is not None else error, "request", None)
    host = urlsplit(getattr(request, "url", None) or "").hostname or ""
    return host if host and not host.endswith("eastmoney.com") else "Eastmoney"


def json_of(response: requests.Response | None) -> Any:
    """Returns the response's JSON; None without a response or when it is not JSON."""
    try:
        return None if response is None else response.json()
    except requests.JSONDecodeError:
        return None


def _connection_error(error: requests.ConnectionError, vendor: str) -> Transient:
    """Distinguishes a connection closed without a response from one that was never made."""
    if any(sign in repr(error) for sign in SIGNS_OF_A_CLOSED_CONNECTION):
        text = f"{vendor} closed the connection without a response, which is how it bans."
        return Transient(text, code="blacklisted", retry_after=BAN_SECONDS[0])
    return Transient(f"{vendor} is out of reach: {type(error).__name__}.", retry_after=BUSY_SECONDS)


def _http_error(response: requests.Response, vendor: str) -> SourceError:
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


def ban_seconds(closed_in_a_row: int) -> float:
    """Returns the pause after so many closed connections in a row, counted from 1."""
    return BAN_SECONDS[min(closed_in_a_row, len(BAN_SECONDS)) - 1]


def _parse_error(error: Exception, payload: Any, vendor: str) -> Exception:
    """Returns the meaning of an exception of the client on a response that it does not understand."""
    if isinstance(payload, dict) and payload.get("data", ...) is None:
        return NoData()
    if isinstance(error, ValueError) and "Length mismatch" in str(error):
        data = payload.get("data") if isinstance(payload, dict) else None
        lines = (data or {}).get("klines")
        fields = f"{len(lines[0].split(','))} instead of 11: {lines[0]}" if lines else "unknown"
        return interface_changed(f"it sends another number of fields than AKShare knows ({fields})", vendor)
    if isinstance(error, KeyError):
        return interface_changed(f"{error} is missing from its response", vendor)
    return Permanent(f"AKShare failed with {type(error).__name__}: {error}", code="source_raised")


def interface_changed(change: str, vendor: str = "Eastmoney") -> Permanent:
    """Returns the error for an interface that has changed."""
    text = f"{vendor}'s interface has changed: {change}. A newer release of AKShare may know it."
    return Permanent(text, code="columns_changed")
