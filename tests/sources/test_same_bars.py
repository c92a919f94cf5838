"""The same stocks, collected from every vendor's stand-in through the engine, make the same stored bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest

from tasks_app.models import DailyBar
from tasks_app.sources import registry
from tasks_app.sources.cn_codes import SHORT, exchange_of
from tests.factories import make_task
from tests.fakes import (
    a_share_hosts,
    baostock_server,
    eastmoney_server,
    tiingo_server,
    tushare_server,
    yahoo_server,
)
from tests.fakes.eastmoney_server import NONE, Security, listings
from tools.in_process import work

pytestmark = pytest.mark.xdist_group("same_bars")  # they share servers and clients
SPAN = (date(2024, 5, 28), date(2024, 6, 3))
# Boards differ in units: Shanghai, Shenzhen (000 is like an index), ChiNext, STAR, its receipts, Beijing.
CODES = {
    "CN": {
        f"{market}.{code}": Security(f"{market}.{code}", code)
        for market, code in (
            *(("1", "600000"), ("0", "000001"), ("0", "300750"), ("1", "688001")),
            *(("1", "689009"), ("0", "920002")),
        )
    },
    "US": {name: listings()[name] for name in ("105.AAPL", "106.IBM")},
}


class SameStock(baostock_server.ListedStock):
    """A stock of the fake BaoStock with the quotes of the fake Eastmoney."""

    def row(self, day: date, flag: str) -> dict[str, str]:
        exchange, _, code = self.code.partition(".")
        lines = Security(f"{int(exchange == 'sh')}.{code}").klines(NONE)
        line = next((line for line in lines if line[0] == day.isoformat()), None)
        row = super().row(day, flag)
        if line is None:
            return row | {"tradestatus": "0", "volume": "0"}
        _, opened, close, high, low, lots, amount, *_ = line
        prices = {"open": opened, "close": close, "high": high, "low": low}
        return row | prices | {"volume": str(int(lots) * 100), "amount": amount}


@contextmanager
def run_baostock() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    codes = (security.code for security in CODES["CN"].values())
    stocks = [SameStock(f"{SHORT[exchange_of(code)]}.{code}", code) for code in codes]
    with baostock_server.run_server(listings={stock.code: stock for stock in stocks}) as server:
        yield {"COLLECTOR_BAOSTOCK_ADDRESS": server.address}, {}


@contextmanager
def run_eastmoney(market: str = "CN") -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with eastmoney_server.run_server(eastmoney_server.FakeEastmoney(CODES[market])) as server:
        yield {}, server.environment


@contextmanager
def run_tushare() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with tushare_server.run_server(tushare_server.FakeTushare(CODES["CN"])) as server:
        yield {"COLLECTOR_TUSHARE_TOKEN": tushare_server.TOKEN}, server.environment


@contextmanager
def run_a_share_hosts() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with a_share_hosts.run_server(eastmoney_server.FakeEastmoney(CODES["CN"])) as server:
        yield {}, server.environment


@contextmanager
def run_yahoo(market: str) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with yahoo_server.run_server(yahoo_server.FakeYahoo(CODES[market])) as server:
        server.splits = {"AAPL": {date(2024, 6, 10): (4, 1)}}  # a later one, which Yahoo divides by
        yield {}, server.environment


@contextmanager
def run_tiingo() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    with tiingo_server.run_server(tiingo_server.FakeTiingo(CODES["US"])) as server:
        yield {"COLLECTOR_TIINGO_TOKEN": tiingo_server.TOKEN}, server.environment


@dataclass(frozen=True)
class Vendor:
    """A source, a market of it, and what runs its stand-in: yields settings and the environment."""

    source: str
    market: str
    run: Callable[[], Any]
    package: str


VENDORS = [
    Vendor("akshare", "CN", run_eastmoney, "akshare"),
    Vendor("baostock", "CN", run_baostock, "baostock"),
    Vendor("tencent", "CN", run_a_share_hosts, "akshare"),
    Vendor("sina", "CN", run_a_share_hosts, "akshare"),
    Vendor("tushare", "CN", run_tushare, "tushare"),
    Vendor("yfinance", "CN", partial(run_yahoo, "CN"), "yfinance"),
    Vendor("akshare", "US", partial(run_eastmoney, "US"), "akshare"),
    Vendor("yfinance", "US", partial(run_yahoo, "US"), "yfinance"),
    Vendor("tiingo", "US", run_tiingo, "requests"),
]


@pytest.mark.django_db
@pytest.mark.any_database
@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: f"{vendor.source}-{vendor.market}")
def test_stored_bars_are_equal_whatever_the_source(settings, monkeypatch, vendor):
    if not find_spec(vendor.package):
        pytest.skip(f"{vendor.package} is not installed")
    with vendor.run() as (own, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.COLLECTOR = replace(
            settings.COLLECTOR,
            environment=tuple(own.items()),
            no_throttle=True,
            max_attempts=1,
            adjustment_data=False,
        )
        registry.forget_sources()
        stocks = {security.code: security for security in CODES[vendor.market].values()}
        if vendor.source == "yfinance":
            stocks.pop("920002", None)  # Yahoo has no stocks of Beijing's exchange
        order = {"source": vendor.source, "market": vendor.market, "stock_codes": tuple(stocks)}
        task = make_task(**order, start_date=SPAN[0], end_date=SPAN[1])
        work()
        task.refresh_from_db()
        failures = list(
            task.items.exclude(state="succeeded").values_list("code", "error_code", "error_message")
        )
        registry.forget_sources()
    assert (task.status, failures) == ("completed", [])
    columns = ("day", "open", "close", "high", "low", "volume", "amount")
    for code, security in stocks.items():
        stored = list(DailyBar.objects.filter(symbol=code).order_by("day").values_list(*columns))
        expected = expected_bars(security, vendor.market)
        if vendor.source in ("yfinance", "tiingo"):  # they send no amounts
            expected = [(*bar[:-1], None) for bar in expected]
        assert stored == expected, code


def expected_bars(security: Security, market: str) -> list[tuple[Any, ...]]:
    """Returns the bars in stored units; amounts equal within the vendors' rounding."""
    lot = 100 if market == "CN" else 1
    return [
        (day, *map(float, line[1:5]), int(line[5]) * lot, pytest.approx(float(line[6]), rel=1e-5))
        for line in security.klines(NONE)
        if SPAN[0] <= (day := date.fromisoformat(line[0])) <= SPAN[1]
    ]
