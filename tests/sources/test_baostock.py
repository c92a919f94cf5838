"""BaoStock's real client against a fake server: by itself, and through the whole engine."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models.functions import Now

from tasks_app import reasons
from tasks_app.conf import Conf
from tasks_app.models import (
    AdjustmentFactor,
    AdjustmentTable,
    CollectionItem,
    DailyBar,
    SourceGate,
    Stock,
    StockList,
)
from tasks_app.queue import dispatch
from tasks_app.queue.dispatch import ClusterStatus
from tasks_app.quotes import csv_export
from tasks_app.quotes.adjusted_prices import find_basis
from tasks_app.sources import registry
from tasks_app.sources.baostock.source import BaostockSource, vendor_code, vendor_error
from tasks_app.sources.base import (
    CorporateAction,
    DaySource,
    Permanent,
    Request,
    SourceError,
    Transient,
    UnknownStock,
)
from tasks_app.sources.permits import granting_permits
from tasks_app.sources.shared_process import handle
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes.baostock_server import LISTINGS, PAGE, ListedStock, run_server
from tests.fakes.clock import Clock
from tools.in_process import work
from tools.worker_machine import eventually

pytestmark = pytest.mark.xdist_group("baostock")  # the tests share a client's process
ROOT = Path(__file__).parents[2]
KLINES, BASIC, DAY = "query_history_k_data_plus", "query_stock_basic", "query_daily_history_k_AStock"
FRIDAY = date(2024, 6, 14)


@pytest.fixture(scope="module")
def server():
    with run_server() as fake:
        yield fake


@pytest.fixture
def vendor(server):
    server.reset()
    yield server
    server.reset()


@pytest.fixture(scope="module")
def source(server):
    with closing(BaostockSource(server.address, timeout=60)) as new_source:
        yield new_source


def fetch(source, code="600000", start=date(2024, 6, 3), end=FRIDAY, *, adjust="", market="CN"):
    return source.fetch(Request(market, code, start, end, adjust))


def fetch_error(source, code="600000", **options):
    with pytest.raises(SourceError) as caught:
        fetch(source, code, **options)
    return caught.value


def warm_up(source):
    """Returns the source with its client started: that takes a busy machine longer than some timeouts."""
    for _ in range(20):
        try:
            fetch(source)
            return source
        except Transient:
            continue
    raise AssertionError("the client never started")


def has_ended(pid):
    """Returns whether a process has ended, waited for or not."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.fixture
def no_patience(vendor, monkeypatch):
    """The time-out is over as soon as the server hangs, and not before. Returns the time that it took."""
    wait_readable = handle.wait_readable
    monkeypatch.setattr(handle, "time", clock := Clock())

    hung = None

    def wait(connection, seconds):
        nonlocal hung
        while connection is not hung:
            if wait_readable(connection, 0.01):
                return True
            if vendor.hanging.is_set():
                vendor.hanging.clear()  # the next client's request does not hang
                hung = connection
        clock.sleep(seconds)
        return False

    monkeypatch.setattr(handle, "wait_readable", wait)
    return clock


# Requests and bars.


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *(("600000", "sh.600000"), ("688981", "sh.688981"), ("000001", "sz.000001"), ("300750", "sz.300750")),
        *(("920002", "bj.920002"), ("830799", "bj.830799"), ("900901", "sh.900901"), ("510300", "sh.510300")),
    ],
)
def test_vendor_code_has_its_exchange(code, expected):
    assert vendor_code(code) == expected


@pytest.mark.parametrize("code", ["", "NOSUCH", "999999", "60000", "sh.600000", "６０００００", "6000000"])
def test_malformed_code_is_unknown_without_a_request(source, vendor, code):
    assert isinstance(fetch_error(source, code), UnknownStock)
    assert vendor.requests == []


def test_bar_has_our_units_and_nothing_made_up(source, vendor):
    bar = fetch(source, start=FRIDAY)[0]
    sent = vendor.listings["sh.600000"].row(FRIDAY, "3")
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
def test_adjustment_is_requested_by_flag(source, vendor, adjust, flag):
    fetch(source, adjust=adjust)
    assert vendor.requests[-1][-1] == flag


def test_dividend_moves_qfq_before_and_hfq_after(source, vendor):
    window = {"start": date(2024, 4, 24), "end": date(2024, 4, 25)}
    (before, after), (q_before, q_after), (h_before, h_after) = (
        fetch(source, "300750", adjust=adjust, **window) for adjust in ("", "qfq", "hfq")
    )
    assert q_after[1:5] == after[1:5]
    assert q_before.close == pytest.approx(before.close / 1.8, abs=1e-3)
    assert q_after.prev_close == pytest.approx(q_before.close, abs=1e-3)
    assert h_before[1:5] == before[1:5]
    assert h_after.close == pytest.approx(after.close * 1.8, abs=1e-3)
    assert after.prev_close == pytest.approx(before.close / 1.8, abs=1e-3)


def test_suspended_days_are_left_out_and_named(source, vendor):
    answer = fetch(source, "000001", date(2024, 3, 4), date(2024, 3, 8))
    assert [bar.day.isoformat() for bar in answer] == ["2024-03-04", "2024-03-07", "2024-03-08"]
    assert answer.suspended == (date(2024, 3, 5), date(2024, 3, 6))


@pytest.mark.parametrize(
    ("day", "at", "offered"),
    [(20, time(17, 29), False), (20, time(17, 30), True), (19, time(9), True), (21, time(23), False)],
)
def test_kind_of_day_that_is_not_published_yet_is_not_offered(day, at, offered):
    """Case cli-13: BaoStock publishes a day's bars at 17:30 in Shanghai."""
    source = BaostockSource(now=lambda market: datetime.combine(date(2024, 8, 20), at))
    assert source.offers_day("CN", date(2024, 8, day)) == offered
    assert registry.traits("baostock", Conf()).ready_at == time(17, 30)


def test_long_history_is_read_in_pages(source, vendor):
    bars = fetch(source, "600519", date(1990, 1, 1))
    days = [bar.day for bar in bars]
    assert days == sorted(set(days)) == list(vendor.listings["sh.600519"].days())
    assert vendor.count(KLINES) == len(bars) // PAGE + 1 == 2


def test_history_of_exactly_one_page_is_complete(source, vendor):
    days = list(vendor.listings["sh.600519"].days())
    bars = fetch(source, "600519", days[0], days[PAGE - 1])
    assert (len(bars), vendor.count(KLINES)) == (PAGE, 2)


def test_lost_page_fails_the_request(source, vendor):
    vendor.failures = {KLINES: "cut"}
    error = fetch_error(source, "600519", start=date(1990, 1, 1))
    assert isinstance(error, Transient)
    assert "page" in str(error)


def test_list_has_only_stocks_with_dates(source, vendor):
    symbols = {symbol.code: symbol for symbol in source.symbols("CN")}
    assert len(symbols) == len([listing for listing in LISTINGS if listing.kind == "1"])
    assert symbols["000001"].name == "平安银行"
    assert symbols["600001"].delisted_on == date(2022, 6, 30)
    assert (symbols["920002"].exchange, symbols["920002"].listed_on) == ("BSE", date(2024, 5, 30))


def test_list_is_read_in_pages(source, vendor):
    vendor.listings = {code: ListedStock(code, "x") for code in (f"sh.6{n:05}" for n in range(PAGE + 5))}
    try:
        assert len(source.symbols("CN")) == PAGE + 5
    finally:
        vendor.listings = {listing.code: listing for listing in LISTINGS}


def test_market_day_is_one_request(source, vendor):
    assert isinstance(source, DaySource)
    warm_up(source)
    vendor.reset()
    bars = source.fetch_day("CN", date(2024, 3, 5), "")
    assert [request[0] for request in vendor.requests] == [DAY]
    assert bars.suspended == {"000001"}
    assert set(bars) == {"600000", "300750", "600519"}  # neither suspended, delisted, new nor an index
    assert bars["600000"] == fetch(source, start=date(2024, 3, 5), end=date(2024, 3, 5))[0]


def test_market_day_of_exactly_one_page_is_complete(source, vendor):
    vendor.listings = {code: ListedStock(code, "x") for code in (f"sh.6{n:05}" for n in range(PAGE))}
    try:
        assert len(source.fetch_day("CN", FRIDAY, "")) == PAGE
    finally:
        vendor.listings = {listing.code: listing for listing in LISTINGS}


def test_market_day_is_unadjusted_only(source):
    with pytest.raises(Permanent) as caught:
        source.fetch_day("CN", FRIDAY, "qfq")
    assert caught.value.code == "day_not_offered"
    assert source.day_adjusts == ("",)


@pytest.mark.parametrize("market", ["HK", "US", "XX"])
def test_other_markets_are_refused(source, market):
    for request in (lambda: source.symbols(market), lambda: source.fetch_day(market, FRIDAY, "")):
        with pytest.raises(Permanent):
            request()
    assert isinstance(fetch_error(source, market=market), Permanent)


# Empty answers.


def test_empty_answer_of_a_listed_stock_is_an_error(source, vendor):
    vendor.failures = {KLINES: "empty"}
    error = fetch_error(source, "600000", start=date(2024, 1, 1))
    assert (type(error), error.code) == (Transient, "empty_answer")


def test_history_without_its_first_years_is_an_error(source, vendor):
    vendor.failures = {KLINES: "late"}
    error = fetch_error(source, "600000", start=date(2019, 1, 1), end=FRIDAY)
    assert (type(error), error.code) == (Transient, "history_cut")
    assert "listed from 2020-01-02 on" in str(error)


def test_history_of_a_new_listing_is_whole(source, vendor):
    answer = fetch(source, "301999", date(2020, 1, 1), FRIDAY)
    assert answer.is_whole
    assert answer[0].day >= date(2024, 6, 1)


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [
        ("600001", date(2023, 1, 1), FRIDAY),  # delisted in 2022
        ("301999", date(2020, 1, 1), date(2024, 5, 31)),  # listed in June 2024
        ("600000", date(2100, 1, 1), date(2100, 12, 31)),
    ],
)
def test_empty_answer_outside_the_listing_is_true(source, vendor, code, start, end):
    assert fetch(source, code, start, end) == []


def test_empty_answer_for_a_few_days_is_true(source, vendor):
    assert fetch(source, start=date(2024, 6, 8), end=date(2024, 6, 9)) == []
    assert vendor.count(BASIC) == 0


def test_unused_code_is_unknown(source, vendor):
    error = fetch_error(source, "609999", start=date(2020, 1, 1))
    assert error.code == "unknown_stock"


# Errors.


@pytest.mark.parametrize(
    ("vendor_error_code", "kind", "code"),
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
def test_vendor_error_codes_are_told_apart(source, vendor, vendor_error_code, kind, code):
    vendor.failures = {"sh.600000": vendor_error_code}
    error = fetch_error(source)
    assert (type(error), error.code) == (kind, code)
    assert vendor_error_code in str(error)


def test_unreachable_server_is_told_as_such():
    with socket.socket() as taken:  # bound, but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with closing(BaostockSource(address, timeout=60)) as new_source:
            error = fetch_error(new_source)
    assert (type(error), error.code, error.retry_after) == (Transient, "unreachable", None)
    assert reasons.is_unreachable(str(error)) and address in str(error)


def test_only_the_servers_errors_are_its_words():
    assert str(vendor_error("10004006", "无效")) == "BaoStock says: 无效 (10004006)"
    assert str(vendor_error("10002007", "网络接收错误。")).startswith("BaoStock's client reports: ")


def test_blacklisted_address_pauses_for_hours(source, vendor):
    source.end_session()
    vendor.failures = {"login": "10001011"}
    error = fetch_error(source)
    assert error.code == "blacklisted"
    assert error.retry_after >= 3600
    assert "黑名单用户" in str(error)
    assert [request[0] for request in vendor.requests] == ["login"]
    assert vendor_error("10001011", "").retry_after >= 3600


def test_lost_login_is_repeated(source, vendor):
    warm_up(source)
    vendor.reset()
    vendor.failures = {"sh.600000": ["10001001"]}
    assert len(fetch(source)) == 10
    assert [request[0] for request in vendor.requests] == [KLINES, "login", KLINES]


def test_connection_closed_while_idle_is_reopened(source, vendor):
    warm_up(source)
    client_pid = source._client.pid
    vendor.close_connections()
    eventually(lambda: not vendor.open, 60)
    assert len(fetch(source)) == 10
    assert source._client.pid == client_pid


def test_changed_columns_are_named(source, vendor):
    vendor.failures = {KLINES: "renamed", BASIC: "renamed", DAY: "renamed"}
    error = fetch_error(source)
    assert (type(error), error.code) == (Permanent, "columns_changed")
    assert "volume missing" in str(error)
    with pytest.raises(Permanent, match="ipoDate missing"):
        source.symbols("CN")
    with pytest.raises(Permanent, match="volume missing"):
        source.fetch_day("CN", FRIDAY, "")


@pytest.mark.parametrize("mode", ["reset", "nonsense"])
def test_broken_answer_is_transient(source, vendor, mode):
    vendor.failures = {KLINES: [mode]}
    assert isinstance(fetch_error(source), Transient)
    assert len(fetch(source)) == 10


@pytest.mark.parametrize("mode", ["close", pytest.param("gone", marks=pytest.mark.soak)])
def test_server_closing_mid_answer_ends_the_client(source, vendor, mode):
    client_pid = warm_up(source)._client.pid
    vendor.failures = {KLINES: [mode]}
    error = fetch_error(source)
    assert (type(error), error.code) == (Transient, "connection_closed")  # not a time-out
    eventually(lambda: has_ended(client_pid), 60)
    assert len(fetch(source)) == 10


def test_hanging_server_times_out_and_kills_the_client(source, vendor, no_patience):
    fetch(source)
    client_pid = source._client.pid
    vendor.failures = {KLINES: ["hang"]}
    error = fetch_error(source)
    assert (type(error), error.code) == (Transient, "timeout")
    assert no_patience.elapsed == pytest.approx(60)
    eventually(lambda: has_ended(client_pid), 60)
    assert len(fetch(source)) == 10


# The client's process.


def test_threads_share_one_client_and_connection(server, vendor):
    vendor.max_open = len(vendor.open)
    before = vendor.max_open
    with closing(BaostockSource(server.address, timeout=60)) as source, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: fetch(source), range(24)))
    assert all(bars == answers[0] for bars in answers)
    assert vendor.max_open <= before + 1
    assert (source.in_flight, source.most_workers) == (1, 1)


def test_every_request_takes_a_permit(own_server):
    with logged_out_source(own_server) as source, counted_permits() as permits:
        fetch(source, "600519", date(1990, 1, 1))
        # A log-in, two pages, and the listing date of a history that begins late.
        assert len(own_server.requests) == len(permits) == 4
        fetch(source)
        assert len(own_server.requests) == len(permits) == 5
        own_server.failures = {"sh.600000": ["10001001"]}
        fetch(source)
        assert len(own_server.requests) == len(permits) == 8, "refused, a log-in, repeated"
        source.fetch_actions("CN", "300750", date(2023, 1, 5))
        assert len(own_server.requests) == len(permits) > 9, "one per year"


@contextmanager
def logged_out_source(server):
    """Yields a source whose client has started and has no session."""
    with closing(BaostockSource(server.address, timeout=60)) as source:
        warm_up(source)
        source.end_session()
        server.requests.clear()
        yield source


@contextmanager
def counted_permits():
    """Yields the costs of the permits taken meanwhile, as the engine would grant them."""
    taken = []
    with granting_permits(taken.append):
        yield taken


def test_requests_keep_their_distance_pages_and_login_included(vendor, monkeypatch):
    """With the client in this process, so that its clock is the test's."""
    from tasks_app.sources.baostock import client_process

    host, _, port = vendor.address.rpartition(":")
    monkeypatch.setattr(client_process.contants, "BAOSTOCK_SERVER_IP", host)
    monkeypatch.setattr(client_process.contants, "BAOSTOCK_SERVER_PORT", int(port))
    monkeypatch.setattr(client_process, "time", clock := Clock())
    times, answer = [], vendor.failure_mode
    monkeypatch.setattr(vendor, "failure_mode", lambda *keys: times.append(clock.elapsed) or answer(*keys))
    session, source = client_process.Session(), BaostockSource(pause=0.2)
    monkeypatch.setattr(source._client, "send", lambda request: client_process.respond(session, request))
    fetch(source, "600519", date(1990, 1, 1))
    fetch(source)
    session.log_out()
    # A log-in, two pages, the listing date of a history that begins late, and the second request.
    assert times == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_refused_permit_fails_the_request(own_server):
    def refuse(cost):
        raise Transient("The day's requests are used up.", code="no_permit", retry_after=5.0)

    with logged_out_source(own_server) as source:
        with granting_permits(refuse):
            error = fetch_error(source)
        assert (type(error), error.code, error.retry_after) == (Transient, "no_permit", 5.0)
        assert not own_server.requests
        assert len(fetch(source)) == 10


def test_wait_for_a_permit_is_no_time_of_the_request(own_server, monkeypatch):
    monkeypatch.setattr(handle, "time", clock := Clock())
    waiting = granting_permits(lambda cost: clock.sleep(3600))
    with closing(BaostockSource(own_server.address, timeout=60)) as source, waiting:
        assert len(fetch(source)) == 10
    assert clock.elapsed >= 3600


def test_closing_leaves_no_process(own_server):
    source = warm_up(BaostockSource(own_server.address, timeout=60))
    client_pid = source._client.pid
    source.close()
    eventually(lambda: has_ended(client_pid), 60)


def test_forked_process_leaves_the_client_alone(source, vendor):
    client_pid = warm_up(source)._client.pid
    if not (fork := os.fork()):
        os._exit(0 if source._client.pid is None else 1)
    assert os.waitpid(fork, 0)[1] == 0
    assert len(fetch(source)) == 10
    assert source._client.pid == client_pid


WORKER_SCRIPT = """
import sys
from datetime import date
from tasks_app.sources.base import Request
from tasks_app.sources.baostock.source import BaostockSource
source = BaostockSource(sys.argv[1], timeout=60)
def ask(code):
    return source.fetch(Request("CN", code, date(2024, 6, 3), date(2024, 6, 14)))
ask("600000")
print(source._client.pid, flush=True)
ask(sys.argv[2])
sys.stdin.read()  # idle until the test kills it, or ends itself
"""


@pytest.fixture
def own_server():
    """A server whose client no other test uses."""
    with run_server() as fake:
        yield fake


@pytest.mark.parametrize("code", [pytest.param("600000", marks=pytest.mark.soak), "000001"])
def test_killed_worker_leaves_no_orphan(own_server, code):
    own_server.failures = {"sz.000001": "hang"}
    command = [sys.executable, "-c", WORKER_SCRIPT, own_server.address, code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as worker:
        client_pid = int(worker.stdout.readline())
        eventually(lambda: own_server.count(KLINES) == 2, 60)
        worker.send_signal(signal.SIGKILL)
    eventually(lambda: has_ended(client_pid), 60)


# One session (case cli-03: six workers opened six).


@pytest.fixture
def workers(own_server):
    """Two sources, as two workers of a machine have them."""
    sources = [BaostockSource(own_server.address, timeout=60) for _ in range(2)]
    yield sources
    for each in sources:
        each.close()


def test_workers_that_take_turns_share_one_session(own_server, workers):
    one, other = workers
    for worker in (one, other, one):
        assert len(fetch(worker)) == 10
    assert (own_server.max_open, own_server.count("login")) == (1, 1)


def test_session_ends_with_the_worker_that_used_it_last(own_server, workers):
    """The next one to ask may work on another machine, and has to log in."""
    one, other = workers
    for worker in (one, other):
        fetch(worker)
    other.close()
    eventually(lambda: not own_server.open, 60)
    assert len(fetch(one)) == 10
    assert own_server.max_open == 1


def test_session_ends_on_demand(own_server, workers):
    one, other = workers
    one.end_session()
    assert own_server.requests == [], "it was never begun"
    fetch(one)
    one.end_session()
    eventually(lambda: not own_server.open, 60)
    fetch(other)
    assert (own_server.max_open, own_server.count("login")) == (1, 2)


def test_lost_login_closes_the_old_session_first(own_server, workers):
    fetch(workers[0])
    own_server.failures = {"sh.600000": ["10001001"]}
    fetch(workers[0])
    assert (own_server.max_open, own_server.count("login")) == (1, 2)


KEY = "bs-01" + "a" * 27 + "h"  # its last letter is the checksum that the client expects


def test_api_key_logs_in_and_another_one_anew(own_server, workers):
    one, other = workers
    fetch(one)
    other._api_key = KEY
    for worker in (other, other, one):
        fetch(worker)
    logins = [request[3] for request in own_server.requests if request[0] == "login"]
    assert (logins, own_server.max_open) == (["0", KEY, "0"], 1)


def test_malformed_api_key_is_refused_without_a_request(own_server):
    variables = {"COLLECTOR_BAOSTOCK_ADDRESS": own_server.address, "COLLECTOR_BAOSTOCK_API_KEY": "bs-short"}
    conf = Conf(environment=tuple(variables.items()))
    with closing(BaostockSource.from_conf(conf)) as source:
        error = fetch_error(source)
    assert (error.code, own_server.requests) == ("login_refused", [])
    assert {setting.name for setting in source.settings if setting.secret} == {"api_key"}


@pytest.mark.parametrize(
    "rows", [PAGE + 1, *(pytest.param(rows, marks=pytest.mark.soak) for rows in (PAGE, 3 * PAGE))]
)
def test_list_sent_in_one_response_is_complete(vendor, source, rows):
    vendor.listings = {code: ListedStock(code, "x") for code in (f"sh.6{n:05}" for n in range(rows))}
    vendor.failures = {BASIC: "unpaged"}
    try:
        assert len(source.symbols("CN")) == rows
    finally:
        vendor.listings = {listing.code: listing for listing in LISTINGS}


def test_client_output_is_not_printed(server, vendor, capfd):
    with closing(BaostockSource(server.address, timeout=60)) as source:
        fetch(source)
    assert capfd.readouterr() == ("", "")


def test_source_is_made_from_the_settings():
    own = (("COLLECTOR_BAOSTOCK_ADDRESS", "127.0.0.1:1"), ("COLLECTOR_BAOSTOCK_RATE", "4"))
    conf = Conf(fetch_timeout=10.0, environment=own)
    source = BaostockSource.from_conf(conf)
    assert (source._client._arguments, source._client._timeout) == (("127.0.0.1:1",), 8.0)
    assert source._pause == 0.25
    assert BaostockSource.from_conf(replace(conf, no_throttle=True))._pause == 0
    assert registry.limits("baostock", conf).rate == 4.0


# Through the engine.


@pytest.fixture
def engine(settings, source, vendor, monkeypatch):
    """Sets the settings for a run on the fake server, without waits, with the client of the other tests."""
    monkeypatch.setattr(BaostockSource, "from_conf", classmethod(lambda cls, conf: source))
    settings.COLLECTOR = replace(
        settings.COLLECTOR,
        environment=(("COLLECTOR_BAOSTOCK_ADDRESS", vendor.address),),
        no_throttle=True,
        backoff=0.0,
        max_attempts=2,
        adjustment_data=False,
    )
    registry.forget_sources()
    yield settings
    registry.forget_sources()


def collect(*codes, **order):
    """Collects from the fake server. Returns the task afterwards."""
    defaults = {"source": "baostock", "market": "CN", "start_date": date(2024, 6, 3), "end_date": FRIDAY}
    task = make_task(stock_codes=codes or None, **{**defaults, **order})
    for _ in range(5):
        work()
        task.refresh_from_db()
        if task.status != "running":
            break
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    return task


@pytest.mark.django_db
def test_whole_market_is_collected(engine, vendor):
    task = collect()
    assert (task.status, task.total_stocks, task.failed_count) == ("completed", 7, 0)
    assert DailyBar.objects.filter(source="baostock").count() == task.collected_count == 60
    assert Stock.objects.get(code="600001").delisted_on == date(2022, 6, 30)
    bar = DailyBar.objects.get(symbol="600000", day=FRIDAY)
    assert bar.low <= bar.amount / bar.volume <= bar.high


@pytest.mark.soak  # the source names them, and an answer's suspended days are the engine's own tests
@pytest.mark.django_db
def test_suspended_days_leave_no_bar(engine, vendor):
    task = collect("000001", start_date=date(2024, 3, 4), end_date=date(2024, 3, 8))
    assert (task.status, task.collected_count, task.refused_count) == ("completed", 3, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "start", "bars"), [("600001", date(2023, 1, 1), 0), ("301999", date(2024, 1, 1), 10)]
)
def test_delisted_and_new_stocks_succeed(engine, vendor, code, start, bars):
    task = collect(code, start_date=start)
    assert (task.status, task.failed_count, task.collected_count) == ("completed", 0, bars)


@pytest.mark.django_db
def test_dividend_leaves_unadjusted_and_qfq_apart(engine, vendor):
    for adjust in ("", "qfq"):
        collect("300750", start_date=date(2024, 4, 1), end_date=date(2024, 5, 31), adjust=adjust)
    closes = dict(DailyBar.objects.filter(day=date(2024, 4, 24)).values_list("adjust", "close"))
    assert closes["qfq"] == pytest.approx(closes[""] / 1.8, abs=1e-3)


def with_adjustment_data(engine):
    engine.COLLECTOR = replace(engine.COLLECTOR, adjustment_data=True)


@pytest.mark.django_db
def test_computed_series_is_the_vendors_own_bar_by_bar(engine, vendor):
    span = {"start_date": date(2024, 3, 1), "end_date": FRIDAY}
    dividends = ((date(2024, 4, 25), 1.8), (date(2024, 6, 5), 1.0335))
    vendor.listings["sz.300750"] = replace(vendor.listings["sz.300750"], dividends=dividends)
    for adjust in ("qfq", "hfq"):
        collect("300750", adjust=adjust, **span)
    with_adjustment_data(engine)
    collect("300750", **span)
    vendor.listings["sz.300750"] = next(listing for listing in LISTINGS if listing.code == "sz.300750")
    for adjust in ("qfq", "hfq"):
        check_computed_series(adjust)


def check_computed_series(adjust):
    """Asserts that the stored series of March to June is the one that is computed."""
    own, computed = (find_basis("CN", "300750", adjust, wanted) for wanted in ("stored", "computed"))
    assert computed.source == "baostock"
    rows = [
        list(csv_export.on_basis(csv_export.bar_rows("CN", "300750", basis).order_by("day"), basis))
        for basis in (own, computed)
    ]
    assert len(rows[0]) == 76
    for theirs, ours in zip(*rows, strict=True):
        for name in ("open", "high", "low", "close", "prev_close"):
            assert theirs[name] == pytest.approx(ours[name], abs=0.000051), (theirs["day"], name)


@pytest.mark.django_db
def test_factors_and_actions_are_part_of_the_stocks_item(engine, vendor):
    with_adjustment_data(engine)
    task = collect("300750", start_date=date(2024, 4, 1))
    assert (task.status, task.collected_count, task.items.get().note) == ("completed", 55, "")
    assert (vendor.count("query_adjust_factor"), vendor.count("query_dividend_data")) == (1, 1)
    rows = AdjustmentFactor.objects.order_by("ex_day").values_list("ex_day", "hfq", "qfq")
    assert list(rows) == [
        (date(2020, 1, 2), "1.000000", "0.555556"),
        (date(2024, 4, 25), "1.800000", "1.000000"),
    ]
    vendor.requests.clear()
    collect("300750", start_date=date(2024, 3, 1))
    assert vendor.count("query_adjust_factor") == 0, "they are known"


def test_dividend_makes_a_payment_and_bonus_shares(source):
    actions = source.fetch_actions("CN", "300750", date(2024, 1, 5))
    days = (date(2024, 4, 25), date(2024, 2, 25), date(2024, 4, 24), date(2024, 4, 25))
    note = "10送3转5派5元"
    assert actions == [
        CorporateAction("dividend", *days, cash=Decimal("0.5"), note=note),
        CorporateAction("split", *days, ratio=Decimal("0.800000"), note=note),
    ]
    assert actions.complete_from == date(2024, 1, 1)
    assert source.fetch_actions("CN", "300750", None) == [], "of this year only"


@pytest.mark.django_db
def test_failing_factors_fail_no_stock(engine, vendor):
    with_adjustment_data(engine)
    vendor.failures = {"query_adjust_factor": "10004012"}
    task = collect("300750")
    item = task.items.get()
    assert (item.state, item.rows_collected, item.attempts) == ("succeeded", 10, 1)
    assert item.note.startswith("factors: BaoStock says: 无效的指标")
    assert not AdjustmentTable.objects.filter(content="factors").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["elsewhere", socket.gethostname()])
def test_slice_ends_the_session_where_other_machines_work(engine, vendor, source, monkeypatch, host):
    monkeypatch.setattr(dispatch, "live_clusters", lambda: [ClusterStatus(host, 1, "Idle", 2)])
    source.end_session()
    assert collect("600000").status == "completed"
    if host == "elsewhere":
        eventually(lambda: not vendor.open, 60)
    else:
        assert len(vendor.open) == 1


@pytest.mark.django_db
def test_session_that_does_not_end_fails_no_task(engine, vendor, monkeypatch, caplog):
    monkeypatch.setattr(dispatch, "live_clusters", lambda: [ClusterStatus("elsewhere", 1, "Idle", 2)])
    monkeypatch.setattr(BaostockSource, "end_session", lambda self: 1 / 0)
    assert collect("600000").status == "completed"
    assert "the session of baostock may still be open: ZeroDivisionError: division by zero" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("renamed", "columns_changed"),
        pytest.param("close", "connection_closed", marks=pytest.mark.soak),
        pytest.param("10001004", "client_outdated", marks=pytest.mark.soak),
    ],
)
def test_failing_stock_does_not_stop_the_rest(engine, vendor, mode, code):
    vendor.failures = {"sz.000001": mode}
    task = collect("600000", "000001", "600519")
    assert (task.status, task.success_count, task.failed_count) == ("completed", 2, 1)
    assert task.items.get(code="000001").error_code == code


@pytest.mark.soak  # a source's time-out is told above; what the engine makes of one, in its own tests
@pytest.mark.django_db
@pytest.mark.usefixtures("clock", "no_patience")
def test_hanging_server_fails_the_stock_as_timeout(engine, vendor):
    engine.COLLECTOR = replace(engine.COLLECTOR, max_attempts=1)
    vendor.failures = {"sz.000001": "hang"}
    task = collect("000001", "600000")
    assert (task.success_count, task.failed_count) == (1, 1)
    assert task.items.get(code="000001").error_code == "timeout"


@pytest.mark.django_db
@pytest.mark.usefixtures("clock")
def test_blacklisted_address_pauses_the_source(engine, vendor):
    engine.COLLECTOR = replace(
        engine.COLLECTOR, no_throttle=False, rates=(("baostock", 50.0),), slice_seconds=2.0
    )
    vendor.failures = {KLINES: "10001011"}
    codes = ("600000", "000001", "300750")
    task = make_task(source="baostock", stock_codes=codes, start_date=date(2024, 6, 3), end_date=FRIDAY)
    with pytest.raises(AssertionError, match="never end"):
        work(4)
    task.refresh_from_db()
    assert (task.status, task.failed_count) == ("running", 0)
    assert vendor.count(KLINES) == 1
    gate = SourceGate.objects.get(source="baostock")
    assert gate.open_until is not None
    assert "黑名单用户" in gate.reason


@pytest.mark.django_db
def test_whole_market_is_updated_and_compared_by_day_requests(engine, vendor):
    engine.COLLECTOR = replace(engine.COLLECTOR, by_day_from=6)
    vendor.listings = {code: ListedStock(code, "x") for code in (f"sh.6{n:05}" for n in range(6))}
    try:
        collect(start_date=date(2024, 6, 3), end_date=date(2024, 6, 13))
        vendor.requests.clear()
        task = collect(start_date=date(2024, 6, 3))
    finally:
        vendor.listings = {listing.code: listing for listing in LISTINGS}
    assert (task.status, task.collected_count) == ("completed", 6)
    assert (vendor.count(DAY), vendor.count(KLINES)) == (1 + 4, 0), "its last sessions are compared"


def test_index_is_fetched_with_the_documented_fields(source, vendor):
    (bar, *_), stock = fetch(source, "000001.SH"), fetch(source, "000001")[0]
    row = vendor.listings["sh.000001"].row(bar.day, "3")
    assert (bar.close, bar.volume) == (float(row["close"]), int(row["volume"]))
    assert (bar.turnover, bar.is_st) == (None, None)
    assert bar.close != stock.close, "000001 is a bank"


def test_index_of_csi_is_unknown(source):
    assert isinstance(fetch_error(source, "931151.CSI"), UnknownStock)


def test_special_treatment_is_told_per_day(source, vendor):
    vendor.listings["sh.600000"] = replace(vendor.listings["sh.600000"], st_since=date(2024, 6, 5))
    told = {bar.day: bar.is_st for bar in fetch(source)}
    vendor.listings["sh.600000"] = replace(vendor.listings["sh.600000"], st_since=None)
    assert [told[date(2024, 6, day)] for day in (3, 4, 5, 6)] == [False, False, True, True]
    assert {bar.is_st for bar in fetch(source, "510300")} == {None}, "an ETF has no such thing"


def test_list_of_each_kind_takes_one_request(source, vendor):
    kinds = {kind: source.symbols_of_kind("CN", kind) for kind in ("etf", "index")}
    assert {kind: [symbol.code for symbol in found] for kind, found in kinds.items()} == {
        "etf": ["510300"],
        "index": ["000001.SH", "399001.SZ"],
    }
    assert vendor.count(BASIC) == 2
    assert {symbol.kind for symbol in source.symbols("CN")} == {"stock"}


@pytest.mark.django_db
def test_index_has_a_series_and_a_kind_of_its_own(engine, vendor):
    with_adjustment_data(engine)
    task = collect("sh000001", "000001", "510300", start_date=date(2024, 6, 3))
    assert (task.status, task.failed_count) == ("completed", 0)
    kinds = dict(Stock.objects.values_list("code", "kind"))
    assert kinds == {"000001.SH": "index", "000001": "stock", "510300": "etf"}
    assert DailyBar.objects.filter(symbol="000001.SH", day=FRIDAY).get().close != (
        DailyBar.objects.filter(symbol="000001", day=FRIDAY).get().close
    )
    assert vendor.count("query_adjust_factor") == 1, "an index and an ETF have no factors"


@pytest.mark.django_db
def test_whole_market_of_indices_has_a_list_of_its_own(engine, vendor):
    task = collect(start_date=date(2024, 6, 12), kind="index")
    assert (task.status, task.success_count, task.kind) == ("completed", 2, "index")
    stored = StockList.objects.values_list("kind", "size")
    assert list(stored) == [("index", 2)]
    assert vendor.count(DAY) == 0, "a day's list has no indices"
