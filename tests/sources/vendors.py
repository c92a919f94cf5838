"""Every vendor's stand-in with the same stocks, and what leads the source's client to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from tasks_app.sources.cn_codes import SHORT, exchange_of
from tests.fakes import (
    a_share_hosts,
    baostock_server,
    eastmoney_server,
    tiingo_server,
    tushare_server,
    yahoo_server,
)
from tests.fakes.eastmoney_server import NONE, FakeEastmoney, Security, listings

# Boards differ in units: Shanghai, Shenzhen (000 is like an index), ChiNext, STAR, its receipts, Beijing.
BOARDS = ("1.600000", "0.000001", "0.300750", "1.688001", "1.689009", "0.920002")
STOCKS = {
    "CN": {name: Security(name, name) for name in BOARDS},
    "US": {name: listings()[name] for name in ("105.AAPL", "106.IBM")},
}
LATER_SPLIT = {"AAPL": {date(2024, 6, 10): (4, 1)}}  # which Yahoo divides its prices by


class SameStock(baostock_server.ListedStock):
    """A stock of the fake BaoStock with the quotes of the fake Eastmoney."""

    def row(self, day: date, flag: str) -> dict[str, str]:
        exchange, _, code = self.code.partition(".")
        lines = Security(f"{int(exchange == 'sh')}.{code}").klines(NONE)
        _, opened, close, high, low, lots, amount, *_ = next(line for line in lines if line[0] == f"{day}")
        prices = {"open": opened, "close": close, "high": high, "low": low}
        return super().row(day, flag) | prices | {"volume": str(int(lots) * 100), "amount": amount}


def run_baostock() -> AbstractContextManager[baostock_server.FakeBaostock]:
    names = (f"{SHORT[exchange_of(stock.code)]}.{stock.code}" for stock in STOCKS["CN"].values())
    return baostock_server.run_server(listings={name: SameStock(name, name) for name in names})


@dataclass(frozen=True)
class Vendor:
    """A source in a market. `refusal` makes its stand-in answer as the vendor does to too many requests."""

    source: str
    market: str
    package: str
    run: Callable[[], AbstractContextManager[Any]]
    refusal: dict[str, Any]
    own: tuple[tuple[str, str], ...] = ()  # the source's settings
    has_amounts: bool = True

    def settings(self, server: Any) -> tuple[tuple[str, str], ...]:
        """Returns the source's settings for this stand-in."""
        return self.own or (
            (("COLLECTOR_BAOSTOCK_ADDRESS", server.address),) if self.source == "baostock" else ()
        )


def fake(run: Callable[..., Any], kind: Callable[..., Any], market: str, **options: Any) -> Callable[[], Any]:
    return lambda: run(kind(STOCKS[market], **options))


def chinese_at_yahoo() -> dict[str, Security]:
    return {name: stock for name, stock in STOCKS["CN"].items() if exchange_of(stock.code) != "BSE"}


_eastmoney = partial(fake, eastmoney_server.run_server, FakeEastmoney)
_yahoo = partial(fake, yahoo_server.run_server, yahoo_server.FakeYahoo, splits=LATER_SPLIT)
_hosts = fake(a_share_hosts.run_server, FakeEastmoney, "CN")
_tushare = fake(tushare_server.run_server, tushare_server.FakeTushare, "CN")
_tiingo = fake(tiingo_server.run_server, tiingo_server.FakeTiingo, "US")
TUSHARE_TOKEN = (("COLLECTOR_TUSHARE_TOKEN", tushare_server.TOKEN),)
TIINGO_TOKEN = (("COLLECTOR_TIINGO_TOKEN", tiingo_server.TOKEN),)
EVERY_MINUTE = "抱歉，您每分钟最多访问该接口200次"

VENDORS = [
    Vendor("akshare", "CN", "akshare", _eastmoney("CN"), {"kline": "429"}),
    Vendor("akshare", "US", "akshare", _eastmoney("US"), {"kline": "429"}),
    Vendor("baostock", "CN", "baostock", run_baostock, {"query_history_k_data_plus": "10001011"}),
    Vendor("tencent", "CN", "akshare", _hosts, {"tencent": "429"}),
    Vendor("sina", "CN", "akshare", _hosts, {"sina": "456"}),
    Vendor("tushare", "CN", "tushare", _tushare, {"daily": EVERY_MINUTE}, TUSHARE_TOKEN),
    Vendor("yfinance", "CN", "yfinance", _yahoo("CN"), {"chart": "429"}, has_amounts=False),
    Vendor("yfinance", "US", "yfinance", _yahoo("US"), {"chart": "429"}, has_amounts=False),
    Vendor("tiingo", "US", "requests", _tiingo, {"prices": "429"}, TIINGO_TOKEN, has_amounts=False),
]
