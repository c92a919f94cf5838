"""Tushare's real client against a fake server: by itself, and through the whole engine."""

import inspect
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tasks_app.models import AdjustmentFactor, DailyBar
from tasks_app.sources import registry
from tasks_app.sources.base import (
    CorporateAction,
    Factor,
    Permanent,
    Request,
    SourceError,
    SourceRefusal,
    Transient,
    UnknownStock,
)
from tasks_app.sources.permits import granting_permits
from tests.factories import make_task
from tests.fakes.tushare_server import TOKEN, run_server
from tools.in_process import work

pytest.importorskip("tushare", reason="tushare is not installed: pip install -r requirements-tushare.txt")
from tasks_app.sources.tushare import rows
from tasks_app.sources.tushare.source import TushareSource
from tasks_app.sources.tushare.vendor_client import Table

pytestmark = pytest.mark.xdist_group("tushare")
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
    yield server
    server.reset()


def fetch(code="600000", source=None, span=MAY):
    return (source or TushareSource(TOKEN)).fetch(Request("CN", code, *span))


def fetch_error(code="600000", source=None):
    with pytest.raises(SourceError, match=r"\w") as caught:
        fetch(code, source)
    return caught.value


def test_source_is_a_short_example():
    assert len(Path(inspect.getfile(TushareSource)).read_text().splitlines()) < 90


def test_lots_and_thousands_become_shares_and_yuan(vendor):
    line = vendor.listings["1.600000"].klines("0")[81]
    bar = next(bar for bar in fetch() if bar.day.isoformat() == line[0])
    prices = (bar.open, bar.close, bar.high, bar.low)
    assert prices == tuple(map(float, line[1:5]))
    assert (bar.volume, bar.amount) == (int(line[5]) * 100, float(line[6]))
    assert bar.low < bar.amount / bar.volume < bar.high
    assert (bar.change_pct, bar.turnover, bar.amplitude) == (float(line[8]), None, None)


def test_suspended_days_are_told(vendor):
    answer = fetch("000002")
    assert [bar.day.day for bar in answer] == [6, 9, 10]
    assert sorted(day.day for day in answer.suspended) == [7, 8]
    assert answer.is_whole


def test_suspension_of_some_hours_is_none(vendor):
    assert fetch("600519", span=(date(2024, 5, 13), date(2024, 5, 13))).suspended == ()


def test_many_stocks_come_in_one_page_and_unknown_ones_are_missing(vendor):
    codes = ("600000", "000002", "688999")
    answers = TushareSource(TOKEN).fetch_many([Request("CN", code, *MAY) for code in codes])
    assert answers == {"600000": fetch("600000"), "000002": fetch("000002")}
    assert len(answers["000002"].suspended) == 2
    assert vendor.requests[0][1]["ts_code"] == "600000.SH,000002.SZ,688999.SH"


def test_batch_of_long_histories_is_as_many_stocks_as_fit_a_page(vendor):
    requests = [Request("CN", code, date(2010, 1, 1), date(2024, 6, 14)) for code in ("600000", "000001")]
    assert set(TushareSource(TOKEN).fetch_many(requests)) == {"600000"}


def test_account_without_suspensions_asks_once_and_gets_bars(vendor):
    vendor.failures = {"suspend_d": 40203}
    source = TushareSource(TOKEN)
    assert len(fetch("000002", source)) == len(fetch("000002", source)) == 3
    assert vendor.count("suspend_d") == 1


def test_day_of_the_market_is_one_page_of_bars(vendor):
    answer = TushareSource(TOKEN).fetch_day("CN", date(2024, 5, 7), "")
    assert answer["600000"] == next(bar for bar in fetch() if bar.day == date(2024, 5, 7))
    assert answer.suspended == {"000002"}
    assert vendor.requests[0] == ("daily", {"trade_date": "20240507"})


def test_pages_are_followed_to_the_last(vendor):
    vendor.page = 2
    assert [bar.day.day for bar in fetch()] == [6, 7, 8, 9, 10]
    assert [asked.get("offset") for name, asked in vendor.requests if name == "daily"] == [None, "2", "4"]


def test_client_takes_little_memory():
    """Workers load it, each for itself."""
    code = "import sys; from tasks_app.sources.tushare import vendor_client as one; one.load_client()"
    code += "; print(*{'requests', 'pandas', 'numpy', 'pyarrow', 'bs4'} & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["requests"]


def test_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        Table([["600000.SH"]], ["ts_code", "open"])


def test_each_page_but_the_first_takes_a_permit(vendor):
    vendor.page, taken = 2, []
    with granting_permits(taken.append):
        fetch()
    assert len(taken) == len(vendor.requests) - 1 == 3


def test_list_has_every_stock_with_its_exchange(vendor):
    symbols = {symbol.code: symbol for symbol in TushareSource(TOKEN).symbols("CN")}
    assert {"600000", "000001", "300750", "688001", "920002"} <= set(symbols)
    assert (symbols["920002"].exchange, symbols["600000"].listed_on) == ("BSE", date(1999, 11, 10))


def test_factor_is_told_of_the_day_it_changes(vendor):
    assert TushareSource(TOKEN).fetch_factors("CN", "600519") == [
        Factor(date(2024, 6, 3), Decimal("1.134481"))
    ]
    assert TushareSource(TOKEN).fetch_factors("CN", "600000") == []


def test_dividend_without_an_ex_day_is_left_out(vendor):
    days = (date(2024, 6, 3), date(2024, 4, 10), date(2024, 5, 31), None)
    expected = [CorporateAction("dividend", *days, cash=Decimal("2.5"))]
    assert TushareSource(TOKEN).fetch_actions("CN", "600519", None) == expected


@pytest.mark.parametrize("code", ["600001", "688999"])
def test_code_without_bars_and_listing_is_unknown(vendor, code):
    assert isinstance(fetch_error(code), UnknownStock)


@pytest.mark.parametrize(
    ("span", "is_whole"),
    [
        (MAY, True),
        # Listed on July 1, so the vendor may be late or err: believed only if it says so twice.
        ((date(2024, 6, 3), date(2024, 7, 1)), False),
    ],
)
def test_listed_stock_without_bars_is_empty(vendor, span, is_whole):
    answer = TushareSource(TOKEN).fetch(Request("CN", "301998", *span))
    assert (answer, answer.is_whole) == ([], is_whole)


@pytest.mark.parametrize(
    ("listed", "delisted", "is_listed"),
    [
        ("20240501", None, True),
        ("20240509", None, True),
        ("20240510", None, False),
        ("20200101", "20240507", True),
        ("20200101", "20240506", False),  # the first day without trading
        (None, None, True),
    ],
)
def test_stock_is_listed_between_its_dates(listed, delisted, is_listed):
    row = {"ts_code": "600000.SH", "name": "x", "list_date": listed, "delist_date": delisted}
    assert rows.is_listed_within(row, date(2024, 5, 6), date(2024, 5, 9)) == is_listed


@pytest.mark.parametrize(
    ("mode", "kind", "code", "pause"),
    [
        (502, Transient, "source_busy", 30.0),  # the client returns an empty table
        (429, Transient, "throttled", 300.0),
        ("ban", Transient, "blacklisted", 300.0),
        ("page", Transient, "captcha", 1800.0),
        ("抱歉，您每分钟最多访问该接口200次", Transient, "throttled", 60.0),
        ("抱歉，您访问接口(daily)频率超限(200次/分钟)", Transient, "throttled", 60.0),
        ("抱歉，您每小时最多访问该接口1次", Transient, "throttled", 3600.0),
        ("抱歉，您每天最多访问该接口5次", Transient, "throttled", 3600.0),
        (40203, SourceRefusal, "no_permission", None),
        (-2001, Permanent, "source_refused", None),
        (50101, Transient, "source_busy", None),
        ("columns", Permanent, "columns_changed", None),
    ],
)
def test_failure_is_told_by_status_and_code(vendor, mode, kind, code, pause):
    vendor.failures = {"daily": mode}
    error = fetch_error()
    assert (type(error), error.code, error.retry_after) == (kind, code, pause)


def test_wrong_token_is_refused_and_not_repeated(vendor):
    error = fetch_error(source=TushareSource("wrong-token"))
    assert isinstance(error, SourceRefusal)
    assert error.code == "login_refused"
    assert "wrong-token" not in str(error)


# Through the engine.


@pytest.fixture
def engine(settings, vendor):
    """Sets the settings for a run on the fake server without waits, and with a new source."""
    settings.COLLECTOR = replace(
        settings.COLLECTOR,
        environment=(("COLLECTOR_TUSHARE_TOKEN", TOKEN),),
        no_throttle=True,
        backoff=0.0,
        by_day_from=5,
    )
    registry.forget_sources()
    yield settings
    registry.forget_sources()


def collect(**order):
    task = make_task(source="tushare", market="CN", stock_codes=None, **order)
    work()
    task.refresh_from_db()
    return task


@pytest.mark.django_db
def test_market_comes_in_batches_and_its_next_day_in_two_requests(engine, vendor):
    engine.COLLECTOR = replace(engine.COLLECTOR, adjustment_data=False)
    first = collect(start_date=date(2024, 6, 3), end_date=date(2024, 6, 6))
    assert (first.status, first.failed_count, first.collected_count) == ("completed", 0, 28)
    assert vendor.count("daily") < first.total_stocks / 2
    vendor.requests.clear()
    second = collect(start_date=date(2024, 6, 3), end_date=date(2024, 6, 7))
    assert (second.failed_count, DailyBar.objects.filter(day=date(2024, 6, 7)).count()) == (0, 7)
    asked = [parameters["trade_date"] for name, parameters in vendor.requests if name == "daily"]
    assert "20240607" in asked
    assert len(vendor.requests) == 2 * len(asked) <= 10, "a few days of the market, bars and suspensions"


@pytest.mark.django_db
def test_factors_and_dividends_come_with_the_bars(engine, vendor):
    collect(start_date=date(2024, 5, 27), end_date=date(2024, 6, 6))
    rows = AdjustmentFactor.objects.values_list("symbol", "ex_day", "hfq")
    assert list(rows) == [("600519", date(2024, 6, 3), "1.134481")]
