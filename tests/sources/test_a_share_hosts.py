"""Tencent and Sina through AKShare's real functions, unpatched, against fake servers of theirs."""

import math
from datetime import date

import pytest

from tasks_app.sources.base import Permanent, Request, SourceError, Transient, UnknownStock
from tasks_app.sources.permits import granting_permits
from tests.fakes.a_share_hosts import run_server
from tests.fakes.eastmoney_server import LAST, sessions

pytest.importorskip("akshare", reason="akshare is not installed: pip install -r requirements-akshare.txt")
from tasks_app.sources.akshare.a_share_frames import shares_in_a_volume
from tasks_app.sources.akshare.sina import SinaSource
from tasks_app.sources.akshare.tencent import TencentSource

pytestmark = pytest.mark.xdist_group("clients")  # their imports take seconds in each process
MAY = (date(2024, 5, 6), date(2024, 5, 10))
BOTH = pytest.mark.parametrize(
    "source", [TencentSource(60.0), SinaSource(60.0)], ids=lambda source: source.name
)
BARS = {"tencent": "tencent", "sina": "sina"}  # the kind of request that brings a source's bars


@pytest.fixture(scope="module")
def server():
    with run_server() as fake:
        yield fake


@pytest.fixture
def vendor(server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.reset()
    yield server
    server.reset()


def fetch(source, code="600000", span=MAY):
    return source.fetch(Request("CN", code, *span))


def fetch_error(source, code="600000"):
    with pytest.raises(SourceError, match=r"\w.*\.$") as caught:
        fetch(source, code)
    return caught.value


@BOTH
@pytest.mark.parametrize("code", ["600000", "000001", "300750", "688001"])
def test_bars_are_in_shares_and_yuan_on_every_board(vendor, source, code):
    line = next(
        line
        for name in ("0.", "1.")
        if name + code in vendor.listings
        for line in vendor.listings[name + code].klines("0")
        if line[0] == "2024-05-07"
    )
    bar = fetch(source, code, (date(2024, 5, 7),) * 2)[0]
    assert (bar.open, bar.close, bar.high, bar.low) == tuple(map(float, line[1:5]))
    assert (bar.volume, bar.amount) == (int(line[5]) * 100, pytest.approx(float(line[6]), abs=50))


def test_amounts_are_without_the_noise_of_a_multiplication(vendor):
    bars = TencentSource(60.0).fetch(Request("CN", "600000", *MAY, ""))
    assert [bar.amount for bar in bars] == [round(bar.amount / 100) * 100 for bar in bars]


def test_turnover_is_in_percent(vendor):
    assert fetch(TencentSource())[0].turnover == 0.52


@pytest.mark.parametrize(("ratio", "lot"), [(99.2, 100.0), (1.01, 1.0), (0.0098, 0.01)])
def test_amounts_prove_the_unit_of_volumes(ratio, lot):
    rows = [(None, 10.0, 10.0, 10.0, 10.0, 1000.0, 10_000.0 * ratio, 0.5)] * 3
    assert shares_in_a_volume(rows, "Tencent") == lot


@pytest.mark.parametrize("amount", [0.0, math.nan])
def test_volumes_without_amounts_prove_no_unit(amount):
    traded, untraded = (
        ("2024-05-06", 10.0, 10.5, 9.9, 10.2, 5000.0, amount, None),
        ("2024-05-06", 10.0, 10.5, 9.9, 10.2, 0.0, 0.0, None),
    )
    assert shares_in_a_volume([untraded], "Sina") == 1.0
    with pytest.raises(Permanent) as caught:
        shares_in_a_volume([untraded, traded], "Sina")
    assert caught.value.code == "units_changed"


def test_volumes_in_no_known_unit_are_refused(vendor):
    vendor.failures = {"tencent": "shares"}
    error = fetch_error(TencentSource(60.0))
    assert (type(error), error.code) == (Permanent, "units_changed")


def test_tencent_is_asked_for_each_calendar_year(vendor):
    taken = []
    with granting_permits(taken.append):
        fetch(TencentSource(60.0), span=(date(2023, 12, 29), date(2024, 5, 10)))
    assert [kind for kind, _ in vendor.requests] == ["trend", "tencent"], "its first day is in 2024"
    assert len(taken) == 1


def test_year_without_a_day_is_empty_if_the_stock_is_known(vendor):
    assert fetch(TencentSource(60.0), span=(date(2025, 1, 6), date(2025, 1, 10))) == []
    assert [key for _, key in vendor.requests] == ["1.600000"] * 2 + ["0.000001"] * 2, "and another has bars"


def test_day_on_which_only_shares_changed_has_no_bar(vendor):
    days = [bar.day for bar in fetch(SinaSource(60.0), span=(date(2024, 6, 1), date(2024, 6, 4)))]
    assert days == [date(2024, 6, 3), date(2024, 6, 4)]


@BOTH
def test_suspended_days_have_no_bar(vendor, source):
    assert [bar.day.day for bar in fetch(source, "000002")] == [6, 9, 10]


@BOTH
@pytest.mark.parametrize("code", ["510300", "900901", "sh600000", "999999", "00700"])
def test_code_of_no_a_share_is_unknown_without_a_request(vendor, source, code):
    assert isinstance(fetch_error(source, code), UnknownStock)
    assert vendor.requests == []


@BOTH
def test_delisted_stock_is_unknown_as_another_one_has_bars(vendor, source):
    assert isinstance(fetch_error(source, "600001"), UnknownStock)
    assert {key for _, key in vendor.requests} == {"1.600001", "0.000001"}


@BOTH
def test_emptiness_of_every_stock_is_throttling(vendor, source):
    vendor.failures = {BARS[source.name]: "null", "trend": "null"}
    error = fetch_error(type(source)(60.0))
    assert (type(error), error.code, error.retry_after) == (Transient, "throttled", 300.0)
    assert "Eastmoney" not in str(error)


@BOTH
@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("ban", "blacklisted"),
        ("456", "blacklisted"),  # Sina's status for a banned address
        ("429", "throttled"),
        ("502", "source_busy"),
        ("captcha", "captcha"),
    ],
)
def test_refusal_is_told_apart(vendor, source, mode, code):
    vendor.failures = {BARS[source.name]: mode}
    error = fetch_error(source)
    assert (isinstance(error, Transient), error.code) == (True, code)


@BOTH
def test_list_has_listing_dates_and_factors_are_sinas(vendor, source):
    symbols = {symbol.code: symbol for symbol in source.symbols("CN")}
    assert symbols["600000"].listed_on == date(1999, 11, 10)
    assert [factor.ex_day for factor in source.fetch_factors("CN", "600519")] == [date(2024, 6, 3)]


@BOTH
def test_whole_history_is_sent(vendor, source):
    assert len(fetch(source, span=(date(1999, 1, 1), LAST))) == len(sessions("CN"))


def test_client_that_sent_no_request_is_no_empty_answer(vendor, monkeypatch):
    from tasks_app.sources.akshare.client import akshare

    def fail(**_):
        raise KeyError("symbol")

    monkeypatch.setattr(akshare, "stock_zh_a_daily", fail)
    assert isinstance(fetch_error(SinaSource(60.0)), Permanent)
