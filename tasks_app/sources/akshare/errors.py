"""Maps AKShare's failures to source errors: the vendor's refusals, and changes of its interface.

Imports requests: import this module only when a request is made.
"""

from typing import Any

import requests

from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Permanent
from tasks_app.sources.http_calls import BAN_SECONDS, host_of, json_of, transport_error

# Eastmoney bans by closing connections without a response. Users report that requests during a ban make it
# longer, and that recovery takes 5 hours to days.
PAUSES = (BAN_SECONDS, 3600.0, 18_000.0)


def interpret(error: Exception, response: requests.Response | None) -> Exception:
    """Returns what an exception of the client means, given the last response if there was one."""
    if response is None:
        response = getattr(error, "response", None)
    host = host_of(error, response)
    vendor = host if host and not host.endswith("eastmoney.com") else "Eastmoney"
    return transport_error(error, response, vendor) or _parse_error(error, json_of(response), vendor)


def ban_seconds(closed_in_a_row: int) -> float:
    """Returns the pause after so many closed connections in a row, counted from 1."""
    return PAUSES[min(closed_in_a_row, len(PAUSES)) - 1]


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
