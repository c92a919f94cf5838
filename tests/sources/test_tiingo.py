"""The source `tiingo` against a fake server."""

from datetime import date
from decimal import Decimal

import pytest

from tasks_app.sources.base import (
    CorporateAction,
    Request,
    SourceError,
    SourceRefusal,
    Transient,
    UnknownStock,
)
from tests.fakes.tiingo_server import TOKEN, run_server

pytest.importorskip("requests", reason="requests is not installed: pip install -r requirements-tiingo.txt")
from tasks_app.sources.tiingo import TiingoSource

pytestmark = pytest.mark.xdist_group("tiingo")
MAY = (date(2024, 5, 6), date(2024, 5, 10))


@pytest.fixture(scope="module")
def server():
    with run_server() as fake:
        yield fake


@pytest.fixture
def vendor(server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.reset()
    server.splits = {}
    yield server
    server.reset()


def fetch(code="AAPL", token=TOKEN):
    return TiingoSource(token, 60.0).fetch(Request("US", code, *MAY))


def fetch_error(code="AAPL", token=TOKEN):
    with pytest.raises(SourceError, match=r"\w.*\.") as caught:
        fetch(code, token)
    return caught.value


def test_bars_are_those_of_the_requested_days(vendor):
    bars = fetch()
    line = next(line for line in vendor.listings["105.AAPL"].klines("0") if line[0] == "2024-05-10")
    assert [bar.day.day for bar in bars] == [6, 7, 8, 9, 10]
    assert (bars[-1].open, bars[-1].close, bars[-1].volume) == (*map(float, line[1:3]), int(line[5]))


def test_class_of_shares_is_asked_for_with_a_dash(vendor):
    assert len(fetch("BRK.B")) == 5
    assert vendor.requests == [("prices", "BRK-B")]


def test_list_has_the_stocks_that_are_traded_now(vendor):
    symbols = {symbol.code: symbol for symbol in TiingoSource(TOKEN, 60.0).symbols("US")}
    assert {"AAPL", "BRK.B", "IBM", "SPY"} <= set(symbols)
    assert not {"OLD", "FUND", "000001"} & set(symbols)
    assert (symbols["SPY"].exchange, symbols["IBM"].listed_on) == ("AMEX", date(2001, 8, 27))


def test_split_and_dividend_are_told_exactly(vendor):
    vendor.splits = {date(2024, 6, 10): "0.1"}
    vendor.listings["105.AAPL"].dividends = {date(2024, 5, 10): 0.25}
    assert TiingoSource(TOKEN, 60.0).fetch_actions("US", "AAPL", None) == [
        CorporateAction("dividend", date(2024, 5, 10), cash=Decimal("0.25")),
        CorporateAction("split", date(2024, 6, 10), ratio=Decimal("-0.9")),
    ]


@pytest.mark.parametrize("code", ["GONE", "NOSUCH"])
def test_ticker_that_is_not_there_is_unknown(vendor, code):
    assert isinstance(fetch_error(code), UnknownStock)


def test_wrong_token_is_a_refusal_that_does_not_show_it(vendor):
    error = fetch_error(token="another-token")
    assert (type(error), error.code) == (SourceRefusal, "login_refused")
    assert "another" not in str(error)


@pytest.mark.parametrize(
    ("mode", "kind", "code", "pause"),
    [
        ("403", SourceRefusal, "no_permission", None),
        ("429", Transient, "throttled", 7.0),
        ("text", Transient, "throttled", 3600.0),
        ("502", Transient, "source_busy", 30.0),
        ("ban", Transient, "blacklisted", 300.0),
        ("captcha", Transient, "captcha", 1800.0),
        ("broken", Transient, "source_busy", 30.0),
    ],
)
def test_refusal_is_told_by_its_status(vendor, mode, kind, code, pause):
    vendor.failures = {"prices": mode}
    error = fetch_error()
    assert (type(error), error.code, error.retry_after) == (kind, code, pause)
