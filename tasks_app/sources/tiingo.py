"""US stocks from Tiingo, with a key. The optional dependency is in requirements-tiingo.txt.

https://www.tiingo.com/documentation/end-of-day
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.source_settings import gettext_noop
from tasks_app.sources.base import (
    Answer,
    Bar,
    CorporateAction,
    Permanent,
    Request,
    Setting,
    SourceError,
    SourceRefusal,
    Symbol,
    Transient,
    UnknownStock,
    check_served,
)
from tasks_app.sources.market_time import market_today
from tasks_app.sources.security_codes import CodeError, canonical_or_same, parse_code

if find_spec("requests") is None:
    raise ModuleNotFoundError("pip install -r requirements-tiingo.txt", name="requests")

PRICES = "https://api.tiingo.com/tiingo/daily/{}/prices"
LIST = "https://apimedia.tiingo.com/docs/tiingo/daily/supported_tickers.zip"
EXCHANGES = {"NYSE": "NYSE", "NASDAQ": "NASDAQ", "AMEX": "AMEX", "NYSE MKT": "AMEX"}
FIRST_DAY = date(1962, 1, 2)
STILL_TRADED = timedelta(days=30)  # within which a listed stock has a price
HOUR = 3600.0


class TiingoSource:
    """Unadjusted bars by stock, with splits and dividends."""

    name: ClassVar[str] = "tiingo"
    markets: ClassVar[tuple[str, ...]] = ("US",)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    # What a free account has; it may also ask for no more than 500 different stocks a month.
    per_hour: ClassVar[int] = 50
    daily: ClassVar[int] = 1000
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "token", help=gettext_noop("Your account's API token at tiingo.com."), secret=True, required=True
        ),
    )

    def __init__(self, token: str, timeout: float = 24.0) -> None:
        self._token, self._timeout = token, timeout

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(conf.source_settings(cls)["token"], conf.fetch_timeout * 0.8)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the stocks that are traded now, without names: the vendor's list has none."""
        check_served(self, market)
        return list(parse_list(self._get(LIST, read_zip), market_today(market)))

    def fetch(self, request: Request) -> Answer:
        check_served(self, request.market, request.adjust)
        rows = self._rows(request.code, request.start, request.end)
        return Answer(map(parse_bar, rows), is_whole=True)

    def fetch_actions(self, market: str, code: str, since: date | None) -> Sequence[CorporateAction]:
        check_served(self, market)
        rows = self._rows(code, FIRST_DAY, market_today(market))
        return [action for row in rows for action in parse_actions(row)]

    def _rows(self, code: str, start: date, end: date) -> list[dict[str, Any]]:
        """Returns the days of a stock, as the vendor has them."""
        try:
            ticker = parse_code(code, "US", wide=True)[1].replace(".", "-")
        except CodeError:
            raise UnknownStock(f"“{code}” is not the code of a US stock, as AAPL is.") from None
        span = {"startDate": start.isoformat(), "endDate": end.isoformat()}
        rows = self._get(PRICES.format(ticker), read_json, span)
        if not isinstance(rows, list):  # a refusal that is sent with the status 200
            raise Transient(f"Tiingo says: {rows}", code="throttled", retry_after=HOUR)
        return rows

    def _get(self, url: str, read: Callable[[Any], Any], parameters: dict[str, str] | None = None) -> Any:
        """Returns what `read` makes of the response. Raises `SourceError`."""
        import requests

        from tasks_app.sources.http_calls import call_scope, transport_error

        with call_scope(self._timeout) as scope:  # it has the timeout
            try:
                response = requests.get(url, parameters, headers={"Authorization": f"Token {self._token}"})  # noqa: S113
                if response.status_code >= 400:
                    raise refusal(response, url)
                return read(response)
            except (requests.RequestException, ValueError, zipfile.BadZipFile) as error:
                answer = scope.responses[-1] if scope.responses else None
                raise transport_error(error, answer, "Tiingo") or Permanent(f"Tiingo: {error}") from error


def refusal(response: Any, url: str) -> SourceError:
    """Returns the meaning of an HTTP status from 400 on."""
    from tasks_app.sources.http_calls import http_error

    if response.status_code == 401:
        return SourceRefusal("Tiingo refuses the token.", code="login_refused")
    if response.status_code == 403:
        return SourceRefusal("Tiingo does not allow this account to do that.", code="no_permission")
    if response.status_code == 404:
        return UnknownStock(f"Tiingo does not know {url}.")
    error = http_error(response, "Tiingo")
    if response.status_code == 429 and "Retry-After" not in response.headers:
        error.retry_after = HOUR  # the allocation is counted by the hour
    return error


def read_zip(response: Any) -> str:
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return archive.read(archive.namelist()[0]).decode()


def read_json(response: Any) -> Any:
    return response.json(parse_float=Decimal)


def parse_list(text: str, today: date) -> Iterator[Symbol]:
    """Yields the stocks that still have prices; a ticker that was used twice has several rows."""
    newest: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row["assetType"] == "Stock" and row["exchange"] in EXCHANGES and row["endDate"]:
            newest[row["ticker"]] = max(row, newest.get(row["ticker"], row), key=lambda each: each["endDate"])
    for ticker, row in newest.items():
        if date.fromisoformat(row["endDate"]) >= today - STILL_TRADED:
            listed_on = date.fromisoformat(row["startDate"])
            yield Symbol(canonical_or_same("US", ticker), "", EXCHANGES[row["exchange"]], listed_on)


def parse_bar(row: dict[str, Any]) -> Bar:
    opened, high, low, close = (float(row[name]) for name in ("open", "high", "low", "close"))
    return Bar(day_of(row), opened, high, low, close, volume=row["volume"])


def parse_actions(row: dict[str, Any]) -> Iterator[CorporateAction]:
    """Yields the split and the dividend of a day, if there were any."""
    if (factor := Decimal(row["splitFactor"])) != 1:
        yield CorporateAction("split", day_of(row), ratio=factor - 1)
    if cash := Decimal(row["divCash"]):
        yield CorporateAction("dividend", day_of(row), cash=cash)


def day_of(row: dict[str, Any]) -> date:
    return date.fromisoformat(row["date"][:10])
