"""US, Hong Kong and Chinese stocks from Yahoo. The optional dependency is in requirements-yfinance.txt."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tasks_app.conf import MARKET_TIME_ZONES, MARKETS, Conf
from tasks_app.sources.base import Answer, CorporateAction, Request, Symbol, Transient, check_served
from tasks_app.sources.market_time import market_today
from tasks_app.sources.yfinance import rows

if find_spec("yfinance") is None:
    raise ModuleNotFoundError("pip install -r requirements-yfinance.txt", name="yfinance")

if TYPE_CHECKING:
    from tasks_app.sources.yfinance.client import YahooClient

FIRST_DAY = date(1962, 1, 2)
MAX_GAP = timedelta(days=15)  # longer than any holiday


class YahooSource:
    """Bars by stock, with splits and dividends. Yahoo's own prices are the adjustment `split`."""

    name: ClassVar[str] = "yfinance"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ("", "split")
    # Yahoo publishes no limit, and refuses addresses for hours.
    rate: ClassVar[float] = 0.5
    per_hour: ClassVar[int] = 1500
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1
    own_process: ClassVar[bool] = True  # with pandas its client takes 100 MB
    takes_first_permit: ClassVar[bool] = True  # `http_calls` does

    def __init__(self, timeout: float = 24.0) -> None:
        self._timeout = timeout

    @cached_property
    def _client(self) -> "YahooClient":
        from tasks_app.sources.yfinance.client import YahooClient

        return YahooClient(self._timeout)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(conf.fetch_timeout * 0.8)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the stocks that are listed now."""
        check_served(self, market)
        region, exchanges = rows.REGIONS[market]
        return [rows.parse_symbol(market, row) for row in self._client.listed(region, tuple(exchanges))]

    def fetch(self, request: Request) -> Answer:
        """Returns the bars; unadjusted ones from a chart up to today, which has all later splits."""
        check_served(self, request.market, request.adjust)
        zone, today = MARKET_TIME_ZONES[request.market], market_today(request.market)
        last = request.end if request.adjust else max(request.end, today)
        symbol = rows.vendor_symbol(request.market, request.code)
        table, chart = self._client.chart(symbol, zone, request.start, last + timedelta(1))
        if table is None:
            _require_no_days(chart.get("meta") or {}, request, zone)
            return Answer(is_whole=True)
        splits = [] if request.adjust else rows.splits_of(chart, zone)
        bars = rows.parse_bars(table, splits)
        return Answer((bar for bar in bars if request.start <= bar.day <= request.end), is_whole=True)

    def fetch_actions(self, market: str, code: str, since: date | None) -> Sequence[CorporateAction]:
        check_served(self, market)
        zone, tomorrow = MARKET_TIME_ZONES[market], market_today(market) + timedelta(1)
        _, chart = self._client.chart(rows.vendor_symbol(market, code), zone, FIRST_DAY, tomorrow)
        return list(rows.parse_actions(chart, zone))


def _require_no_days(meta: dict[str, Any], request: Request, zone: str) -> None:
    """Raises `Transient` if the stock was traded during the requested days by the vendor's own dates."""
    first, last = (rows.day_of(meta.get(name), zone) for name in ("firstTradeDate", "regularMarketTime"))
    if first and last and min(last, request.end) - max(first, request.start) >= MAX_GAP:
        text = f"Yahoo sent no days of {request.code}, though it was traded from {first} to {last}."
        raise Transient(text, code="empty_answer")
