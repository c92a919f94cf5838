"""AKShare's real client, unpatched, against a loopback Eastmoney: by itself, and through the whole engine."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("akshare", reason="akshare is not installed: pip install -r requirements-akshare.txt")

import pandas as pd
import requests
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app.conf import Conf
from tasks_app.engine import slice
from tasks_app.models import CollectionItem, Correction, DailyBar, SourceGate, Stock
from tasks_app.sources import registry
from tasks_app.sources.akshare import (
    calls,
    codes,
    frames,
    stock_lists,
)
from tasks_app.sources.akshare.source import AkshareSource, any_weekday
from tasks_app.sources.akshare.throttle_probe import TRUSTED_SECONDS, TRUSTED_TIMES, ThrottleProbe
from tasks_app.sources.base import DaySource, Permanent, Request, Source, SourceError, Transient, UnknownStock
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes.eastmoney_server import (
    LAST,
    Listing,
    serving,
    sessions,
)
from tools.in_process import work

ROOT = Path(__file__).parents[2]
MAY = (date(2024, 5, 6), date(2024, 5, 31))
MAY_SESSIONS = [day for day in sessions("CN") if MAY[0] <= day <= MAY[1]]


@pytest.fixture
def stand_in(monkeypatch):
    """Eastmoney and the exchanges, as this process and its children see them."""
    with serving() as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        yield world


def make_source(timeout=5.0, at=None):
    """A source that does not wait between pages, in our time or at a given moment in Shanghai."""
    clock = {"now": lambda market: at.replace(tzinfo=ZoneInfo("Asia/Shanghai"))} if at else {}
    return AkshareSource(timeout, sleep=lambda seconds: None, **clock)


def ask(source, code="600000", market="CN", span=MAY, adjust=""):
    return source.fetch(Request(market, code, *span, adjust))


def failure(source, code="600000", market="CN", **window):
    with pytest.raises(SourceError, match=r"\w.*\.$") as caught:
        ask(source, code, market, **window)
    return caught.value


# What is asked.


@pytest.mark.parametrize(
    ("code", "name"),
    [
        *((code, f"1.{code}") for code in ("600000", "688001", "510300", "900901")),
        *((code, f"0.{code}") for code in ("000001", "300750", "159915", "200011")),
        *((code, f"0.{code}") for code in ("920002", "430047", "830799")),
    ],
)
def test_a_chinese_code_is_asked_for_with_its_own_market_id(code, name):
    assert codes.security_ids("CN", code) == (name,)


@pytest.mark.parametrize("code", ["510300", "900901", "159915", "920002", "688001", "600000"])
def test_every_kind_of_code_brings_its_bars_in_one_request(stand_in, code):
    bars = ask(make_source(), code)
    listing = stand_in.listings[codes.security_ids("CN", code)[0]]
    assert [bar.day for bar in bars] == [day for day in MAY_SESSIONS if day >= listing.listed]
    assert stand_in.requests == [("kline", listing.name)]


@pytest.mark.parametrize(("market", "code"), [("CN", "sh600000"), ("CN", "６０００００"), ("CN", "999999")])
@pytest.mark.parametrize("source", [AkshareSource()])
def test_a_code_that_can_be_none_is_unknown_without_asking(stand_in, source, market, code):
    assert isinstance(failure(source, code, market), UnknownStock)
    assert stand_in.requests == []


@pytest.mark.parametrize("code", ["700", "0700A", "00"])
def test_a_hong_kong_code_has_five_digits(stand_in, code):
    assert isinstance(failure(make_source(), code, "HK"), UnknownStock)
    assert stand_in.requests == []


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("105.MSFT", ("105.MSFT",)),
        ("IBM", ("105.IBM", "106.IBM", "107.IBM")),
        ("BRK.B", ("105.BRK_B", "106.BRK_B", "107.BRK_B")),
    ],
)
def test_a_us_code_is_looked_for_on_each_exchange_unless_it_names_one(code, names):
    assert codes.security_ids("US", code) == names


def test_a_us_stock_is_looked_for_once_and_never_after_the_list_was_read(stand_in):
    source = make_source()
    assert ask(source, "IBM", "US") == ask(source, "IBM", "US") == ask(source, "106.IBM", "US")
    assert [name for _, name in stand_in.requests] == ["105.IBM", "106.IBM", "106.IBM", "106.IBM"]
    source.symbols("US")
    ask(source, "SPY", "US")
    assert stand_in.requests[-1] == ("kline", "107.SPY")
    assert stand_in.count(key="105.SPY") == 0


def test_weekends_and_days_to_come_are_known_empty_without_asking(stand_in):
    source = make_source(at=datetime(2024, 6, 14, 20))
    for span in [(date(2024, 6, 8), date(2024, 6, 9)), (date(2024, 6, 15), date(2024, 12, 31))]:
        assert ask(source, span=span) == ()
    assert stand_in.requests == []


def test_any_weekday_tells_weekends_from_other_spans():
    saturday = date(2024, 6, 8)
    assert not any_weekday(saturday, saturday)
    assert not any_weekday(saturday, date(2024, 6, 9))
    assert not any_weekday(saturday, date(2024, 6, 7))
    assert any_weekday(saturday, date(2024, 6, 10))
    assert any_weekday(date(2024, 6, 7), saturday)


@pytest.mark.parametrize(("market", "adjust"), [("XX", ""), ("CN", "xyz")])
def test_what_is_not_served_is_refused(stand_in, market, adjust):
    assert type(failure(make_source(), market=market, adjust=adjust)) is Permanent


# Units and columns.


def test_a_bar_has_shares_and_the_vendors_values(stand_in):
    bar = ask(make_source())[0]
    _, opened, close, high, low, lots, amount, swing, moved, change, turn = stand_in.listings[
        "1.600000"
    ].kline(MAY[0], date(2024, 4, 30), "0")
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
def test_amount_by_volume_lies_between_low_and_high(stand_in, market, code):
    for bar in ask(make_source(), code, market):
        assert bar.low <= bar.amount / bar.volume <= bar.high


@pytest.mark.parametrize("adjust", ["", "qfq", "hfq"])
def test_the_previous_close_of_an_ex_dividend_day_knows_the_dividend(stand_in, adjust):
    source, span = make_source(), (date(2024, 5, 20), LAST)
    bars = {bar.day: bar for bar in ask(source, "600519", span=span, adjust=adjust)}
    before, ex_day = bars[date(2024, 5, 31)], bars[date(2024, 6, 3)]
    cash = 2.5 if adjust == "" else 0.0
    assert ex_day.prev_close == pytest.approx(before.close - cash, abs=0.011)
    for one, other in pairwise(bar for bar in bars.values() if bar.day < date(2024, 6, 3)):
        assert other.prev_close == one.close


def frame(**changes):
    """A table as the client makes it."""
    row = dict(zip(frames.COLUMNS, ("2024-05-06", 1, 2, 1, 2, 5, 750.0, 1, 1, 1, 1), strict=True))
    return pd.DataFrame([{**row, **changes}])


def test_columns_are_read_by_name_whatever_their_order_and_one_more_does_no_harm():
    table = frame(股票代码="600000", 新列=1)
    assert frames.parse_bars(table, 100, True) == frames.parse_bars(table[sorted(table.columns)], 100, True)


def test_a_missing_column_is_named_with_those_that_came_instead():
    renamed = frame().rename(columns={"成交量": "量", "开盘": "今开"})
    with pytest.raises(
        Permanent, match="missing columns: 开盘, 成交量; unexpected columns: 今开, 量"
    ) as caught:
        frames.parse_bars(renamed, 100, True)
    assert caught.value.code == "columns_changed"


def test_what_the_vendor_leaves_out_is_none_and_a_bad_volume_is_left_for_the_engine_to_refuse():
    bar = frames.parse_bars(frame(成交额=float("nan"), 换手率="-", 涨跌额=None), 100, True)[0]
    assert (bar.amount, bar.turnover, bar.change, bar.prev_close) == (None, None, None, None)
    assert frames.parse_bars(frame(成交量="-"), 100, True)[0].volume == "-"


@pytest.mark.parametrize(
    "day", ["2024-05-06", date(2024, 5, 6), datetime(2024, 5, 6), pd.Timestamp("2024-05-06")]
)
def test_a_day_is_a_date_however_it_came(day):
    assert frames.parse_day(day) == date(2024, 5, 6)
    assert type(frames.parse_day(day)) is date


@pytest.mark.parametrize("day", ["-", "", None, pd.NaT, float("nan")])
def test_a_day_that_is_none_is_told(day):
    assert frames.parse_day(day) is None
    with pytest.raises(Permanent):
        frames.parse_bars(frame(日期=day), 100, True)


# Refusals, told apart.


@pytest.mark.parametrize(
    ("market", "code"), [("CN", "600000"), ("CN", "510300"), ("HK", "00700"), ("US", "105.AAPL")]
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
def test_a_refusal_is_told_for_what_it_is(stand_in, market, code, mode, meaning):
    stand_in.trouble = {"kline": mode}
    error = failure(make_source(), code, market)
    assert (type(error), error.code, error.retry_after) == meaning


def test_changed_fields_are_shown_as_they_came(stand_in):
    stand_in.trouble = {"kline": "twelve"}
    assert "12 instead of 11: 2024-05-06," in str(failure(make_source()))


def test_connections_closed_in_a_row_make_for_pauses_of_hours_and_an_answer_ends_the_row(stand_in):
    source = make_source()
    stand_in.trouble = {"kline": "ban"}
    assert [failure(source).retry_after for _ in range(4)] == [300, 3600, 18_000, 18_000]
    stand_in.trouble = {}
    ask(source)
    stand_in.trouble = {"kline": "ban"}
    assert failure(source).retry_after == 300


def test_an_address_where_nobody_answers_is_out_of_reach_and_no_ban(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    error = failure(make_source())
    assert (type(error), error.code) == (Transient, "source_busy")


# Time-outs.


@pytest.mark.parametrize(("market", "code"), [("CN", "600000"), ("HK", "00700"), ("US", "105.AAPL")])
def test_a_hung_request_ends_in_time_whatever_time_out_the_client_gives_it(stand_in, market, code):
    stand_in.trouble = {"kline": "hang"}
    began = time.monotonic()
    assert failure(make_source(0.5), code, market).code == "timeout"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(("market", "kind"), [("CN", "sse"), ("CN", "szse"), ("CN", "bse"), ("HK", "clist")])
def test_a_hung_list_ends_in_time(stand_in, market, kind):
    stand_in.trouble = {kind: "hang"}
    began = time.monotonic()
    with pytest.raises(Transient) as caught:
        make_source(1.0).symbols(market)
    assert caught.value.code == "timeout"
    assert time.monotonic() - began < 4


def test_a_probe_gets_no_more_time_than_is_left_of_its_stocks(stand_in):
    stand_in.trouble = {"1.600000": "null", "0.000001": "hang"}
    began = time.monotonic()
    assert failure(make_source(1.0)).code == "timeout"
    assert time.monotonic() - began < 2


def test_a_session_is_bounded_within_a_watch_only_and_notices_nothing_outside(stand_in):
    address = "https://82.push2.eastmoney.com/api/qt/clist/get?fs=m:0+t:6&pn=1&fields=f12"
    assert requests.get(address, timeout=9).json()["data"]["total"] > 0
    stand_in.trouble = {"clist": "hang"}
    with calls.call_scope(0.3) as scope, pytest.raises(requests.Timeout):
        requests.get(address)  # noqa: S113 - the watch has to bound it
    assert scope.responses == []
    with pytest.raises(requests.Timeout):
        requests.get(address, timeout=0.3)


@pytest.mark.parametrize(
    ("given", "left", "used"), [(None, 7.0, 7.0), (15, 7.0, 7.0), (3, 7.0, 3.0), ((3, 5), 7.0, 7.0)]
)
def test_a_time_out_is_the_clients_own_or_what_is_left(given, left, used):
    assert calls.limit_timeout(given, left) == used


def test_a_call_outside_of_a_watch_is_a_mistake():
    with pytest.raises(RuntimeError):
        calls.call(print)


def test_a_failure_of_the_client_that_nobody_foresaw_is_told_as_it_is():
    with calls.call_scope(1.0), pytest.raises(Permanent, match="ZeroDivisionError") as caught:
        calls.call(lambda: 1 / 0)
    assert caught.value.code == "source_raised"


def test_no_request_is_made_once_the_time_is_up():
    with calls.call_scope(0.0), pytest.raises(Transient) as caught:
        calls.call(pytest.fail)
    assert caught.value.code == "timeout"


# Empty, or throttled?


def test_a_suspended_stock_is_truly_empty_at_the_cost_of_one_request(stand_in):
    assert ask(make_source(), "300750", span=(date(2024, 6, 3), LAST)) == []
    assert stand_in.count() == 1


def test_a_stock_not_listed_yet_is_truly_empty_once_a_probe_has_proved_it(stand_in):
    source = make_source()
    for _ in range(2):
        assert ask(source, "301998") == []
    assert stand_in.requests == [("kline", "0.301998"), ("kline", "0.000001")] * 2


def test_a_delisted_stock_is_unknown_and_not_empty(stand_in):
    error = failure(make_source(), "600001")
    assert type(error) is UnknownStock
    assert stand_in.requests == [("kline", "1.600001"), ("kline", "0.000001")]


@pytest.mark.parametrize(
    ("market", "code", "other"), [("CN", "000001", "1.600519"), ("HK", "00700", "116.00005")]
)
def test_a_stock_that_is_the_probe_is_settled_by_another(stand_in, market, code, other):
    del stand_in.listings[codes.security_ids(market, code)[0]]
    assert type(failure(make_source(), code, market)) is UnknownStock
    assert stand_in.requests[-1] == ("kline", other)


def test_a_throttle_is_never_taken_for_emptiness_and_its_end_is_noticed(stand_in):
    source = make_source()
    stand_in.trouble = {"kline": "null"}
    assert failure(source).code == "throttled"
    stand_in.trouble = {}
    assert len(ask(source)) == len(MAY_SESSIONS)


def test_a_throttle_that_begins_within_a_trusted_minute_never_makes_an_empty_answer(stand_in):
    source = make_source()
    failure(source, "600001")
    stand_in.trouble = {"kline": "null"}
    assert type(failure(source, "600000")) is UnknownStock
    stand_in.trouble = {"kline": "relay"}
    assert failure(source, "600000").code == "throttled"


def test_many_delisted_stocks_cost_a_few_probes(stand_in):
    source = make_source()
    for number in range(60):
        failure(source, f"601{number:03}")
    assert stand_in.count() <= 60 * (1 + 1 / TRUSTED_TIMES) + 1


def test_a_probe_is_trusted_for_a_minute_and_a_number_of_stocks():
    seconds, asked = [0.0], []
    probe = ThrottleProbe("CN", lambda name: asked.append(name) or True, clock=lambda: seconds[0])
    for _ in range(TRUSTED_TIMES + 1):
        probe.require_answers("1.600001")
    assert len(asked) == 1
    probe.require_answers("1.600001")
    assert len(asked) == 2
    seconds[0] = TRUSTED_SECONDS
    probe.require_answers("1.600001")
    probe.require_answers("1.600001", fresh=True)
    assert len(asked) == 4


# Lists.


def test_the_chinese_list_has_every_exchange_with_names_and_days_of_listing(stand_in):
    found = {symbol.code: symbol for symbol in make_source().symbols("CN")}
    assert set(found) == {"600000", "600519", "688001", "000001", "000002", "300750", "301999", "920002"}
    assert {symbol.exchange for symbol in found.values()} == {"SSE", "SZSE", "BSE"}
    assert found["688001"].listed_on == date(2019, 7, 22)
    assert found["000001"].listed_on == date(1991, 4, 3)
    assert found["920002"].listed_on == date(2024, 5, 30)
    assert found["000002"].name == "万科Ａ"


def test_a_new_listing_is_seen_by_a_process_that_has_read_the_list_before(stand_in):
    source = make_source()
    source.symbols("CN")
    stand_in.listings["1.603999"] = Listing("1.603999", "读者传媒", date(2024, 6, 12))
    assert "603999" in {symbol.code for symbol in source.symbols("CN")}


@pytest.mark.parametrize(
    ("kind", "host"), [("sse", "query.sse.com.cn"), ("szse", "www.szse.cn"), ("bse", "www.bse.cn")]
)
@pytest.mark.parametrize("mode", ["ban", "captcha", "502"])
def test_one_exchange_that_fails_fails_the_list_by_its_name(stand_in, kind, host, mode):
    stand_in.trouble = {kind: mode}
    with pytest.raises(Transient, match=rf"^{host} .*\.$"):
        make_source().symbols("CN")


def test_a_list_that_broke_off_is_noticed_by_its_own_count(stand_in):
    for market, kind in (("CN", "sse"), ("US", "clist")):
        stand_in.trouble = {kind: ["short"]}
        with pytest.raises(Transient, match="broke off") as caught:
            make_source().symbols(market)
        assert caught.value.code == "list_cut_short"


def test_a_list_of_nothing_is_a_throttle(stand_in):
    stand_in.trouble = {"clist": "null"}
    with pytest.raises(Transient) as caught:
        make_source().symbols("HK")
    assert (caught.value.code, caught.value.retry_after) == ("throttled", 300)


def test_a_list_that_refuses_is_asked_once_and_not_three_times(stand_in):
    stand_in.trouble = {"clist": "429"}
    with pytest.raises(Transient) as caught:
        make_source().symbols("HK")
    assert (caught.value.code, stand_in.count()) == ("throttled", 1)


def test_a_list_without_a_field_names_it(stand_in):
    stand_in.trouble = {"clist": "ten"}
    with pytest.raises(Permanent, match="lacks the fields f13, f14"):
        make_source().symbols("HK")


def test_us_stocks_come_page_by_page_with_their_exchanges(stand_in):
    found = {symbol.code: symbol.exchange for symbol in make_source().symbols("US")}
    assert (found["MSFT"], found["IBM"], found["SPY"]) == ("NASDAQ", "NYSE", "AMEX")
    assert len(found) == 205
    assert stand_in.count("clist") == 3


def test_pages_are_read_at_the_clients_pace_or_as_fast_as_the_time_allows():
    assert 0.5 <= stock_lists.page_delay(10, 0.2, 60.0) <= 1.5
    assert stock_lists.page_delay(57, 0.1, 27.0) == pytest.approx(27.0 / 57 - 0.1)
    with pytest.raises(Permanent, match="set COLLECTOR_FETCH_TIMEOUT to 1"):
        stock_lists.page_delay(130, 0.1, 27.0)


# A day of the whole market.


def test_today_is_offered_by_day_once_its_session_is_over():
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


def test_a_day_of_the_market_is_the_same_as_its_stocks_one_by_one(stand_in):
    source = make_source(at=datetime(2024, 6, 14, 16))
    found = source.fetch_day("CN", LAST, "")
    assert set(found) == {"600000", "600519", "688001", "000001", "000002", "301999", "920002"}
    assert stand_in.requests == [("clist", stand_in.requests[0][1])]
    for code, bar in found.items():
        assert [bar] == ask(source, code, span=(LAST, LAST))


def test_a_list_that_still_has_yesterdays_quotes_is_no_answer(stand_in):
    monday = datetime(2024, 6, 17, 16)
    with pytest.raises(Transient) as caught:
        make_source(at=monday).fetch_day("CN", monday.date(), "")
    assert caught.value.code == "empty_answer"


# The registry.


def test_listing_the_sources_imports_neither_akshare_nor_pandas():
    check = "import sys; from tasks_app.conf import Conf; from tasks_app.sources import registry\n"
    check += "source = registry.get_source('akshare', Conf())\n"
    check += "print(sorted({'akshare', 'pandas', 'requests'} & set(sys.modules)), source.name)"
    told = subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True)
    assert told.stdout == "[] akshare\n"


def test_without_the_client_the_source_is_hidden_and_nothing_else():
    check = "import sys; sys.modules['akshare'] = None\n"
    check += "from tasks_app.conf import Conf; from tasks_app.sources import registry\n"
    check += "assert registry.hidden(Conf())['akshare'] == ''\n"
    check += "assert 'akshare' not in registry.available(Conf())\n"
    check += "assert 'sample' in registry.available(Conf())"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def test_it_is_kind_by_itself_and_made_from_the_settings():
    limits = registry.limits("akshare", Conf())
    assert (limits.rate, limits.daily) == (Conf.akshare_rate, Conf.akshare_daily)
    assert (limits.in_flight, limits.most_workers, limits.time_zone) == (1, 1, "Asia/Shanghai")
    assert AkshareSource.from_conf(Conf(fetch_timeout=10.0))._timeout == 9.0
    assert isinstance(AkshareSource(), Source)


def test_it_serves_chinese_stocks_where_no_source_is_named():
    assert registry.choose_source("CN", Conf()) == registry.choose_source("HK", Conf()) == "akshare"


# Through the whole engine.


@pytest.fixture
def engine(settings, stand_in):
    """The engine on the stand-in, without patience, and with a source that remembers nothing."""
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=True, backoff=0.0, max_attempts=2)
    registry.get_source.cache_clear()
    yield settings
    registry.get_source.cache_clear()


def collect(*codes, rounds=4, **order):
    """Collect from the stand-in; the task afterwards."""
    given = {"source": "akshare", "market": "CN", "start_date": MAY[0], "end_date": LAST}
    task = make_task(stock_codes=codes or None, **{**given, **order})
    for _ in range(rounds):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    task.refresh_from_db()
    return task


def days(code, **of):
    return list(DailyBar.objects.filter(symbol=code, **of).order_by("day").values_list("day", flat=True))


@pytest.mark.django_db
def test_a_whole_market_is_collected_with_names_dates_and_shares(engine, stand_in):
    task = collect()
    assert (task.status, task.total_stocks, task.failed_count, task.refused_count) == ("completed", 8, 0, 0)
    assert DailyBar.objects.filter(source="akshare").count() == task.collected_count > 150
    assert Stock.objects.get(code="301999").listed_on == date(2024, 6, 3)
    for bar in DailyBar.objects.all():
        assert bar.low <= bar.amount / bar.volume <= bar.high
    assert stand_in.count("kline") == 8


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("market", "code"), [("HK", "00700"), ("US", "IBM"), ("CN", "510300"), ("CN", "900901")]
)
def test_other_markets_funds_and_b_shares_are_collected(engine, stand_in, market, code):
    task = collect(code, market=market)
    assert (task.status, task.failed_count, task.refused_count) == ("completed", 0, 0)
    assert days(code) == [day for day in sessions(market) if day >= MAY[0]]


@pytest.mark.django_db
def test_collecting_again_asks_nothing_and_changes_nothing(engine, stand_in):
    collect("600000")
    before, asked = list(DailyBar.objects.values()), stand_in.count()
    again = collect("600000")
    assert (again.status, list(DailyBar.objects.values())) == ("completed", before)
    assert stand_in.count() == asked


@pytest.mark.django_db
def test_suspended_days_leave_no_bar(engine, stand_in):
    task = collect("000002", end_date=MAY[1])
    assert (task.status, task.refused_count) == ("completed", 0)
    assert set(MAY_SESSIONS) - set(days("000002")) == {date(2024, 5, 7), date(2024, 5, 8)}


@pytest.mark.django_db
def test_a_new_listing_begins_with_its_first_day(engine, stand_in):
    task = collect("301999")
    assert (task.status, days("301999")[0]) == ("completed", date(2024, 6, 3))


@pytest.mark.django_db
def test_a_delisted_stock_fails_by_name_and_the_rest_goes_on(engine, stand_in):
    task = collect("600001", "600000")
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)
    assert task.items.get(code="600001").error_code == "unknown_stock"


@pytest.mark.django_db
def test_a_dividend_moves_a_forward_adjusted_series_as_a_whole(engine, stand_in):
    collect("600000", adjust="qfq", end_date=MAY[1])
    old = dict(DailyBar.objects.values_list("day", "close"))
    stand_in.listings["1.600000"].dividends[date(2024, 6, 6)] = 1.0
    task = collect("600000", adjust="qfq", rounds=6)
    new = dict(DailyBar.objects.values_list("day", "close"))
    assert (task.status, task.failed_count) == ("completed", 0)
    assert sorted(new) == [day for day in sessions("CN") if day >= MAY[0]]
    for day, close in old.items():
        assert new[day] == pytest.approx(close - 1.0, abs=0.011)
    assert Correction.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("mode", "code"), [("twelve", "columns_changed"), ("shares", "units_changed")])
def test_a_changed_interface_fails_its_stock_with_a_sentence_and_stores_nothing(engine, stand_in, mode, code):
    stand_in.trouble = {"1.600000": mode}
    task = collect("600000", "000001")
    item = task.items.get(code="600000")
    assert (task.success_count, task.failed_count, item.error_code) == (1, 1, code)
    assert "changed" in item.error_message
    assert days("600000") == []


@pytest.mark.django_db
def test_a_hanging_vendor_fails_its_stock_as_timeout_without_losing_the_worker(engine, stand_in):
    engine.COLLECTOR = replace(engine.COLLECTOR, fetch_timeout=1.0, max_attempts=1)
    stand_in.trouble = {"1.600000": "hang"}
    task = collect("600000", "000001")
    assert (task.success_count, task.failed_count) == (1, 1)
    assert task.items.get(code="600000").error_code == "timeout"


class OnFriday(AkshareSource):
    """The source after the close of the stand-in's last day."""

    name = "friday"

    @classmethod
    def from_conf(cls, conf):
        friday = datetime(2024, 6, 14, 16, tzinfo=ZoneInfo("Asia/Shanghai"))
        return cls(conf.fetch_timeout, now=lambda market: friday, sleep=lambda seconds: None)


@pytest.mark.django_db
def test_a_whole_market_is_brought_up_to_date_by_one_page_for_a_hundred_stocks(engine, stand_in):
    path = f"{OnFriday.__module__}:OnFriday"
    engine.COLLECTOR = replace(engine.COLLECTOR, sources=(("friday", path),), by_day_from=5)
    task = collect(source="friday", start_date=LAST)
    assert (task.status, task.success_count, task.collected_count) == ("completed", 8, 7)
    assert (stand_in.count("clist"), stand_in.count("kline")) == (1, 0)


def slices(count):
    """Run the next queued slices: with a shut source there is always one more."""
    for _ in range(count):
        if job := OrmQ.objects.order_by("pk").first():
            job.delete()
            slice.run(*job.task["args"])


def refused_at_first(engine, stand_in, modes):
    """A run behind a real gate, in which the first requests meet trouble."""
    engine.COLLECTOR = replace(engine.COLLECTOR, no_throttle=False, akshare_rate=100.0, max_attempts=3)
    stand_in.trouble = {"kline": modes}
    order = {"source": "akshare", "start_date": MAY[0], "end_date": LAST}
    return make_task(stock_codes=("600000", "000001", "600519"), **order)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("modes", "requests_made", "reason"),
    [
        (["null", "null"], 2, "throttles"),
        (["ban"], 1, "bans"),
        (["captcha"], 1, "captcha"),
        (["429"], 1, "429"),
    ],
)
def test_a_vendor_that_refuses_is_left_alone_and_asked_again_later(
    engine, stand_in, modes, requests_made, reason
):
    task = refused_at_first(engine, stand_in, list(modes))
    engine.COLLECTOR = replace(engine.COLLECTOR, slice_seconds=0.3, breaker_pause=5.0)
    for _ in range(2):
        slices(1)
        watchdog.tick()
    gate = SourceGate.objects.get(source="akshare")
    assert (stand_in.count(), gate.open_until is not None) == (requests_made, True)
    assert reason in gate.reason
    for _ in range(4):
        SourceGate.objects.update(open_until=Now(), next_at=None)
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        slices(3)
        watchdog.tick()
    task.refresh_from_db()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 3, 0)
    assert all(days(code) for code in ("600000", "000001", "600519"))
