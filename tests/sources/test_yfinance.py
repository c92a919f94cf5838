"""yfinance's real client, unpatched, against a fake Yahoo."""

from datetime import date
from decimal import Decimal

import pytest

from tasks_app.sources.base import CorporateAction, Request, SourceError, Transient, UnknownStock
from tasks_app.sources.permits import granting_permits
from tests.fakes.yahoo_server import run_server

pytest.importorskip("yfinance", reason="yfinance is not installed: pip install -r requirements-yfinance.txt")
from tasks_app.sources.yfinance.rows import vendor_symbol
from tasks_app.sources.yfinance.source import YahooSource

pytestmark = pytest.mark.xdist_group("clients")  # their imports take seconds in each process
MAY = (date(2024, 5, 6), date(2024, 5, 10))
SPLIT = {"AAPL": {date(2024, 6, 10): (4, 1)}}


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


def fetch(code="AAPL", market="US", adjust="", span=MAY):
    return YahooSource(60.0).fetch(Request(market, code, *span, adjust))


def fetch_error(code="AAPL", market="US"):
    with pytest.raises(SourceError, match=r"\w") as caught:
        fetch(code, market)
    return caught.value


@pytest.mark.parametrize(
    ("market", "code", "symbol"),
    [
        *(("US", "AAPL", "AAPL"), ("US", "BRK.B", "BRK-B"), ("HK", "00700", "0700.HK")),
        *(("HK", "80737", "80737.HK"), ("CN", "600000", "600000.SS"), ("CN", "000001", "000001.SZ")),
    ],
)
def test_codes_get_yahoos_suffix(market, code, symbol):
    assert vendor_symbol(market, code) == symbol


@pytest.mark.parametrize(
    ("market", "code"), [("CN", "920002"), ("CN", "AAPL"), ("HK", "0"), ("US", "NOSUCH")]
)
def test_code_that_yahoo_can_not_have_is_unknown_without_a_request(vendor, market, code):
    assert isinstance(fetch_error(code, market), UnknownStock)
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("market", "code", "name"), [("HK", "00700", "116.00700"), ("CN", "600000", "1.600000")]
)
def test_last_day_is_included_and_volumes_are_shares(vendor, market, code, name):
    bars = fetch(code, market)
    assert [bar.day.day for bar in bars] == [6, 7, 8, 9, 10]
    line = next(line for line in vendor.listings[name].klines("0") if line[0] == "2024-05-10")
    assert (bars[-1].open, bars[-1].close, bars[-1].high, bars[-1].low) == tuple(map(float, line[1:5]))
    assert bars[-1].volume == int(line[5]) * (100 if market == "CN" else 1)


def test_later_split_is_taken_back_from_unadjusted_bars(vendor):
    before = fetch()
    vendor.splits = SPLIT
    assert fetch() == before
    split = fetch(adjust="split")
    assert split[0].close == pytest.approx(before[0].close / 4, abs=1e-4)
    assert split[0].volume == before[0].volume * 4


def test_splits_and_dividends_are_as_they_were_made(vendor):
    vendor.splits = SPLIT
    vendor.listings["105.AAPL"].dividends = {date(2024, 5, 10): 0.25}
    assert YahooSource(60.0).fetch_actions("US", "AAPL", None) == [
        CorporateAction("split", date(2024, 6, 10), ratio=Decimal(3)),
        CorporateAction("dividend", date(2024, 5, 10), cash=Decimal("0.25")),
    ]


def test_list_is_read_from_the_screener_to_its_end(vendor):
    symbols = {symbol.code: symbol for symbol in YahooSource(60.0).symbols("US")}
    assert (symbols["BRK.B"].exchange, symbols["AAPL"].exchange, len(symbols)) == ("NYSE", "NASDAQ", 205)
    assert [symbol.code for symbol in YahooSource(60.0).symbols("HK")] == ["00005", "00700"]


def test_list_that_breaks_off_is_no_list(vendor):
    vendor.failures = {"screener": "short"}
    with pytest.raises(Transient) as caught:
        YahooSource(60.0).symbols("US")
    assert caught.value.code == "list_cut_short"


def test_every_request_but_the_first_takes_a_permit(vendor):
    taken = []
    with granting_permits(taken.append):
        fetch()
    assert len(taken) == len(vendor.requests) - 1 > 0


def test_delisted_stock_is_unknown(vendor):
    assert isinstance(fetch_error("GONE"), UnknownStock)


def test_days_before_the_listing_are_empty(vendor):
    assert fetch(adjust="split", span=(date(2020, 1, 1), date(2020, 6, 1))) == []


def test_empty_chart_of_a_traded_stock_is_not_believed(vendor):
    vendor.failures = {"AAPL": "none"}
    with pytest.raises(Transient) as caught:
        fetch(span=(date(2024, 5, 6), date(2024, 5, 31)))
    assert caught.value.code == "empty_answer"


@pytest.mark.parametrize(
    ("mode", "code", "pause"),
    [
        ("429", "throttled", 7.0),  # which yfinance.download() makes an empty table
        ("403", "blacklisted", 3600.0),
        ("502", "source_busy", 30.0),
        ("ban", "blacklisted", 300.0),
        ("captcha", "captcha", 1800.0),
        ("down", "captcha", 1800.0),
        ("broken", "source_busy", 30.0),
        ("null", "source_busy", 30.0),
    ],
)
def test_refusal_is_never_an_empty_answer(vendor, mode, code, pause):
    vendor.failures = {"chart": mode}
    error = fetch_error()
    assert (type(error), error.code, error.retry_after) == (Transient, code, pause)
    assert [kind for kind, _ in vendor.requests].count("chart") == 1, "and is not asked again at once"
