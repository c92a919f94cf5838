"""Tushare's own client: its pages, and its errors by the vendor's codes."""

from typing import Any

from tasks_app.sources.base import Permanent, SourceError, SourceRefusal, Transient, take_permit
from tasks_app.sources.tushare.rows import LISTING, SUSPENSION, Row, is_suspended
from tasks_app.sources.tushare.vendor_client import Table, load_client

WRONG_TOKEN, BAD_PARAMETERS = 40101, -2001
# For a lack of points and for too many requests alike. The vendor has no code to tell them apart and no field
# for the window: its message alone names it, in Chinese whatever the client asks for.
NOT_ALLOWED = (40203, 2002, -2002)
WINDOWS = {"分钟": 60.0, "小时": 3600.0, "天": 3600.0}  # asked again after so many seconds


class TushareClient:
    """Queries interfaces with a token. Any number of threads may use it."""

    def __init__(self, token: str, timeout: float) -> None:
        """`timeout` is in seconds, for all pages of a query together."""
        self._token, self._timeout = token, timeout
        self._has_suspensions = True

    def listings(self, **which: str) -> list[Row]:
        """Returns the stocks that are, were, or will be listed. Raises `SourceError`."""
        return self.query("stock_basic", LISTING, list_status="L,D,P", **which)

    def suspensions(self, **which: str) -> list[Row]:
        """Returns suspensions of whole days; none to an account that has too few points for them.

        It is a further request of a call, so it takes a permit. Raises `SourceError`.
        """
        if not self._has_suspensions:
            return []
        take_permit()
        try:
            return list(filter(is_suspended, self.query("suspend_d", SUSPENSION, suspend_type="S", **which)))
        except SourceRefusal:
            self._has_suspensions = False
            return []

    def query(self, interface: str, fields: str, **parameters: str) -> list[Row]:
        """Returns all rows of an interface. Raises `SourceError`."""
        from tasks_app.sources.http_calls import call_scope

        rows: list[Row] = []
        api = load_client()(self._token, self._timeout)
        with call_scope(self._timeout) as scope:
            while True:
                page = {"offset": str(len(rows))} if rows else {}
                try:
                    table: Table = api.query(interface, fields, **parameters, **page)
                    answer = scope.last_json()["data"]  # the client hides whether there is more
                except SourceError:  # no permit for the next page
                    raise
                except Exception as error:
                    raise _interpret(error, scope.responses[-1] if scope.responses else None) from error
                if missing := sorted(set(fields.split(",")) - set(table.columns)):
                    text = f"Tushare's {interface} lacks the columns {', '.join(missing)}."
                    raise Permanent(text, code="columns_changed")
                rows += table.records
                if not table.records or not answer.get("has_more"):
                    return rows


def _interpret(error: Exception, response: Any) -> SourceError:
    """Returns what an exception means: the client raises the message alone, and returns HTTP errors empty."""
    from tasks_app.sources.http_calls import json_of, transport_error

    payload = json_of(response)
    if isinstance(payload, dict) and payload.get("code"):
        return vendor_error(payload["code"], str(payload.get("msg")))
    text = f"Tushare's client failed with {type(error).__name__}: {error}"
    return transport_error(error, response, "Tushare") or Permanent(text, code="source_raised")


def vendor_error(code: int, message: str) -> SourceError:
    """Returns the vendor's error as one of ours."""
    text = f"Tushare says: {message} ({code})"
    if code == WRONG_TOKEN:
        return SourceRefusal(text, code="login_refused")
    if code in NOT_ALLOWED:
        for window, seconds in WINDOWS.items():
            if window in message:
                return Transient(text, code="throttled", retry_after=seconds)
        return SourceRefusal(text, code="no_permission")
    return Permanent(text) if code == BAD_PARAMETERS else Transient(text)
