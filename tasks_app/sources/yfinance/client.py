"""Yahoo Finance through yfinance's own classes, on a session that counts and records its requests.

Not through `yfinance.download`: it makes one request per stock all the same, and turns every failure, even a
refusal for too many requests, into an empty table. Nor through `Ticker`, which asks for each stock's time
zone first, and keeps it in a file.

Imports yfinance: import this module only when a request is made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from json import dumps
from typing import Any
from urllib.parse import urlencode, urlsplit

import curl_cffi
from curl_cffi.const import CurlECode
from curl_cffi.requests.exceptions import HTTPError, Timeout
from yfinance import EquityQuery, config, screen
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFPricesMissingError
from yfinance.scrapers.history import PriceHistory

from tasks_app.sources import raw_answers
from tasks_app.sources.base import Permanent, SourceError, Transient, UnknownStock, unreachable
from tasks_app.sources.http_calls import (
    BAN_SECONDS,
    BUSY_SECONDS,
    CallScope,
    call_scope,
    http_error,
    json_of,
    scope_of_thread,
    transport_error,
)

config.debug.hide_exceptions = False  # or a failure would be an empty table

PAGE = 250
CLOSED = (CurlECode.GOT_NOTHING, CurlECode.RECV_ERROR)
NOT_CONNECTED = (
    CurlECode.COULDNT_RESOLVE_PROXY,
    CurlECode.COULDNT_RESOLVE_HOST,
    CurlECode.COULDNT_CONNECT,
)
NO_DAYS = "Data doesn't exist for startDate"


class NoDays(Exception):
    """Yahoo has none of the requested days of a stock that it knows."""


class ScopedSession(curl_cffi.requests.Session[Any]):
    """A session that looks like a browser, as yfinance's own, within the limits of the thread's call."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        if not (scope := scope_of_thread()):
            raise RuntimeError("a request outside of a scope has no timeout")
        response = self._replayed(*arguments, **options)
        if response is None:
            options["timeout"] = scope.begin_request(options.get("timeout"))
            response = super().request(*arguments, **options)
            content_type = response.headers.get("Content-Type", "")
            about = {"status": response.status_code, "content_type": content_type}
            if not is_of_session(response.url):
                raw_answers.record(_describe(*arguments, **options), response.content, about)
        scope.responses.append(response)
        _raise_for_status(response)
        return response

    def _replayed(self, *arguments: Any, **options: Any) -> Any:
        """Returns the recorded response; None outside of a replay. One of cookies and crumbs is made up."""
        if raw_answers.replay_moment() is None:
            return None
        asked = _describe(*arguments, **options)
        response = curl_cffi.requests.Response()
        response.url = asked.partition(" ")[2].partition("\n")[0]
        if is_of_session(response.url):
            response.content = b"replay"
        elif recorded := raw_answers.replayed(asked):
            response.content, response.status_code = recorded.body, int(recorded.about["status"])
            response.ok = response.status_code < 400
        return response


def is_of_session(url: str) -> bool:
    """Whether a request is for cookies and crumbs: such an answer is never recorded."""
    return "/finance/" not in urlsplit(url).path


def _describe(method: str, url: str, *_: Any, params: Any = None, json: Any = None, **__: Any) -> str:
    """Returns a request as text, with its parameters in the address."""
    query = urlencode([(name, str(value)) for name, value in dict(params or {}).items()])
    return raw_answers.describe_http(method, f"{url}?{query}" if query else url, json and dumps(json))


class UncachedData(YfData):  # type: ignore[misc]
    """yfinance's requests, which would keep the last 64 responses in memory and answer from them."""

    cache_get = YfData.get


class YahooClient:
    """Charts and stock lists. Any number of threads may use it."""

    def __init__(self, timeout: float) -> None:
        """`timeout` is in seconds, for all requests of a call together."""
        self._timeout = timeout
        self._session = ScopedSession(impersonate="chrome")

    def chart(self, symbol: str, zone: str, first: date, end: date) -> tuple[Any, dict[str, Any]]:
        """Returns the table of days from `first` on, before `end`, and the vendor's chart.

        The table is None if the stock has none of these days. Raises `SourceError`.
        """
        history = PriceHistory(UncachedData(session=self._session), symbol, zone, session=self._session)
        with self._errors() as scope:
            try:
                table = history.history(start=first, end=end, auto_adjust=False, actions=False)
                return table, _chart_of(scope)
            except NoDays:
                return None, {}
            except YFPricesMissingError:
                if chart := _chart_of(scope):
                    return None, chart
                raise

    def listed(self, region: str, exchanges: tuple[str, ...]) -> list[dict[str, Any]]:
        """Returns the stocks of a region's exchanges, from the vendor's screener. Raises `SourceError`."""
        query = EquityQuery(
            "and", [EquityQuery("eq", ["region", region]), EquityQuery("is-in", ["exchange", *exchanges])]
        )
        UncachedData(session=self._session)
        stocks: dict[str, dict[str, Any]] = {}
        with self._errors():
            while True:
                known = len(stocks)
                page = screen(query, offset=known, size=PAGE, sortAsc=True, session=self._session)
                stocks |= {row["symbol"]: row for row in page["quotes"]}
                if len(stocks) >= page["total"]:
                    return list(stocks.values())
                if len(stocks) == known:
                    text = f"Yahoo's list broke off: {len(stocks)} of {page['total']} stocks."
                    raise Transient(text, code="list_cut_short", retry_after=60.0)

    @contextmanager
    def _errors(self) -> Iterator[CallScope]:
        """Limits the requests within, and raises what goes wrong as `SourceError`."""
        with call_scope(self._timeout) as scope:
            try:
                yield scope
            except (SourceError, NoDays):
                raise
            except Exception as error:
                response = scope.responses[-1] if scope.responses else None
                raise _interpret(error, response) from error


def _raise_for_status(response: Any) -> None:
    """Raises what a refused request for data means, before the client asks again with other cookies.

    That helps only with a crumb that is no longer valid (401), and would be five more requests.
    """
    path = urlsplit(response.url).path
    if response.status_code < 400 or response.status_code == 401 or "/finance/" not in path:
        return
    if "/chart/" in path and response.status_code == 404:
        raise UnknownStock(f"Yahoo knows no stock {path.rpartition('/')[2]}.")
    if "/chart/" in path and NO_DAYS in response.text:
        raise NoDays
    raise http_error(response, "Yahoo")


def _chart_of(scope: CallScope) -> dict[str, Any]:
    """Returns the chart of the last response; an empty one without any."""
    chart = (scope.last_json() or {}).get("chart") or {}
    results: list[dict[str, Any]] = chart.get("result") or [{}]
    return results[0]


def _connection_error(error: curl_cffi.CurlError) -> Transient:
    """Distinguishes a connection that was not made from a response that broke off."""
    name = type(error).__name__
    if error.code in NOT_CONNECTED:
        return unreachable("Yahoo", name, retry_after=BUSY_SECONDS)
    return Transient(f"Yahoo's response broke off: {name}.", retry_after=BUSY_SECONDS)


def _interpret(error: Exception, response: Any) -> SourceError:
    """Returns what an exception of the client means, given the last response."""
    if isinstance(error, Timeout):
        return Transient("Yahoo did not respond in time.", code="timeout")
    if isinstance(error, curl_cffi.CurlError) and error.code in CLOSED:
        text = "Yahoo closed the connection without a response, which is how it bans."
        return Transient(text, code="blacklisted", retry_after=BAN_SECONDS)
    if isinstance(error, curl_cffi.CurlError) and not isinstance(error, HTTPError):
        return _connection_error(error)
    if json_of(response) is None and (found := transport_error(error, response, "Yahoo")):
        return found
    if isinstance(error, YFException):
        return Transient(f"Yahoo sent no data: {error}", code="source_busy", retry_after=BUSY_SECONDS)
    text = f"yfinance failed with {type(error).__name__}: {error}"
    return Permanent(text, code="columns_changed" if isinstance(error, KeyError) else "source_raised")
