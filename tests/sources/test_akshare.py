"""AKShare's real client, unpatched, against a fake Eastmoney: by itself, and through the whole engine."""

import importlib.util
import json
import math
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise
from types import FunctionType
from zoneinfo import ZoneInfo

import pytest
import requests
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import reasons
from tasks_app.conf import Conf
from tasks_app.engine import slice
from tasks_app.models import (
    AdjustmentFactor,
    CollectionItem,
    CorporateAction,
    Correction,
    DailyBar,
    SourceGate,
    Stock,
)
from tasks_app.quotes import csv_export
from tasks_app.quotes.adjusted_prices import find_basis
from tasks_app.source_settings import InvalidSetting
from tasks_app.sources import http_calls, registry
from tasks_app.sources.akshare import calls, client, codes, errors, frames, stock_lists
from tasks_app.sources.akshare.completeness import History, require_all_bars
from tasks_app.sources.akshare.source import AkshareSource, any_weekday
from tasks_app.sources.akshare.throttle_probe import TRUSTED_SECONDS, TRUSTED_TIMES, ThrottleProbe
from tasks_app.sources.base import DaySource, Permanent, Request, Source, SourceError, Transient, UnknownStock
from tasks_app.sources.permits import granting_permits
from tasks_app.sources.shared_process import handle
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes.clock import Clock
from tests.fakes.eastmoney_server import LAST, Security, run_server, sessions
from tools.in_process import work

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("akshare") is None,
        reason="akshare is not installed: pip install -r requirements-akshare.txt",
    ),
    pytest.mark.xdist_group("clients"),  # to import the client and pandas takes seconds in each process
]
MAY = (date(2024, 5, 6), date(2024, 5, 31))
MAY_SESSIONS = [day for day in sessions("CN") if MAY[0] <= day <= MAY[1]]


@pytest.fixture(scope="module")
def server():
    with run_server() as fake:
        yield fake


@pytest.fixture
def vendor(server, monkeypatch):
    """Returns the fake Eastmoney and exchanges, for this process and its children."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.reset()
    yield server
    server.reset()


def make_source(timeout=60.0, at=None):
    """Returns a source that does not wait between pages, now or at a given time in Shanghai."""
    clock = {"now": lambda market: at.replace(tzinfo=ZoneInfo("Asia/Shanghai"))} if at else {}
    return AkshareSource(timeout, sleep=lambda seconds: None, **clock)


def fetch(source, code="600000", market="CN", span=MAY, adjust=""):
    return source.fetch(Request(market, code, *span, adjust))


def fetch_error(source, code="600000", market="CN", **options):
    with pytest.raises(SourceError, match=r"\w.*\.$") as caught:
        fetch(source, code, market, **options)
    return caught.value


# Requests.


@pytest.mark.parametrize(
    ("code", "name"),
    [
        *((code, f"1.{code}") for code in ("600000", "688001", "510300", "900901")),
        *((code, f"0.{code}") for code in ("000001", "300750", "159915", "200011")),
        *((code, f"0.{code}") for code in ("920002", "430047", "830799")),
    ],
)
def test_chinese_codes_get_their_market_id(code, name):
    assert codes.security_ids("CN", code) == (name,)


@pytest.mark.parametrize("code", ["510300", "900901", "159915", "920002", "688001", "600000"])
def test_any_code_is_fetched_in_one_request(vendor, code):
    bars = fetch(make_source(), code)
    listing = vendor.listings[codes.security_ids("CN", code)[0]]
    assert [bar.day for bar in bars] == [day for day in MAY_SESSIONS if day >= listing.listed]
    assert vendor.requests == [("kline", listing.security_id)]


@pytest.mark.parametrize(("market", "code"), [("CN", "sh600000"), ("CN", "６０００００"), ("CN", "999999")])
@pytest.mark.parametrize("source", [AkshareSource()])
def test_malformed_code_is_unknown_without_a_request(vendor, source, market, code):
    assert isinstance(fetch_error(source, code, market), UnknownStock)
    assert vendor.requests == []


@pytest.mark.parametrize("code", ["700", "0700A", "00"])
def test_hong_kong_codes_have_five_digits(vendor, code):
    assert isinstance(fetch_error(make_source(), code, "HK"), UnknownStock)
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("105.MSFT", ("105.MSFT",)),
        ("IBM", ("105.IBM", "106.IBM", "107.IBM")),
        ("BRK.B", ("105.BRK_B", "106.BRK_B", "107.BRK_B")),
    ],
)
def test_us_code_is_tried_on_each_exchange(code, names):
    assert codes.security_ids("US", code) == names


def test_us_market_id_is_remembered(vendor):
    source = make_source()
    assert fetch(source, "IBM", "US") == fetch(source, "IBM", "US") == fetch(source, "106.IBM", "US")
    assert [name for _, name in vendor.requests] == ["105.IBM", "106.IBM", "106.IBM", "106.IBM"]
    source.symbols("US")
    fetch(source, "SPY", "US")
    assert vendor.requests[-1] == ("kline", "107.SPY")
    assert vendor.count(key="105.SPY") == 0


def test_weekends_and_future_days_cost_no_request(vendor):
    source = make_source(at=datetime(2024, 6, 14, 20))
    for span in [(date(2024, 6, 8), date(2024, 6, 9)), (date(2024, 6, 15), date(2024, 12, 31))]:
        assert fetch(source, span=span) == ()
    assert vendor.requests == []


def test_any_weekday():
    saturday = date(2024, 6, 8)
    assert not any_weekday(saturday, saturday)
    assert not any_weekday(saturday, date(2024, 6, 9))
    assert not any_weekday(saturday, date(2024, 6, 7))
    assert any_weekday(saturday, date(2024, 6, 10))
    assert any_weekday(date(2024, 6, 7), saturday)


@pytest.mark.parametrize(("market", "adjust"), [("XX", ""), ("CN", "xyz")])
def test_unserved_market_or_adjustment_is_refused(vendor, market, adjust):
    assert type(fetch_error(make_source(), market=market, adjust=adjust)) is Permanent


# Units and columns.


def test_bar_has_shares_and_the_vendors_values(vendor):
    bar = fetch(make_source())[0]
    _, opened, close, high, low, lots, amount, swing, moved, change, turn = vendor.listings["1.600000"].kline(
        MAY[0], date(2024, 4, 30), "0"
    )
    assert (bar.day, bar.open, bar.close, bar.high, bar.low) == (
        MAY[0],
        *map(float, (opened, close, high, low)),
    )
    assert bar.volume == int(lots) * 100
    assert (bar.amount, bar.amplitude, bar.change_pct) == (float(amount), float(swing), float(moved))
    assert (bar.change, bar.turnover) == (float(change), float(turn))
    assert bar.prev_close == pytest.approx(float(close) - float(change))


@pytest.mark.parametrize(
    ("market", "code"), [("CN", "600519"), ("CN", "510300"), ("HK", "00700"), ("US", "IBM")]
)
def test_amount_by_volume_is_a_price_of_the_day(vendor, market, code):
    for bar in fetch(make_source(), code, market):
        assert bar.low <= bar.amount / bar.volume <= bar.high


@pytest.mark.parametrize("adjust", ["", "qfq", "hfq"])
def test_previous_close_takes_dividends_off(vendor, adjust):
    source, span = make_source(), (date(2024, 5, 20), LAST)
    bars = {bar.day: bar for bar in fetch(source, "600519", span=span, adjust=adjust)}
    before, ex_day = bars[date(2024, 5, 31)], bars[date(2024, 6, 3)]
    cash = 2.5 if adjust == "" else 0.0
    assert ex_day.prev_close == pytest.approx(before.close - cash, abs=0.011)
    for one, other in pairwise(bar for bar in bars.values() if bar.day < date(2024, 6, 3)):
        assert other.prev_close == one.close


def frame(**changes):
    """Returns a table as the client does."""
    import pandas as pd  # here, since every process of pytest imports this module

    row = dict(zip(frames.COLUMNS, ("2024-05-06", 1, 2, 1, 2, 5, 750.0, 1, 1, 1, 1), strict=True))
    return pd.DataFrame([{**row, **changes}])


def test_columns_are_read_by_name():
    table = frame(股票代码="600000", 新列=1)
    assert frames.parse_bars(table, 100, True) == frames.parse_bars(table[sorted(table.columns)], 100, True)


def test_missing_columns_are_named():
    renamed = frame().rename(columns={"成交量": "量", "开盘": "今开"})
    with pytest.raises(
        Permanent, match="missing columns: 开盘, 成交量; unexpected columns: 今开, 量"
    ) as caught:
        frames.parse_bars(renamed, 100, True)
    assert caught.value.code == "columns_changed"


def test_missing_values_are_none_and_a_missing_volume_is_nan():
    bar = frames.parse_bars(frame(成交额=float("nan"), 换手率="-", 涨跌额=None), 100, True)[0]
    assert (bar.amount, bar.turnover, bar.change, bar.prev_close) == (None, None, None, None)
    assert math.isnan(frames.parse_bars(frame(成交量="-"), 100, True)[0].volume)


def test_day_is_parsed_from_any_type():
    import pandas as pd

    for day in ("2024-05-06", date(2024, 5, 6), datetime(2024, 5, 6), pd.Timestamp("2024-05-06")):
        assert frames.parse_day(day) == date(2024, 5, 6)
        assert type(frames.parse_day(day)) is date


def test_missing_day_is_a_permanent_error():
    import pandas as pd

    for day in ("-", "", None, pd.NaT, float("nan")):
        assert frames.parse_day(day) is None
        with pytest.raises(Permanent):
            frames.parse_bars(frame(日期=day), 100, True)


# Refusals.


@pytest.mark.parametrize(
    ("market", "code"),
    [
        ("CN", "600000"),
        *(
            pytest.param(*other, marks=pytest.mark.soak)
            for other in (("CN", "510300"), ("HK", "00700"), ("US", "105.AAPL"))
        ),
    ],
)
@pytest.mark.parametrize(
    ("mode", "meaning"),
    [
        ("null", (Transient, "throttled", 300)),
        ("relay", (Transient, "throttled", 300)),
        ("429", (Transient, "throttled", 7)),
        ("403", (Transient, "blacklisted", 3600)),
        ("ban", (Transient, "blacklisted", 300)),
        ("captcha", (Transient, "captcha", 1800)),
        ("502", (Transient, "source_busy", 30)),
        ("broken", (Transient, "source_busy", 30)),
        ("404", (Permanent, "source_refused", None)),
        ("twelve", (Permanent, "columns_changed", None)),
        ("ten", (Permanent, "columns_changed", None)),
        ("shares", (Permanent, "units_changed", None)),
    ],
)
def test_refusals_are_told_apart(vendor, market, code, mode, meaning):
    vendor.failures = {"kline": mode}
    error = fetch_error(make_source(), code, market)
    assert (type(error), error.code, error.retry_after) == meaning


def test_changed_fields_are_shown(vendor):
    vendor.failures = {"kline": "twelve"}
    assert "12 instead of 11: 2024-05-06," in str(fetch_error(make_source()))


def test_bans_in_a_row_lengthen_the_pause(vendor):
    source = make_source()
    vendor.failures = {"kline": "ban"}
    assert [fetch_error(source).retry_after for _ in range(4)] == [300, 3600, 18_000, 18_000]
    vendor.failures = {}
    fetch(source)
    vendor.failures = {"kline": "ban"}
    assert fetch_error(source).retry_after == 300


def test_unreachable_address_is_not_a_ban(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    error = fetch_error(make_source())
    assert (type(error), error.code, error.retry_after) == (Transient, "unreachable", 30)
    assert reasons.is_unreachable(str(error)), error
    assert "ProxyError" in str(error)


def test_connection_that_is_not_made_in_time_is_told_as_unreachable():
    error = errors.interpret(requests.ConnectTimeout(), None)
    assert error.code == "timeout", "which alone does not concern the whole source"
    assert reasons.is_unreachable(str(error)), error


# The cookie (case cli-08: Eastmoney closes the line to clients without a browser's).

COOKIE = "qgqp_b_id=made-up; nid18=secret"


def with_cookie(**options):
    return AkshareSource(60.0, cookie=COOKIE, sleep=lambda seconds: None, **options)


def test_cookie_and_user_agent_are_sent(vendor):
    vendor.wanted_cookie = "nid18=secret"
    assert fetch_error(make_source()).code == "blacklisted"
    source = with_cookie(user_agent="Browser/1")
    assert len(fetch(source)) == len(MAY_SESSIONS)
    assert vendor.headers["kline"]["User-Agent"] == "Browser/1"


def test_probe_and_lists_have_the_cookie_too(vendor):
    vendor.wanted_cookie = "nid18=secret"
    assert type(fetch_error(with_cookie(), "600001")) is UnknownStock, "by a probe"
    assert len(with_cookie().symbols("HK")) > 1


def test_cookie_is_for_eastmoney_alone(vendor):
    source = with_cookie(user_agent="Browser/1")
    source.symbols("CN")
    source.fetch_factors("CN", "600000")
    for kind in ("sse", "szse", "bse", "factors"):
        assert "Cookie" not in vendor.headers[kind]
        assert vendor.headers[kind]["User-Agent"] != "Browser/1"


def test_cookie_is_sent_over_https_to_the_domain_only():
    sent = []
    for address in ("https://eastmoney.com", "http://a.eastmoney.com", "https://noteastmoney.com"):
        request = requests.Request("GET", address).prepare()
        http_calls.CallScope(0.0, "eastmoney.com", {"Cookie": COOKIE}).add_headers(request)
        sent.append("Cookie" in request.headers)
    assert sent == [True, False, False]


def test_cookie_is_a_secret_setting():
    declared = {setting.name: setting for setting in AkshareSource.settings}
    assert declared["cookie"].secret
    conf = Conf(environment=(("COLLECTOR_AKSHARE_COOKIE", COOKIE), ("COLLECTOR_AKSHARE_USER_AGENT", "B/1")))
    assert COOKIE not in repr(conf)
    assert AkshareSource.from_conf(conf)._headers == {"Cookie": COOKIE, "User-Agent": "B/1"}


@pytest.mark.parametrize("cookie", ["nid18=made-up\nX: y", "nid18=名"])
def test_malformed_cookie_is_refused_without_being_shown(cookie):
    conf = Conf(environment=(("COLLECTOR_AKSHARE_COOKIE", cookie),))
    with pytest.raises(InvalidSetting, match="COLLECTOR_AKSHARE_COOKIE") as caught:
        AkshareSource.from_conf(conf)
    assert "made-up" not in str(caught.value)
    assert "名" not in str(caught.value)


# Timeouts.


@pytest.mark.parametrize(("market", "code"), [("CN", "600000"), ("HK", "00700"), ("US", "105.AAPL")])
def test_hung_request_ends_in_time(vendor, market, code):
    vendor.failures = {"kline": "hang"}
    assert fetch_error(make_source(0.2), code, market).code == "timeout"


@pytest.mark.parametrize(("market", "kind"), [("CN", "sse"), ("CN", "szse"), ("CN", "bse"), ("HK", "clist")])
def test_hung_list_ends_in_time(vendor, market, kind):
    vendor.failures = {kind: "hang"}
    with pytest.raises(Transient) as caught:
        make_source(0.5).symbols(market)
    assert caught.value.code == "timeout"


def test_probe_gets_only_the_time_left(vendor, monkeypatch):
    vendor.failures = {"1.600000": "null", "0.000001": "hang"}
    monkeypatch.setattr(http_calls, "time", clock := Clock())
    given = []

    def take_half_a_minute(timeout, left):
        given.append(left)
        clock.sleep(30.0)
        return 60.0 if len(given) == 1 else 0.1

    monkeypatch.setattr(http_calls, "limit_timeout", take_half_a_minute)
    assert fetch_error(make_source(50.0)).code == "timeout"
    assert given == [50.0, 20.0]


def test_sessions_are_limited_within_a_scope_only(vendor):
    address = "https://82.push2.eastmoney.com/api/qt/clist/get?fs=m:0+t:6&pn=1&fields=f12"
    assert requests.get(address, timeout=60).json()["data"]["total"] > 0
    vendor.failures = {"clist": "hang"}
    with http_calls.call_scope(0.3) as scope, pytest.raises(requests.Timeout):
        requests.get(address)  # noqa: S113 - the watch has to bound it
    assert scope.responses == []
    with pytest.raises(requests.Timeout):
        requests.get(address, timeout=0.3)


@pytest.mark.parametrize(
    ("given", "left", "used"), [(None, 7.0, 7.0), (15, 7.0, 7.0), (3, 7.0, 3.0), ((3, 5), 7.0, 7.0)]
)
def test_timeout_is_the_clients_own_or_the_time_left(given, left, used):
    assert http_calls.limit_timeout(given, left) == used


def test_call_outside_a_scope_is_a_mistake():
    with pytest.raises(RuntimeError):
        calls.call(print)


def test_unforeseen_exception_is_a_permanent_error():
    with http_calls.call_scope(1.0), pytest.raises(Permanent, match="ZeroDivisionError") as caught:
        calls.call(lambda: 1 / 0)
    assert caught.value.code == "source_raised"


def test_no_request_after_the_deadline():
    with http_calls.call_scope(0.0), pytest.raises(Transient) as caught:
        calls.call(pytest.fail)
    assert caught.value.code == "timeout"


# Empty or throttled.


def test_suspended_stock_is_empty_in_one_request(vendor):
    assert fetch(make_source(), "300750", span=(date(2024, 6, 3), LAST)) == []
    assert vendor.count() == 1


def test_unlisted_stock_is_empty_after_a_probe(vendor):
    source = make_source()
    for _ in range(2):
        assert fetch(source, "301998") == []
    assert vendor.requests == [("kline", "0.301998"), ("kline", "0.000001")] * 2


def test_delisted_stock_is_unknown_and_not_empty(vendor):
    error = fetch_error(make_source(), "600001")
    assert type(error) is UnknownStock
    assert vendor.requests == [("kline", "1.600001"), ("kline", "0.000001")]


@pytest.mark.parametrize(
    ("market", "code", "other"), [("CN", "000001", "1.600519"), ("HK", "00700", "116.00005")]
)
def test_probe_never_uses_the_stock_in_doubt(vendor, market, code, other):
    del vendor.listings[codes.security_ids(market, code)[0]]
    assert type(fetch_error(make_source(), code, market)) is UnknownStock
    assert vendor.requests[-1] == ("kline", other)


def test_throttling_is_not_taken_for_empty(vendor):
    source = make_source()
    vendor.failures = {"kline": "null"}
    assert fetch_error(source).code == "throttled"
    vendor.failures = {}
    assert len(fetch(source)) == len(MAY_SESSIONS)


def test_throttling_within_the_trusted_minute_is_not_empty(vendor):
    source = make_source()
    fetch_error(source, "600001")
    vendor.failures = {"kline": "null"}
    assert type(fetch_error(source, "600000")) is UnknownStock
    vendor.failures = {"kline": "relay"}
    assert fetch_error(source, "600000").code == "throttled"


def test_many_delisted_stocks_cost_few_probes(vendor):
    source = make_source()
    for number in range(TRUSTED_TIMES + 1):
        fetch_error(source, f"601{number:03}")
    assert vendor.count(key="0.000001") == 1
    fetch_error(source, "601999")
    assert vendor.count(key="0.000001") == 2


def test_probe_is_trusted_for_a_minute_and_some_stocks():
    seconds, probed = [0.0], []
    probe = ThrottleProbe("CN", lambda name: probed.append(name) or True, clock=lambda: seconds[0])
    for _ in range(TRUSTED_TIMES + 1):
        probe.require_answers("1.600001")
    assert len(probed) == 1
    probe.require_answers("1.600001")
    assert len(probed) == 2
    seconds[0] = TRUSTED_SECONDS
    probe.require_answers("1.600001")
    probe.require_answers("1.600001", fresh=True)
    assert len(probed) == 4


# Stock lists.


def test_chinese_list_covers_every_exchange(vendor):
    symbols = {symbol.code: symbol for symbol in make_source().symbols("CN")}
    assert set(symbols) == {"600000", "600519", "688001", "000001", "000002", "300750", "301999", "920002"}
    assert {symbol.exchange for symbol in symbols.values()} == {"SSE", "SZSE", "BSE"}
    assert symbols["688001"].listed_on == date(2019, 7, 22)
    assert symbols["000001"].listed_on == date(1991, 4, 3)
    assert symbols["920002"].listed_on == date(2024, 5, 30)
    assert symbols["000002"].name == "万科Ａ"


def test_new_listing_is_not_hidden_by_the_cache(vendor):
    source = make_source()
    source.symbols("CN")
    vendor.listings["1.603999"] = Security("1.603999", "读者传媒", date(2024, 6, 12))
    assert "603999" in {symbol.code for symbol in source.symbols("CN")}


@pytest.mark.parametrize(
    ("kind", "host", "mode"),
    [
        ("sse", "query.sse.com.cn", "ban"),
        ("szse", "www.szse.cn", "captcha"),
        ("bse", "www.bse.cn", "502"),
    ],
)
def test_failing_exchange_fails_the_list_by_name(vendor, kind, host, mode):
    vendor.failures = {kind: mode}
    with pytest.raises(Transient, match=rf"^{host} .*\.$"):
        make_source().symbols("CN")


def test_truncated_list_is_noticed_by_its_count(vendor):
    for market, kind in (("CN", "sse"), ("US", "clist")):
        vendor.failures = {kind: ["short"]}
        with pytest.raises(Transient, match="broke off") as caught:
            make_source().symbols(market)
        assert caught.value.code == "list_cut_short"


def test_empty_list_means_throttling(vendor):
    vendor.failures = {"clist": "null"}
    with pytest.raises(Transient) as caught:
        make_source().symbols("HK")
    assert (caught.value.code, caught.value.retry_after) == ("throttled", 300)


def test_refused_list_is_requested_once(vendor):
    vendor.failures = {"clist": "429"}
    with pytest.raises(Transient) as caught:
        make_source().symbols("HK")
    assert (caught.value.code, vendor.count()) == ("throttled", 1)


def test_missing_list_fields_are_named(vendor):
    vendor.failures = {"clist": "ten"}
    with pytest.raises(Permanent, match="lacks the fields f13, f14"):
        make_source().symbols("HK")


def test_us_list_has_pages_and_exchanges(vendor):
    exchanges = {symbol.code: symbol.exchange for symbol in make_source().symbols("US")}
    assert (exchanges["MSFT"], exchanges["IBM"], exchanges["SPY"]) == ("NASDAQ", "NYSE", "AMEX")
    assert len(exchanges) == 205
    assert vendor.count("clist") == 3


def test_pages_take_permits_whose_wait_is_no_time_of_the_call(vendor, monkeypatch):
    monkeypatch.setattr(http_calls, "time", clock := Clock())
    monkeypatch.setattr(stock_lists, "time", clock)
    with granting_permits(lambda cost: clock.sleep(3600)):
        assert len(make_source().symbols("US")) == 205
    assert (vendor.count("clist"), clock.elapsed) == (3, 2 * 3600)


def test_page_delay_fits_the_time_left():
    assert 0.5 <= stock_lists.page_delay(10, 0.2, 60.0) <= 1.5
    assert stock_lists.page_delay(57, 0.1, 27.0) == pytest.approx(27.0 / 57 - 0.1)
    with pytest.raises(Permanent, match="set COLLECTOR_FETCH_TIMEOUT to 1"):
        stock_lists.page_delay(130, 0.1, 27.0)


# A day of the whole market.


def test_today_is_offered_after_its_session():
    source = make_source(at=datetime.combine(LAST, datetime.min.time()).replace(hour=16))
    assert isinstance(source, DaySource)
    assert source.offers_day("CN", LAST)
    assert not source.offers_day("CN", date(2024, 6, 13))
    assert not source.offers_day("HK", LAST)
    early = make_source(at=datetime(2024, 6, 14, 14, 59))
    assert not early.offers_day("CN", LAST)
    with pytest.raises(Permanent) as caught:
        early.fetch_day("CN", LAST, "")
    assert caught.value.code == "day_not_offered"


def test_market_day_equals_the_stocks_one_by_one(vendor):
    source = make_source(at=datetime(2024, 6, 14, 16))
    bars = source.fetch_day("CN", LAST, "")
    assert set(bars) == {"600000", "600519", "688001", "000001", "000002", "301999", "920002"}
    assert vendor.requests == [("clist", vendor.requests[0][1])]
    for code, bar in bars.items():
        assert [bar] == fetch(source, code, span=(LAST, LAST))


def test_list_with_yesterdays_quotes_is_refused(vendor):
    monday = datetime(2024, 6, 17, 16)
    with pytest.raises(Transient) as caught:
        make_source(at=monday).fetch_day("CN", monday.date(), "")
    assert caught.value.code == "empty_answer"


# The registry.


def test_lazy_package_has_the_functions_of_the_whole_one():
    package = client.LazyPackage()
    whole = {name for name, value in vars(client.akshare).items() if isinstance(value, FunctionType)}
    assert len(whole & package._modules.keys()) > 1000
    assert whole <= package._modules.keys()
    assert package.stock_zh_a_hist is client.akshare.stock_zh_a_hist
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        package.no_such  # noqa: B018


def test_limits_and_timeout_come_from_the_settings():
    limits = registry.limits("akshare", Conf())
    assert (limits.rate, limits.daily) == (0.25, 10_000)
    assert (limits.in_flight, limits.most_workers, limits.time_zone) == (1, 1, "Asia/Shanghai")
    assert AkshareSource.from_conf(Conf(fetch_timeout=10.0))._timeout == 9.0
    assert isinstance(AkshareSource(), Source)


def test_akshare_is_the_default_for_chinese_stocks():
    assert registry.choose_source("CN", Conf()) == registry.choose_source("HK", Conf()) == "akshare"


# Through the whole engine.


@pytest.fixture
def engine(settings, vendor, monkeypatch):
    """Sets the settings for a run on the fake server without waits, and with a new source."""
    settings.COLLECTOR = replace(
        settings.COLLECTOR, no_throttle=True, backoff=0.0, max_attempts=2, adjustment_data=False
    )
    monkeypatch.setattr(handle, "IS_SUPPORTED", False)  # the client is in this process already
    registry.forget_sources()
    yield settings
    registry.forget_sources()


def collect(*codes, rounds=4, **order):
    """Collects from the fake server. Returns the task afterwards."""
    defaults = {"source": "akshare", "market": "CN", "start_date": MAY[0], "end_date": LAST}
    task = make_task(stock_codes=codes or None, **{**defaults, **order})
    for _ in range(rounds):
        work()
        task.refresh_from_db()
        if task.status != "running":
            break
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    return task


def stored_days(code, **filters):
    return list(DailyBar.objects.filter(symbol=code, **filters).order_by("day").values_list("day", flat=True))


@pytest.mark.django_db
def test_whole_market_is_collected(engine, vendor):
    task = collect()
    assert (task.status, task.total_stocks, task.failed_count, task.refused_count) == ("completed", 8, 0, 0)
    assert DailyBar.objects.filter(source="akshare").count() == task.collected_count > 150
    assert Stock.objects.get(code="301999").listed_on == date(2024, 6, 3)
    for bar in DailyBar.objects.all():
        assert bar.low <= bar.amount / bar.volume <= bar.high
    assert vendor.count("kline") == 8


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("market", "code"),
    [
        ("US", "IBM"),
        ("CN", "510300"),
        pytest.param("HK", "00700", marks=pytest.mark.soak),
        pytest.param("CN", "900901", marks=pytest.mark.soak),
    ],
)
def test_other_markets_and_funds_are_collected(engine, vendor, market, code):
    task = collect(code, market=market)
    assert (task.status, task.failed_count, task.refused_count) == ("completed", 0, 0)
    assert stored_days(code) == [day for day in sessions(market) if day >= MAY[0]]


@pytest.mark.django_db
def test_collecting_again_requests_nothing(engine, vendor):
    collect("600000")
    before, requests_made = list(DailyBar.objects.values()), vendor.count()
    again = collect("600000")
    assert (again.status, list(DailyBar.objects.values())) == ("completed", before)
    assert vendor.count() == requests_made


@pytest.mark.soak  # an answer without these days is the engine's own tests
@pytest.mark.django_db
def test_suspended_days_leave_no_bar(engine, vendor):
    task = collect("000002", end_date=MAY[1])
    assert (task.status, task.refused_count) == ("completed", 0)
    assert set(MAY_SESSIONS) - set(stored_days("000002")) == {date(2024, 5, 7), date(2024, 5, 8)}


@pytest.mark.django_db
def test_new_listing_begins_with_its_first_day(engine, vendor):
    task = collect("301999")
    assert (task.status, stored_days("301999")[0]) == ("completed", date(2024, 6, 3))


@pytest.mark.django_db
def test_delisted_stock_fails_and_the_rest_succeed(engine, vendor):
    task = collect("600001", "600000")
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)
    assert task.items.get(code="600001").error_code == "unknown_stock"


@pytest.mark.django_db
def test_dividend_rebases_the_whole_qfq_series(engine, vendor):
    collect("600000", adjust="qfq", end_date=MAY[1])
    old = dict(DailyBar.objects.values_list("day", "close"))
    vendor.listings["1.600000"].dividends[date(2024, 6, 6)] = 1.0
    task = collect("600000", adjust="qfq", rounds=6)
    new = dict(DailyBar.objects.values_list("day", "close"))
    assert (task.status, task.failed_count) == ("completed", 0)
    assert sorted(new) == [day for day in sessions("CN") if day >= MAY[0]]
    for day, close in old.items():
        assert new[day] == pytest.approx(close - 1.0, abs=0.011)
    assert Correction.objects.exists()


# Cut histories.

SINCE_2010 = (date(2010, 1, 1), LAST)
EVENING = datetime(2024, 6, 14, 20)


def test_answer_with_fewer_bars_than_the_vendor_counts_is_cut(vendor):
    vendor.failures = {"kline": "late"}
    error = fetch_error(make_source(at=EVENING), span=SINCE_2010)
    assert (type(error), error.code) == (Transient, "history_cut")
    assert f"20 of the {len(sessions('CN'))} bars" in str(error)
    assert vendor.count("kline") == 2, "the days before the first bar are requested once"


def test_whole_history_of_a_foreign_stock_is_counted(vendor):
    vendor.failures = {"kline": "late"}
    assert fetch_error(make_source(at=EVENING), "00700", "HK", span=MAY).code == "history_cut"
    assert vendor.count("kline") == 1


def test_stock_suspended_at_the_start_is_believed_after_one_more_request(vendor):
    closed = frozenset(day for day in sessions("CN") if day < date(2024, 4, 10))
    vendor.listings["0.000002"].suspended = closed - {sessions("CN")[n] for n in range(20)}
    answer = fetch(make_source(at=EVENING), "000002", span=(date(2024, 2, 5), LAST))
    assert answer[0].day == date(2024, 4, 10)
    assert answer.is_whole
    assert vendor.count("kline") == 2


def test_stock_listed_after_the_start_costs_no_further_request(vendor):
    answer = fetch(make_source(at=EVENING), "301999", span=SINCE_2010)
    assert (answer[0].day, answer.is_whole) == (date(2024, 6, 3), True)
    assert vendor.count("kline") == 1


@pytest.mark.parametrize(
    ("start", "total", "is_cut"),
    [(date(1990, 12, 1), 110, True), (date(1990, 12, 1), 105, False), (date(2010, 1, 1), 110, False)],
)
def test_bars_that_can_be_nowhere_else_are_missing(start, total, is_cut):
    history = History([frames.Bar(start, 10.0, 10.0, 10.0, 10.0, 100)], rows=100, total=total)
    request = Request("CN", "600000", start, LAST)
    if is_cut:
        with pytest.raises(Transient, match="at least 10 are missing"):
            require_all_bars(history, request, LAST, pytest.fail)
    else:
        assert require_all_bars(history, request, LAST, pytest.fail)


def test_vendor_that_does_not_count_confirms_nothing():
    history = History([frames.Bar(LAST, 10.0, 10.0, 10.0, 10.0, 100)], rows=1)
    assert not require_all_bars(history, Request("CN", "600000", *SINCE_2010), LAST, pytest.fail)


@pytest.mark.django_db
def test_factors_and_payments_come_with_the_bars(engine, vendor):
    engine.COLLECTOR = replace(engine.COLLECTOR, adjustment_data=True)
    vendor.listings["1.600000"].dividends[date(2024, 5, 16)] = 1.25
    task = collect("600000", "000001")
    assert (task.status, task.success_count, vendor.count("factors")) == ("completed", 2, 2)
    table = vendor.listings["1.600000"].factors()
    told = next(
        row for row in json.loads(table.split("=")[1].split("\n")[0])["data"] if row["d"] > "1900-01-01"
    )
    factor = AdjustmentFactor.objects.get()
    assert (factor.symbol, factor.ex_day, factor.hfq) == ("600000", date(2024, 5, 16), told["f"])
    stored = DailyBar.objects.filter(symbol="600000").order_by("day")
    basis = find_basis("CN", "600000", "hfq")
    rows = list(csv_export.on_basis(csv_export.bar_rows("CN", "600000", basis).order_by("day"), basis))
    assert len(rows) == len(stored) > 20
    for bar, row in zip(stored, rows, strict=True):  # AKShare's own series: the product, rounded to cents
        factor = float(told["f"]) if bar.day >= date(2024, 5, 16) else 1.0
        assert round(row["close"], 2) == pytest.approx(round(bar.close * factor, 2), abs=1e-9)
    action = CorporateAction.objects.get()
    assert (action.symbol, action.kind, action.cash, action.note) == (
        "600000",
        "dividend",
        "1.25",
        "10派12.5元",
    )
    assert (action.announced_on, action.record_day) == (date(2024, 3, 27), date(2024, 5, 15))


@pytest.mark.django_db
def test_refused_factors_leave_the_bars(engine, vendor):
    engine.COLLECTOR = replace(engine.COLLECTOR, adjustment_data=True)
    vendor.failures = {"factors": "404"}
    item = collect("600000").items.get()
    assert item.state == "succeeded"
    assert item.note.startswith("factors: finance.sina.com.cn refuses this request (HTTP 404)")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "code"),
    [("twelve", "columns_changed"), pytest.param("shares", "units_changed", marks=pytest.mark.soak)],
)
def test_changed_interface_fails_the_stock(engine, vendor, mode, code):
    vendor.failures = {"1.600000": mode}
    task = collect("600000", "000001")
    item = task.items.get(code="600000")
    assert (task.success_count, task.failed_count, item.error_code) == (1, 1, code)
    assert "changed" in item.error_message
    assert stored_days("600000") == []


@pytest.mark.django_db
def test_hanging_vendor_fails_the_stock_as_timeout(engine, vendor, clock, monkeypatch):
    engine.COLLECTOR = replace(engine.COLLECTOR, max_attempts=1)
    vendor.failures = {"1.600000": "hang"}
    timeouts = iter([0.1])  # of the first stock's request
    monkeypatch.setattr(http_calls, "limit_timeout", lambda timeout, left: next(timeouts, left))
    task = collect("600000", "000001")
    assert (task.success_count, task.failed_count) == (1, 1)
    assert task.items.get(code="600000").error_code == "timeout"


class OnFriday(AkshareSource):
    """The source after the close of the fake server's last day."""

    name = "friday"

    @classmethod
    def from_conf(cls, conf):
        friday = datetime(2024, 6, 14, 16, tzinfo=ZoneInfo("Asia/Shanghai"))
        return cls(conf.fetch_timeout, now=lambda market: friday, sleep=lambda seconds: None)


@pytest.mark.django_db
def test_whole_market_is_updated_by_list_pages(engine, vendor):
    path = f"{OnFriday.__module__}:OnFriday"
    engine.COLLECTOR = replace(engine.COLLECTOR, sources=(("friday", path),), by_day_from=5)
    task = collect(source="friday", start_date=LAST)
    assert (task.status, task.success_count, task.collected_count) == ("completed", 8, 7)
    assert (vendor.count("clist"), vendor.count("kline")) == (1, 0)


def run_slices(count):
    """Runs the next queued slices; while a source is paused there is always one more."""
    for _ in range(count):
        if job := OrmQ.objects.order_by("pk").first():
            job.delete()
            slice.run(*job.task["args"])


def make_throttled_task(engine, vendor, modes):
    """Returns a task with the rate limiter on, whose first requests fail in these modes."""
    engine.COLLECTOR = replace(
        engine.COLLECTOR, no_throttle=False, rates=(("akshare", 100.0),), max_attempts=3
    )
    vendor.failures = {"kline": modes}
    order = {"source": "akshare", "start_date": MAY[0], "end_date": LAST}
    return make_task(stock_codes=("600000", "000001", "600519"), **order)


@pytest.mark.django_db
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("modes", "requests_made", "reason"),
    [
        (["null", "null"], 2, "throttles"),
        (["ban"], 1, "bans"),
        pytest.param(["captcha"], 1, "captcha", marks=pytest.mark.soak),
        pytest.param(["429"], 1, "429", marks=pytest.mark.soak),
    ],
)
def test_refusing_vendor_is_paused_and_retried(engine, vendor, modes, requests_made, reason):
    task = make_throttled_task(engine, vendor, list(modes))
    engine.COLLECTOR = replace(engine.COLLECTOR, slice_seconds=2.0, breaker_pause=5.0)
    for _ in range(2):
        run_slices(1)
        watchdog.tick()
    gate = SourceGate.objects.get(source="akshare")
    assert (vendor.count(), gate.open_until is not None) == (requests_made, True)
    assert reason in gate.reason
    for _ in range(4):
        SourceGate.objects.update(open_until=Now(), next_at=None)
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        run_slices(3)
        task.refresh_from_db()
        if task.status != "running":
            break
        watchdog.tick()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 3, 0)
    assert all(stored_days(code) for code in ("600000", "000001", "600519"))


# Indices and ETFs.


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("000001.SH", "1.000001"),
        ("399001.SZ", "0.399001"),
        ("931151.CSI", "2.931151"),
        ("510300", "1.510300"),
    ],
)
def test_index_and_etf_are_fetched_in_one_request_by_lots(vendor, code, name):
    bars = fetch(make_source(), code)
    assert vendor.requests == [("kline", name)]
    lines = {line[0]: line for line in vendor.listings[name].klines("0")}
    assert [bar.volume for bar in bars] == [int(lines[f"{bar.day}"][5]) * 100 for bar in bars]
    assert len(bars) == len(MAY_SESSIONS)


def test_index_is_not_the_bank_of_the_same_digits(vendor):
    source = make_source()
    assert [bar.close for bar in fetch(source, "000001.SH")] != [bar.close for bar in fetch(source, "000001")]


def test_index_with_volumes_in_shares_is_refused(vendor):
    vendor.failures["1.000001"] = "shares"
    assert fetch_error(make_source(), "000001.SH").code == "units_changed"


def test_lists_of_kinds_are_read_from_the_pages(vendor):
    source = make_source()
    indices = [(symbol.code, symbol.kind) for symbol in source.symbols_of_kind("CN", "index")]
    assert sorted(indices) == [(c, "index") for c in ("000001.SH", "000300.SH", "399001.SZ", "931151.CSI")]
    etfs = [(symbol.code, symbol.exchange) for symbol in source.symbols_of_kind("CN", "etf")]
    assert sorted(etfs) == [("159915", "SZSE"), ("510300", "SSE")]
