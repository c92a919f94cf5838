"""Every built-in source keeps the contract of tasks_app.sources.base; no database, no real waiting."""

import gzip
import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks_app.conf import Conf, Simulated
from tasks_app.sources import registry, sample
from tasks_app.sources.base import (
    Bar,
    Permanent,
    Request,
    Source,
    SourceError,
    Transient,
    UnknownStock,
)
from tasks_app.sources.csv_folder.source import CsvSource
from tasks_app.sources.market_time import market_today
from tasks_app.sources.sample import SampleSource
from tasks_app.sources.simulated import exchange
from tasks_app.sources.simulated.source import HANG_SECONDS, SimulatedSource
from tests.fakes import baostock_server as baostock
from tests.fakes.eastmoney_server import StandIn, listings, serving

ROOT = Path(__file__).parents[2]
TODAY = date(2024, 6, 14)  # a Friday
WINDOWS = {
    "sample": (date(2012, 6, 1), date(2012, 9, 30)),
    "simulated": (date(2024, 1, 1), date(2024, 6, 30)),
    "akshare": (date(2024, 1, 1), date(2024, 6, 30)),
    "baostock": (date(2024, 1, 1), date(2024, 6, 30)),
    "csv": (date(2024, 1, 1), date(2024, 6, 30)),
}
SERVED = [("sample", "US"), ("simulated", "CN"), ("simulated", "HK"), ("simulated", "US")]


def make_simulated(*, sleep: Callable[[float], object] | None = None, **settings: Any) -> SimulatedSource:
    """A simulated source on TODAY, with process id 7, that fails the test should it really wait."""
    settings = {"stocks": 12, "bars": 40, **settings}
    naps = sleep or (lambda seconds: pytest.fail(f"slept {seconds} s"))
    return SimulatedSource(
        Simulated(**settings), today=lambda market: TODAY, sleep=naps, clock=lambda: 5.25, pid=lambda: 7
    )


MAKERS: dict[str, Callable[[], Source]] = {
    "sample": SampleSource,
    "simulated": make_simulated,
}
if find_spec("akshare"):
    MAKERS["akshare"] = registry.load(registry.BUILT_IN["akshare"])
    SERVED += [("akshare", "CN"), ("akshare", "HK"), ("akshare", "US")]


# Sources that need a server or a folder, which the fixtures below give them.
STANDING: dict[str, Source] = {}
if find_spec("baostock"):
    MAKERS["baostock"] = lambda: STANDING["baostock"]
    SERVED += [("baostock", "CN")]
MAKERS["csv"] = lambda: STANDING["csv"]
SERVED += [("csv", "CN"), ("csv", "HK"), ("csv", "US")]


@pytest.fixture(scope="module", autouse=True)
def baostock_server() -> Iterator[None]:
    """BaoStock's stand-in, without the stock that was delisted before the window."""
    if not find_spec("baostock"):
        yield
        return
    from tasks_app.sources.baostock.source import BaostockSource

    listed = {listing.code: listing for listing in baostock.LISTINGS if not listing.out}
    with (
        baostock.serving(listings=listed) as stand_in,
        closing(BaostockSource(stand_in.address, timeout=60)) as made,
    ):
        STANDING["baostock"] = made
        yield


@pytest.fixture(scope="module", autouse=True)
def csv_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder of files, written from the simulated exchange."""
    folder = tmp_path_factory.mktemp("csv")
    simulated = make_simulated(bars=120)
    for market in simulated.markets:
        (folder / market).mkdir()
        for symbol in simulated.symbols(market):
            bars = simulated.fetch(make_request(symbol.code, market))
            rows = [",".join(Bar._fields), *(",".join(map(str, bar)) for bar in bars)]
            (folder / market / f"{symbol.code}.csv").write_text("\n".join(rows))
    STANDING["csv"] = CsvSource(folder)


@pytest.fixture(scope="module", autouse=True)
def eastmoney() -> Iterator[None]:
    """Whoever asks Eastmoney here asks its stand-in, which lists few stocks: each is asked for."""
    few = {name: listing for name, listing in listings().items() if not listing.code.startswith("SIM")}
    with serving(StandIn(few)) as world, pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment.items():
            patch.setenv(name, value)
        yield


def make_request(code: str = "000001", market: str = "CN", **changes: Any) -> Request:
    return Request(**{"market": market, "code": code, "start": date(2024, 1, 1), "end": TODAY, **changes})


def window_of(name: str, market: str, code: str) -> Request:
    start, end = WINDOWS[name]
    return Request(market, code, start, end)


def failures(source: Source, request: Request, times: int) -> list[SourceError]:
    """What was raised in a number of requests."""
    found = []
    for _ in range(times):
        try:
            source.fetch(request)
        except SourceError as error:
            found.append(error)
    return found


# The contract, for every source and market.


def test_every_built_in_source_is_held_to_the_contract() -> None:
    assert set(MAKERS) == set(registry.BUILT_IN)
    for name, path in registry.BUILT_IN.items():
        assert registry.load(path).name == name


@pytest.mark.parametrize("name", MAKERS)
def test_a_source_fits_the_protocol_and_is_made_from_the_settings(name: str) -> None:
    source = registry.load(registry.BUILT_IN[name]).from_conf(Conf())
    assert isinstance(source, Source)
    assert source.name == name
    assert {market for served, market in SERVED if served == name} == set(source.markets)
    assert "" in source.adjusts


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_listed_codes_are_unique_and_well_formed(name: str, market: str) -> None:
    symbols = MAKERS[name]().symbols(market)
    assert len({symbol.code for symbol in symbols}) == len(symbols) > 0
    for symbol in symbols:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,16}", symbol.code)
        assert symbol.name or name == "csv"  # files have none
        assert symbol.exchange or (name, market) == ("csv", "US")


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_bars_rise_by_day_and_stay_in_the_window(name: str, market: str) -> None:
    source = MAKERS[name]()
    for symbol in source.symbols(market):
        request = window_of(name, market, symbol.code)
        days = [bar.day for bar in source.fetch(request)]
        assert days
        assert days == sorted(set(days))
        assert request.start <= days[0] <= days[-1] <= request.end


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_bars_are_finite_and_in_order(name: str, market: str) -> None:
    source = MAKERS[name]()
    for symbol in source.symbols(market):
        for bar in source.fetch(window_of(name, market, symbol.code)):
            assert_sane(bar)


def assert_sane(bar: Bar) -> None:
    assert type(bar) is Bar
    assert all(math.isfinite(value) for value in bar[1:] if value is not None)
    assert 0 < bar.low <= min(bar.open, bar.close)
    assert max(bar.open, bar.close) <= bar.high
    assert type(bar.volume) is int
    assert bar.volume >= 0
    if bar.amount is not None and bar.volume:
        assert bar.low <= bar.amount / bar.volume <= bar.high


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_asking_again_answers_the_same(name: str, market: str) -> None:
    one, other = MAKERS[name](), MAKERS[name]()
    assert one.symbols(market) == other.symbols(market)
    request = window_of(name, market, one.symbols(market)[-1].code)
    assert one.fetch(request) == one.fetch(request) == other.fetch(request)


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_a_narrow_window_is_a_part_of_the_wide_one(name: str, market: str) -> None:
    source = MAKERS[name]()
    request = window_of(name, market, source.symbols(market)[0].code)
    wide = source.fetch(request)
    assert list(source.fetch(Request(market, request.code, wide[5].day, wide[9].day))) == list(wide[5:10])
    assert list(source.fetch(Request(market, request.code, wide[5].day, wide[5].day))) == [wide[5]]


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_a_window_without_sessions_is_truly_empty(name: str, market: str) -> None:
    source = MAKERS[name]()
    code = source.symbols(market)[0].code
    saturday = date(2012, 6, 9)
    assert not source.fetch(Request(market, code, saturday, saturday + timedelta(days=1)))
    assert not source.fetch(Request(market, code, date(2100, 1, 1), date(2100, 12, 31)))


@pytest.mark.parametrize("code", ["NOSUCH", "999999", "", "\uff11", "SIM-1", "0_0001", "+00001", "00"])
@pytest.mark.parametrize(("name", "market"), SERVED)
def test_a_code_nobody_has_is_an_unknown_stock(name: str, market: str, code: str) -> None:
    with pytest.raises(UnknownStock, match=r"\w.*\.$") as caught:
        MAKERS[name]().fetch(window_of(name, market, code))
    assert caught.value.code == "unknown_stock"


@pytest.mark.parametrize("name", MAKERS)
def test_the_list_of_a_market_not_served_is_refused_and_never_empty(name: str) -> None:
    with pytest.raises(Permanent):
        MAKERS[name]().symbols("XX")


@pytest.mark.parametrize(("name", "market"), SERVED)
def test_threads_may_fetch_at_once(name: str, market: str) -> None:
    source = MAKERS[name]()
    request = window_of(name, market, source.symbols(market)[0].code)
    alone = source.fetch(request)
    with ThreadPoolExecutor(8) as threads:
        assert all(bars == alone for bars in threads.map(source.fetch, [request] * 40))


# The sample.


def everything(code: str) -> Request:
    return Request("US", code, date.min, date.max)


def test_the_sample_holds_12154_bars_of_five_stocks() -> None:
    source = SampleSource()
    counts = {symbol.code: len(source.fetch(everything(symbol.code))) for symbol in source.symbols("US")}
    assert counts == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    assert sum(counts.values()) == 12_154


def test_every_shipped_row_can_be_collected() -> None:
    for bars in sample.bars_by_code().values():
        assert [bar.day for bar in bars] == sorted({bar.day for bar in bars})
        for bar in bars:
            assert_sane(bar)


def test_the_sample_sends_what_the_vendor_sent_and_nothing_made_up() -> None:
    bars = SampleSource().fetch(everything("AAPL"))
    assert bars[0] == Bar(date(2000, 3, 1), 118.56, 132.06, 118.5, 130.31, 9_616_100)
    assert bars[-1].day == date(2013, 3, 1)
    assert bars[0].prev_close is None
    assert bars[0].amount is None


def test_a_sample_stock_is_listed_on_its_first_day_or_on_no_known_day() -> None:
    source = SampleSource()
    for symbol in source.symbols("US"):
        first = source.fetch(everything(symbol.code))[0].day
        assert symbol.listed_on in (None, first)


def test_the_sample_is_never_passed_off_as_adjusted() -> None:
    with pytest.raises(Permanent):
        SampleSource().fetch(Request("US", "AAPL", date.min, date.max, "qfq"))


def test_a_us_stock_is_unknown_in_another_market() -> None:
    with pytest.raises(UnknownStock):
        SampleSource().fetch(Request("CN", "AAPL", date.min, date.max))


def test_the_shipped_file_is_the_one_that_make_sample_made() -> None:
    rows = gzip.decompress(sample.DATA.read_bytes())
    digest = "0d81dc652b8953a725391e1b00e4aa3b65f7c60e9081cc6690e3b61c5642cc98"
    assert hashlib.sha256(rows).hexdigest() == digest


# The simulated exchange.


@pytest.mark.parametrize("market", ["CN", "HK", "US"])
def test_any_number_of_codes_is_listed_and_found_again(market: str) -> None:
    codes = [exchange.symbol_at(market, index).code for index in range(20_000)]
    assert len(set(codes)) == 20_000
    assert [exchange.index_of(market, code) for code in codes] == list(range(20_000))


def test_codes_look_like_those_of_their_market() -> None:
    source = make_simulated(stocks=4)
    assert [symbol.code for symbol in source.symbols("CN")] == ["000001", "300001", "600000", "000002"]
    assert [symbol.code for symbol in source.symbols("HK")][:2] == ["00001", "00002"]
    assert [symbol.code for symbol in source.symbols("US")][:2] == ["SIM0001", "SIM0002"]
    assert source.symbols("CN")[0].name == "Simulated 000001"


def test_the_first_code_past_the_list_is_unknown() -> None:
    make_simulated(stocks=3).fetch(make_request("600000"))
    with pytest.raises(UnknownStock):
        make_simulated(stocks=3).fetch(make_request("000002"))


def test_an_answer_is_the_last_sessions_of_the_window() -> None:
    bars = make_simulated(bars=6).fetch(make_request(end=date(2024, 5, 5)))
    assert [bar.day.isoformat()[5:] for bar in bars] == ["04-26", "04-29", "04-30", "05-01", "05-02", "05-03"]


def test_sessions_are_the_weekdays_of_any_window() -> None:
    start = date(2023, 12, 25)
    for first in range(8):
        for length in range(-2, 20):
            begin, end = start + timedelta(days=first), start + timedelta(days=first + length)
            wanted = [begin + timedelta(days=n) for n in range(length + 1)]
            sessions = exchange.sessions_between(begin, end)
            assert list(exchange.days_of(sessions)) == [day for day in wanted if day.weekday() < 5]


def test_no_session_lies_in_the_future_of_the_market() -> None:
    assert make_simulated().fetch(make_request(end=date.max))[-1].day == TODAY
    assert market_today("US") <= market_today("CN")


def test_a_day_is_the_same_bar_in_every_window() -> None:
    source = make_simulated(bars=10**6)
    whole = {bar.day: bar for bar in source.fetch(make_request(start=date(1950, 1, 1)))}
    for start in (date(1950, 1, 2), date(1987, 3, 5), date(2024, 6, 3)):
        for bar in source.fetch(make_request(start=start, end=start + timedelta(days=400))):
            assert whole[bar.day] == bar


def test_bars_depend_on_seed_market_and_code_but_not_on_the_adjustment() -> None:
    bars = make_simulated().fetch(make_request())
    assert make_simulated(seed=1).fetch(make_request()) != bars
    assert make_simulated().fetch(make_request("000002")) != bars
    assert make_simulated().fetch(make_request("00001", "HK")) != bars
    assert make_simulated().fetch(make_request(adjust="qfq")) == bars


def test_bars_are_the_same_in_every_release() -> None:
    first, second = make_simulated().fetch(make_request(start=date(2024, 6, 13)))
    assert second.prev_close == first.close
    prices = (16.78, 16.92, 16.65, 16.74, 10_292_000, 16.82, 172_622_570.0)
    assert second == Bar(date(2024, 6, 14), *prices, 1.61, -0.08, -0.48, 0.2)


def test_the_columns_of_a_simulated_bar_agree_with_each_other() -> None:
    bars = make_simulated(bars=5000).fetch(make_request(start=date(2000, 1, 1)))
    for before, bar in pairwise(bars):
        prev = before.close
        assert bar.prev_close == prev
        assert bar.change == pytest.approx(bar.close - prev, abs=1e-9)
        assert bar.change_pct == pytest.approx((bar.close - prev) / prev * 100, abs=0.00501)
        assert bar.amplitude == pytest.approx((bar.high - bar.low) / prev * 100, abs=0.00501)
        assert abs(bar.close / prev - 1) < 0.1
        assert bar.volume % 100 == 0
        assert bar.volume > 0
        assert bar.turnover is not None
        assert 0 < bar.turnover < 100


def test_prices_are_whole_cents() -> None:
    for bar in make_simulated(bars=500).fetch(make_request(start=date(2000, 1, 1))):
        assert all(price == round(price, 2) for price in bar[1:5])


def test_a_list_of_no_stocks_and_a_history_of_no_bars_can_be_had() -> None:
    assert make_simulated(stocks=0).symbols("CN") == ()
    assert make_simulated(bars=0, empty_rate=1).fetch(make_request()) == []


# Misbehaviour on demand.


def test_a_well_behaved_vendor_never_fails() -> None:
    assert failures(make_simulated(), make_request(), 200) == []


def test_latency_is_slept_before_every_answer() -> None:
    naps: list[float] = []
    source = make_simulated(latency=0.25, sleep=naps.append)
    source.fetch(make_request())
    source.fetch(make_request())
    assert naps == [0.25, 0.25]


@pytest.mark.parametrize(
    ("setting", "code", "retry_after"),
    [
        ("failure_rate", "source_error", None),
        ("throttle_rate", "throttled", 1.0),
        ("empty_rate", "empty_answer", None),
    ],
)
def test_a_rate_of_one_always_misbehaves(setting: str, code: str, retry_after: float | None) -> None:
    rates: dict[str, Any] = {setting: 1.0}
    found = failures(make_simulated(**rates), make_request(), 20)
    assert [(type(error), error.code, error.retry_after) for error in found] == [
        (Transient, code, retry_after)
    ] * 20


def test_a_hung_request_blocks_for_a_minute_and_then_times_out() -> None:
    naps: list[float] = []
    with pytest.raises(Transient) as caught:
        make_simulated(hang_rate=1.0, sleep=naps.append).fetch(make_request())
    assert caught.value.code == "timeout"
    assert naps == [HANG_SECONDS] == [60.0]


@pytest.mark.parametrize("setting", ["failure_rate", "throttle_rate", "empty_rate"])
def test_a_rate_is_met_over_many_requests_and_a_retry_may_succeed(setting: str) -> None:
    rates: dict[str, Any] = {setting: 0.25}
    found = failures(make_simulated(**rates), make_request(), 2000)
    assert 400 < len(found) < 600


def test_rates_add_up_without_hiding_each_other() -> None:
    source = make_simulated(
        failure_rate=0.2, throttle_rate=0.2, empty_rate=0.2, hang_rate=0.2, sleep=lambda seconds: None
    )
    codes = [error.code for error in failures(source, make_request(), 2000)]
    assert {code: 320 < codes.count(code) < 480 for code in codes} == dict.fromkeys(
        ["source_error", "throttled", "empty_answer", "timeout"], True
    )


def test_an_empty_answer_is_believed_where_no_session_is() -> None:
    weekend = make_request(start=date(2024, 6, 8), end=date(2024, 6, 9))
    assert make_simulated(empty_rate=1).fetch(weekend) == []


# The log of requests.


def test_every_request_is_one_line_whatever_becomes_of_it(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    make_simulated(log=str(log)).fetch(make_request("300001"))
    failures(make_simulated(log=str(log), failure_rate=1), make_request(), 1)
    failures(make_simulated(log=str(log)), make_request("999999"), 1)
    assert log.read_text() == "5.250000 7 300001\n5.250000 7 000001\n5.250000 7 999999\n"


def test_a_request_is_logged_before_it_is_answered(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    seen: list[str] = []
    source = make_simulated(log=str(log), latency=1, sleep=lambda seconds: seen.append(log.read_text()))
    source.fetch(make_request())
    assert seen == ["5.250000 7 000001\n"]


def test_asking_for_the_list_is_not_logged(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    make_simulated(log=str(log)).symbols("CN")
    assert not log.exists()


def test_a_log_that_cannot_be_written_is_said_and_not_retried(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="log of simulated requests"):
        make_simulated(log=str(tmp_path / "missing" / "requests.log")).fetch(make_request())


ASK = """
import sys
from datetime import date
from tasks_app.conf import Simulated
from tasks_app.sources.base import Request
from tasks_app.sources.simulated.source import SimulatedSource
source = SimulatedSource(Simulated(bars=1, log=sys.argv[1]))
for _ in range(300):
    source.fetch(Request("CN", "000001", date(2024, 1, 1), date(2024, 1, 31)))
"""


def test_processes_do_not_mix_up_their_lines(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    command = [sys.executable, "-c", ASK, str(log)]
    asking = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in asking] == [0, 0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == 900
    assert {line.split()[1] for line in lines} == {str(process.pid) for process in asking}
    assert all(re.fullmatch(r"\d+\.\d{6} \d+ 000001", line) for line in lines)


def test_sources_know_nothing_of_django() -> None:
    check = (
        "import sys, tasks_app.sources.simulated.source, tasks_app.sources.sample as s; s.bars_by_code(); "
    )
    check += "sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)
