"""BaoStock's real client against a loopback stand-in: by itself, and through the whole engine."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from django.db.models.functions import Now

from tasks_app.conf import Conf
from tasks_app.models import CollectionItem, DailyBar, SourceGate, Stock
from tasks_app.sources import registry
from tasks_app.sources.baostock.source import BaostockSource, vendor_code, vendor_error
from tasks_app.sources.base import DaySource, Permanent, Request, SourceError, Transient, UnknownStock
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes.baostock_server import (
    LISTINGS,
    PAGE,
    Listing,
    serving,
)
from tools.in_process import work

ROOT = Path(__file__).parents[2]
KLINES, BASIC, DAY = "query_history_k_data_plus", "query_stock_basic", "query_daily_history_k_AStock"
FRIDAY = date(2024, 6, 14)


@pytest.fixture(scope="module")
def server():
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(server):
    server.reset()
    yield server
    server.reset()


@pytest.fixture(scope="module")
def source(server):
    with closing(BaostockSource(server.address, timeout=30)) as made:
        yield made


def ask(source, code="600000", start=date(2024, 6, 3), end=FRIDAY, *, adjust="", market="CN"):
    return source.fetch(Request(market, code, start, end, adjust))


def failure(source, code="600000", **window):
    with pytest.raises(SourceError) as caught:
        ask(source, code, **window)
    return caught.value


def warm(source):
    """The source with its child at work: starting it takes a busy machine longer than some time-outs."""
    for _ in range(20):
        try:
            ask(source)
            return source
        except Transient:
            continue
    raise AssertionError("the child never started")


def is_there(pid):
    """Whether there is such a process, a zombie included."""
    return Path(f"/proc/{pid}").exists()


def until(condition, seconds=20.0):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


# What is asked, and what is made of the answer.


@pytest.mark.parametrize(
    ("code", "vendors"),
    [
        *(("600000", "sh.600000"), ("688981", "sh.688981"), ("000001", "sz.000001"), ("300750", "sz.300750")),
        *(("920002", "bj.920002"), ("830799", "bj.830799"), ("900901", "sh.900901"), ("510300", "sh.510300")),
    ],
)
def test_a_plain_code_is_given_its_exchange(code, vendors):
    assert vendor_code(code) == vendors


@pytest.mark.parametrize("code", ["", "NOSUCH", "999999", "60000", "sh.600000", "６０００００", "6000000"])
def test_what_is_no_chinese_code_is_unknown_without_asking(source, stand_in, code):
    assert isinstance(failure(source, code), UnknownStock)
    assert stand_in.requests == []


def test_a_bar_has_our_units_and_nothing_made_up(source, stand_in):
    bar = ask(source, start=FRIDAY)[0]
    sent = stand_in.listings["sh.600000"].row(FRIDAY, "3")
    assert bar.day == FRIDAY
    assert (bar.open, bar.high, bar.low, bar.close) == tuple(
        float(sent[name]) for name in ("open", "high", "low", "close")
    )
    assert (bar.volume, bar.amount) == (int(sent["volume"]), float(sent["amount"]))
    assert bar.low <= bar.amount / bar.volume <= bar.high
    assert (bar.turnover, bar.change_pct) == (float(sent["turn"]), float(sent["pctChg"]))
    assert bar.prev_close == float(sent["preclose"])
    assert (bar.amplitude, bar.change) == (None, None)


@pytest.mark.parametrize(("adjust", "flag"), [("", "3"), ("qfq", "2"), ("hfq", "1")])
def test_the_adjustment_is_asked_for_by_its_flag(source, stand_in, adjust, flag):
    ask(source, adjust=adjust)
    assert stand_in.requests[-1][-1] == flag


def test_a_dividend_moves_the_days_before_it_under_qfq_and_those_after_it_under_hfq(source, stand_in):
    window = {"start": date(2024, 4, 24), "end": date(2024, 4, 25)}
    (before, after), (q_before, q_after), (h_before, h_after) = (
        ask(source, "300750", adjust=adjust, **window) for adjust in ("", "qfq", "hfq")
    )
    assert q_after[1:5] == after[1:5]
    assert q_before.close == pytest.approx(before.close / 1.8, abs=1e-3)
    assert q_after.prev_close == pytest.approx(q_before.close, abs=1e-3)
    assert h_before[1:5] == before[1:5]
    assert h_after.close == pytest.approx(after.close * 1.8, abs=1e-3)
    assert after.prev_close == pytest.approx(before.close / 1.8, abs=1e-3)


def test_suspended_days_are_left_out(source, stand_in):
    days = [bar.day.isoformat() for bar in ask(source, "000001", date(2024, 3, 4), date(2024, 3, 8))]
    assert days == ["2024-03-04", "2024-03-07", "2024-03-08"]


def test_a_long_history_comes_in_pages_and_every_day_once(source, stand_in):
    bars = ask(source, "600519", date(1990, 1, 1))
    days = [bar.day for bar in bars]
    assert days == sorted(set(days)) == list(stand_in.listings["sh.600519"].days())
    assert stand_in.count(KLINES) == len(bars) // PAGE + 1 == 3


def test_a_history_of_exactly_a_page_is_whole(source, stand_in):
    days = list(stand_in.listings["sh.600519"].days())
    bars = ask(source, "600519", days[0], days[PAGE - 1])
    assert (len(bars), stand_in.count(KLINES)) == (PAGE, 2)


def test_an_answer_of_which_a_page_is_lost_is_never_taken_for_the_whole(source, stand_in):
    stand_in.trouble = {KLINES: "cut"}
    error = failure(source, "600519", start=date(1990, 1, 1))
    assert isinstance(error, Transient)
    assert "page" in str(error)


def test_the_list_holds_stocks_only_with_their_dates_and_exchanges(source, stand_in):
    found = {symbol.code: symbol for symbol in source.symbols("CN")}
    assert len(found) == len([listing for listing in LISTINGS if listing.kind == "1"])
    assert found["000001"].name == "平安银行"
    assert found["600001"].delisted_on == date(2022, 6, 30)
    assert (found["920002"].exchange, found["920002"].listed_on) == ("BSE", date(2024, 5, 30))


def test_a_list_is_read_page_by_page(source, stand_in):
    stand_in.listings = {code: Listing(code, "x") for code in (f"sh.6{n:05}" for n in range(PAGE + 5))}
    try:
        assert len(source.symbols("CN")) == PAGE + 5
    finally:
        stand_in.listings = {listing.code: listing for listing in LISTINGS}


def test_a_day_of_the_whole_market_is_one_request(source, stand_in):
    assert isinstance(source, DaySource)
    warm(source)
    stand_in.reset()
    bars = source.fetch_day("CN", date(2024, 3, 5), "")
    assert [request[0] for request in stand_in.requests] == [DAY]
    assert set(bars) == {"600000", "300750", "600519"}  # neither suspended, delisted, new nor an index
    assert bars["600000"] == ask(source, start=date(2024, 3, 5), end=date(2024, 3, 5))[0]


def test_a_day_of_exactly_a_page_of_stocks_does_not_trip_the_client(source, stand_in):
    stand_in.listings = {code: Listing(code, "x") for code in (f"sh.6{n:05}" for n in range(PAGE))}
    try:
        assert len(source.fetch_day("CN", FRIDAY, "")) == PAGE
    finally:
        stand_in.listings = {listing.code: listing for listing in LISTINGS}


def test_a_whole_day_is_offered_unadjusted_only(source):
    with pytest.raises(Permanent) as caught:
        source.fetch_day("CN", FRIDAY, "qfq")
    assert caught.value.code == "day_not_offered"
    assert source.day_adjusts == ("",)


@pytest.mark.parametrize("market", ["HK", "US", "XX"])
def test_other_markets_are_refused(source, market):
    for question in (lambda: source.symbols(market), lambda: source.fetch_day(market, FRIDAY, "")):
        with pytest.raises(Permanent):
            question()
    assert isinstance(failure(source, market=market), Permanent)


# Empty is not "no data".


def test_an_empty_answer_while_the_stock_was_listed_is_not_believed(source, stand_in):
    stand_in.trouble = {KLINES: "empty"}
    error = failure(source, "600000", start=date(2024, 1, 1))
    assert (type(error), error.code) == (Transient, "empty_answer")


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [
        ("600001", date(2023, 1, 1), FRIDAY),  # delisted in 2022
        ("301999", date(2020, 1, 1), date(2024, 5, 31)),  # listed in June 2024
        ("600000", date(2100, 1, 1), date(2100, 12, 31)),
    ],
)
def test_an_empty_answer_outside_the_listing_is_true(source, stand_in, code, start, end):
    assert ask(source, code, start, end) == []


def test_an_empty_answer_for_a_few_days_is_true_and_costs_no_further_request(source, stand_in):
    assert ask(source, start=date(2024, 6, 8), end=date(2024, 6, 9)) == []
    assert stand_in.count(BASIC) == 0


def test_a_code_that_was_never_given_out_is_unknown(source, stand_in):
    error = failure(source, "609999", start=date(2020, 1, 1))
    assert error.code == "unknown_stock"


# What goes wrong.


@pytest.mark.parametrize(
    ("vendors", "kind", "code"),
    [
        ("10001002", Permanent, "login_refused"),
        ("10001004", Permanent, "client_outdated"),
        ("10001005", Transient, "throttled"),
        ("10001011", Transient, "blacklisted"),
        ("10002003", Transient, "source_busy"),
        ("10004006", Permanent, "source_refused"),
        ("10004011", UnknownStock, "unknown_stock"),
        ("10004012", Permanent, "columns_changed"),
        ("10004019", Permanent, "source_refused"),
        ("10005001", Transient, "source_busy"),
        ("77777777", Transient, "source_busy"),
    ],
)
def test_the_vendors_error_codes_are_told_apart(source, stand_in, vendors, kind, code):
    stand_in.trouble = {"sh.600000": vendors}
    error = failure(source)
    assert (type(error), error.code) == (kind, code)
    assert vendors in str(error)


def test_a_blacklisted_address_stays_away_for_hours(server, stand_in):
    stand_in.trouble = {"login": "10001011"}
    with closing(BaostockSource(server.address, timeout=30)) as source:
        error = failure(source)
    assert error.code == "blacklisted"
    assert error.retry_after >= 3600
    assert "黑名单用户" in str(error)
    assert [request[0] for request in stand_in.requests] == ["login"]
    assert vendor_error("10001011", "").retry_after >= 3600


def test_a_server_that_forgot_us_is_told_again(source, stand_in):
    warm(source)
    stand_in.reset()
    stand_in.trouble = {"sh.600000": ["10001001"]}
    assert len(ask(source)) == 10
    assert [request[0] for request in stand_in.requests] == [KLINES, "login", KLINES]


def test_a_line_that_was_closed_while_idle_is_opened_again(source, stand_in):
    warm(source)
    child = source._client.pid
    stand_in.hang_up()
    until(lambda: not stand_in.open)
    assert len(ask(source)) == 10
    assert source._client.pid == child


def test_columns_that_changed_are_named(source, stand_in):
    stand_in.trouble = {KLINES: "renamed", BASIC: "renamed", DAY: "renamed"}
    error = failure(source)
    assert (type(error), error.code) == (Permanent, "columns_changed")
    assert "volume missing" in str(error)
    with pytest.raises(Permanent, match="ipoDate missing"):
        source.symbols("CN")
    with pytest.raises(Permanent, match="volume missing"):
        source.fetch_day("CN", FRIDAY, "")


@pytest.mark.parametrize("mode", ["reset", "nonsense"])
def test_a_broken_answer_is_passing(source, stand_in, mode):
    stand_in.trouble = {KLINES: [mode]}
    assert isinstance(failure(source), Transient)
    assert len(ask(source)) == 10


@pytest.mark.parametrize("mode", ["close", "gone"])
def test_a_server_that_closes_in_mid_answer_does_not_leave_a_spinning_client(source, stand_in, mode):
    child = warm(source)._client.pid
    stand_in.trouble = {KLINES: [mode]}
    began = time.monotonic()
    error = failure(source)
    assert (type(error), error.code) == (Transient, "connection_closed")
    assert time.monotonic() - began < 15  # not the 30 s of the time-out
    assert not is_there(child)
    assert len(ask(source)) == 10


def test_a_server_that_hangs_is_given_up_in_time_and_its_client_killed(server, stand_in):
    with closing(warm(BaostockSource(server.address, timeout=3))) as source:
        child = source._client.pid
        stand_in.trouble = {KLINES: "hang"}
        began = time.monotonic()
        error = failure(source)
        assert (type(error), error.code) == (Transient, "timeout")
        assert 2.9 < time.monotonic() - began < 10
        assert not is_there(child)
        stand_in.reset()
        assert len(ask(warm(source))) == 10


def test_a_server_that_is_not_there_is_passing():
    with closing(BaostockSource("127.0.0.1:1", timeout=30)) as source:
        error = failure(source)
    assert isinstance(error, Transient)
    assert "服务器连接失败" in str(error)  # the client prints it and tells nobody


# The child process.


def test_threads_share_one_child_and_one_connection(server, stand_in):
    stand_in.most_open = len(stand_in.open)
    before = stand_in.most_open
    with closing(BaostockSource(server.address, timeout=60)) as source, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(source), range(24)))
    assert all(bars == answers[0] for bars in answers)
    assert stand_in.most_open <= before + 1
    assert (source.in_flight, source.most_workers) == (1, 1)


def test_requests_keep_their_distance_pages_and_log_in_included(server, stand_in):
    with closing(BaostockSource(server.address, timeout=60, pause=0.2)) as source:
        ask(source, "600519", date(1990, 1, 1))
        ask(source)
    gaps = [later - earlier for earlier, later in zip(stand_in.times, stand_in.times[1:], strict=False)]
    assert len(gaps) == 4
    assert min(gaps) > 0.15  # of 0.2: the stand-in looks at its clock when it gets to it


def test_closing_leaves_no_process(server, stand_in):
    source = warm(BaostockSource(server.address, timeout=30))
    child = source._client.pid
    source.close()
    assert not is_there(child)


def test_a_forked_process_leaves_its_parents_child_alone(source, stand_in):
    child = warm(source)._client.pid
    if not (fork := os.fork()):
        os._exit(0 if source._client.pid is None else 1)
    assert os.waitpid(fork, 0)[1] == 0
    assert len(ask(source)) == 10
    assert source._client.pid == child


WORKER = """
import sys, time
from datetime import date
from tasks_app.sources.base import Request
from tasks_app.sources.baostock.source import BaostockSource
source = BaostockSource(sys.argv[1], timeout=60)
def ask(code):
    return source.fetch(Request("CN", code, date(2024, 6, 3), date(2024, 6, 14)))
ask("600000")
print(source._client.pid, flush=True)
ask(sys.argv[2])
time.sleep(60)
"""


@pytest.mark.parametrize("code", ["600000", "000001"])
def test_a_killed_worker_leaves_no_orphan_be_it_idle_or_in_mid_request(server, stand_in, code):
    stand_in.trouble = {"sz.000001": "hang"}
    command = [sys.executable, "-c", WORKER, server.address, code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        child = int(worker.stdout.readline())
        until(lambda: stand_in.count(KLINES) == 2)
        worker.send_signal(signal.SIGKILL)
    until(lambda: not is_there(child) or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text())


def test_what_the_client_prints_does_not_reach_our_output(server, stand_in, capfd):
    with closing(BaostockSource(server.address, timeout=30)) as source:
        ask(source)
    assert capfd.readouterr() == ("", "")


def test_a_process_that_only_lists_the_sources_carries_neither_pandas_nor_django():
    check = "import sys, tasks_app.sources.baostock; "
    check += "sys.exit(bool({'pandas', 'django', 'baostock'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def test_without_the_client_the_source_is_hidden_and_nothing_else():
    check = "import sys; sys.modules['baostock'] = None\n"
    check += "from tasks_app.conf import Conf; from tasks_app.sources import registry\n"
    check += "assert registry.hidden(Conf())['baostock'] == ''\n"
    check += "assert 'baostock' not in registry.available(Conf())\n"
    check += "assert 'sample' in registry.available(Conf())"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def test_it_is_made_from_the_settings():
    conf = Conf(fetch_timeout=10.0, baostock_rate=4.0, baostock_address="127.0.0.1:1")
    made = BaostockSource.from_conf(conf)
    assert (made._client._address, made._client._timeout, made._pause) == ("127.0.0.1:1", 8.0, 0.25)
    assert BaostockSource.from_conf(replace(conf, no_throttle=True))._pause == 0
    assert registry.limits("baostock", conf).rate == 4.0


# Through the engine.


@pytest.fixture
def engine(settings, stand_in):
    """The engine on the stand-in, without patience."""
    settings.COLLECTOR = replace(
        settings.COLLECTOR, baostock_address=stand_in.address, no_throttle=True, backoff=0.0, max_attempts=2
    )
    yield settings
    registry.get_source("baostock", settings.COLLECTOR).close()


def collect(*codes, **order):
    """Collect from the stand-in; the task afterwards."""
    given = {"source": "baostock", "market": "CN", "start_date": date(2024, 6, 3), "end_date": FRIDAY}
    task = make_task(stock_codes=codes or None, **{**given, **order})
    for _ in range(5):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    task.refresh_from_db()
    return task


@pytest.mark.django_db
def test_a_whole_market_is_collected_with_names_dates_and_shares(engine, stand_in):
    task = collect()
    assert (task.status, task.total_stocks, task.failed_count) == ("completed", 7, 0)
    assert DailyBar.objects.filter(source="baostock").count() == task.collected_count == 60
    assert Stock.objects.get(code="600001").delisted_on == date(2022, 6, 30)
    bar = DailyBar.objects.get(symbol="600000", day=FRIDAY)
    assert bar.low <= bar.amount / bar.volume <= bar.high


@pytest.mark.django_db
def test_suspended_days_leave_no_bar(engine, stand_in):
    task = collect("000001", start_date=date(2024, 3, 4), end_date=date(2024, 3, 8))
    assert (task.status, task.collected_count, task.refused_count) == ("completed", 3, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "start", "bars"), [("600001", date(2023, 1, 1), 0), ("301999", date(2024, 1, 1), 10)]
)
def test_delisted_and_new_stocks_succeed_with_the_bars_there_are(engine, stand_in, code, start, bars):
    task = collect(code, start_date=start)
    assert (task.status, task.failed_count, task.collected_count) == ("completed", 0, bars)


@pytest.mark.django_db
def test_a_dividend_reloads_nothing_twice_and_keeps_qfq_apart(engine, stand_in):
    for adjust in ("", "qfq"):
        collect("300750", start_date=date(2024, 4, 1), end_date=date(2024, 5, 31), adjust=adjust)
    closes = dict(DailyBar.objects.filter(day=date(2024, 4, 24)).values_list("adjust", "close"))
    assert closes["qfq"] == pytest.approx(closes[""] / 1.8, abs=1e-3)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "code"),
    [("renamed", "columns_changed"), ("close", "connection_closed"), ("10001004", "client_outdated")],
)
def test_one_stock_in_trouble_does_not_stop_the_rest(engine, stand_in, mode, code):
    stand_in.trouble = {"sz.000001": mode}
    task = collect("600000", "000001", "600519")
    assert (task.status, task.success_count, task.failed_count) == ("completed", 2, 1)
    assert task.items.get(code="000001").error_code == code


@pytest.mark.django_db
def test_a_hanging_server_fails_its_stock_as_timeout(engine, stand_in):
    engine.COLLECTOR = replace(engine.COLLECTOR, fetch_timeout=5.0, max_attempts=1)
    warm(registry.get_source("baostock", engine.COLLECTOR))
    stand_in.trouble = {"sz.000001": "hang"}
    task = collect("000001", "600000")
    assert (task.success_count, task.failed_count) == (1, 1)
    assert task.items.get(code="000001").error_code == "timeout"


@pytest.mark.django_db
def test_a_blacklisted_address_is_a_reason_to_wait_and_not_to_hammer(engine, stand_in):
    engine.COLLECTOR = replace(
        engine.COLLECTOR, no_throttle=False, baostock_rate=50.0, slice_seconds=0.3, fetch_timeout=60.0
    )
    stand_in.trouble = {KLINES: "10001011"}
    codes = ("600000", "000001", "300750")
    task = make_task(source="baostock", stock_codes=codes, start_date=date(2024, 6, 3), end_date=FRIDAY)
    with pytest.raises(AssertionError, match="never end"):
        work(4)
    task.refresh_from_db()
    assert (task.status, task.failed_count) == ("running", 0)
    assert stand_in.count(KLINES) == 1
    gate = SourceGate.objects.get(source="baostock")
    assert gate.open_until is not None
    assert "黑名单用户" in gate.reason


@pytest.mark.django_db
def test_a_market_is_brought_up_to_date_by_a_request_per_day(engine, stand_in):
    stand_in.listings = {code: Listing(code, "x") for code in (f"sh.6{n:05}" for n in range(60))}
    try:
        collect(start_date=date(2024, 6, 3), end_date=date(2024, 6, 13))
        stand_in.requests.clear()
        task = collect(start_date=date(2024, 6, 3))
    finally:
        stand_in.listings = {listing.code: listing for listing in LISTINGS}
    assert (task.status, task.collected_count) == ("completed", 60)
    assert (stand_in.count(DAY), stand_in.count(KLINES)) == (1, 0)
