"""The source `simulated`: deterministic bars, and misbehaviour at the rates that are set."""

import re
from datetime import date, timedelta
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tasks_app.conf import Simulated
from tasks_app.sources.base import Bar, Permanent, Request, Source, SourceError, Transient, UnknownStock
from tasks_app.sources.market_time import market_today
from tasks_app.sources.simulated import exchange
from tasks_app.sources.simulated.source import HANG_SECONDS, SimulatedSource
from tests.sources.factories import TODAY, make_request, make_simulated


def failures(source: Source, request: Request, times: int) -> list[SourceError]:
    """Returns the errors of a number of requests."""
    errors = []
    for _ in range(times):
        try:
            source.fetch(request)
        except SourceError as error:
            errors.append(error)
    return errors


def test_index_of_inverts_symbol_at() -> None:
    indexes = [*range(12_000), 39_999]
    codes = [exchange.symbol_at(index).code for index in indexes]
    assert len(set(codes)) == len(indexes)
    assert [exchange.index_of(code) for code in codes] == indexes


def test_stocks_are_listed_in_a_market_of_their_own() -> None:
    source = make_simulated(stocks=4)
    symbols = source.symbols("SIM")
    assert [symbol.code for symbol in symbols] == ["000001", "300001", "600000", "000002"]
    assert (symbols[0].name, symbols[0].exchange) == ("Simulated 000001", "SIM")
    for market in ("CN", "HK", "US"):
        with pytest.raises(Permanent, match="serves the markets SIM"):
            source.symbols(market)
        with pytest.raises(Permanent, match="serves the markets SIM"):
            source.fetch(make_request(market=market))


@pytest.mark.parametrize("code", ["00001", "00012", "SIM0001", "SIM0012"])
def test_earlier_code_is_still_served(code: str) -> None:
    assert make_simulated().fetch(make_request(code))


@pytest.mark.parametrize("code", ["00000", "00013", "SIM0000", "SIM0013", "SIM001", "SIM00001", "0000１"])
def test_earlier_code_past_the_list_is_unknown(code: str) -> None:
    with pytest.raises(UnknownStock):
        make_simulated().fetch(make_request(code))


def test_first_code_past_the_list_is_unknown() -> None:
    make_simulated(stocks=3).fetch(make_request("600000"))
    with pytest.raises(UnknownStock):
        make_simulated(stocks=3).fetch(make_request("000002"))


def test_answer_has_the_last_sessions_of_the_request() -> None:
    bars = make_simulated(bars=6).fetch(make_request(end=date(2024, 5, 5)))
    assert [bar.day.isoformat()[5:] for bar in bars] == ["04-26", "04-29", "04-30", "05-01", "05-02", "05-03"]


def test_sessions_are_weekdays() -> None:
    start = date(2023, 12, 25)
    for first in range(8):
        for length in range(-2, 20):
            begin, end = start + timedelta(days=first), start + timedelta(days=first + length)
            wanted = [begin + timedelta(days=n) for n in range(length + 1)]
            sessions = exchange.sessions_between(begin, end)
            assert list(exchange.days_of(sessions)) == [day for day in wanted if day.weekday() < 5]


def test_no_session_lies_in_the_future() -> None:
    assert make_simulated().fetch(make_request(end=date.max))[-1].day == TODAY
    assert market_today("US") <= market_today("CN")


def test_day_has_the_same_bar_in_every_request() -> None:
    source = make_simulated(bars=10**6)
    whole = {bar.day: bar for bar in source.fetch(make_request(start=date(1950, 1, 1)))}
    for start in (date(1950, 1, 2), date(1987, 3, 5), date(2024, 6, 3)):
        for bar in source.fetch(make_request(start=start, end=start + timedelta(days=400))):
            assert whole[bar.day] == bar


def test_bars_depend_on_seed_and_code() -> None:
    bars = make_simulated().fetch(make_request())
    assert make_simulated(seed=1).fetch(make_request()) != bars
    assert make_simulated().fetch(make_request("000002")) != bars
    assert make_simulated().fetch(make_request("00001")) != bars
    assert make_simulated().fetch(make_request(adjust="qfq")) == bars


def test_bars_are_the_same_in_every_release() -> None:
    first, second = make_simulated().fetch(make_request(start=date(2024, 6, 13)))
    assert second.prev_close == first.close
    prices = (16.78, 16.92, 16.65, 16.74, 10_292_000, 16.82, 172_622_570.0)
    assert second == Bar(date(2024, 6, 14), *prices, 1.61, -0.08, -0.48, 0.2)


def test_columns_of_a_bar_agree() -> None:
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


def test_sizes_may_be_zero() -> None:
    assert make_simulated(stocks=0).symbols("SIM") == ()
    assert make_simulated(bars=0, empty_rate=1).fetch(make_request()) == []


# Misbehaviour on demand.


def test_zero_rates_never_fail() -> None:
    assert failures(make_simulated(), make_request(), 200) == []


def test_latency_is_slept_before_every_answer() -> None:
    sleeps: list[float] = []
    source = make_simulated(latency=0.25, sleep=sleeps.append)
    source.fetch(make_request())
    source.fetch(make_request())
    assert sleeps == [0.25, 0.25]


@pytest.mark.parametrize(
    ("setting", "code", "retry_after"),
    [
        ("failure_rate", "source_error", None),
        ("throttle_rate", "throttled", 1.0),
        ("empty_rate", "empty_answer", None),
    ],
)
def test_rate_of_one_always_misbehaves(setting: str, code: str, retry_after: float | None) -> None:
    rates: dict[str, Any] = {setting: 1.0}
    errors = failures(make_simulated(**rates), make_request(start=TODAY), 20)
    assert [(type(error), error.code, error.retry_after) for error in errors] == [
        (Transient, code, retry_after)
    ] * 20


def test_hung_request_times_out_after_a_minute() -> None:
    sleeps: list[float] = []
    with pytest.raises(Transient) as caught:
        make_simulated(hang_rate=1.0, sleep=sleeps.append).fetch(make_request())
    assert caught.value.code == "timeout"
    assert sleeps == [HANG_SECONDS] == [60.0]


@pytest.mark.parametrize("setting", ["failure_rate", "throttle_rate", "empty_rate"])
def test_rate_is_met_over_many_requests(setting: str) -> None:
    rates: dict[str, Any] = {setting: 0.25}
    errors = failures(make_simulated(**rates), make_request(start=TODAY), 2000)
    assert 400 < len(errors) < 600


def test_rates_add_up() -> None:
    source = make_simulated(
        failure_rate=0.2, throttle_rate=0.2, empty_rate=0.2, hang_rate=0.2, sleep=lambda seconds: None
    )
    codes = [error.code for error in failures(source, make_request(start=TODAY), 2000)]
    assert {code: 320 < codes.count(code) < 480 for code in codes} == dict.fromkeys(
        ["source_error", "throttled", "empty_answer", "timeout"], True
    )


def test_empty_answer_without_sessions_is_true() -> None:
    weekend = make_request(start=date(2024, 6, 8), end=date(2024, 6, 9))
    assert make_simulated(empty_rate=1).fetch(weekend) == []


# The log of requests.


def test_every_request_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    make_simulated(log=str(log)).fetch(make_request("300001"))
    failures(make_simulated(log=str(log), failure_rate=1), make_request(), 1)
    failures(make_simulated(log=str(log)), make_request("999999"), 1)
    assert log.read_text() == "5.250000 7 300001\n5.250000 7 000001\n5.250000 7 999999\n"


def test_request_is_logged_before_its_answer(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    seen: list[str] = []
    source = make_simulated(log=str(log), latency=1, sleep=lambda seconds: seen.append(log.read_text()))
    source.fetch(make_request())
    assert seen == ["5.250000 7 000001\n"]


def test_list_request_is_not_logged(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    make_simulated(log=str(log)).symbols("SIM")
    assert not log.exists()


def test_unwritable_log_is_a_permanent_error(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="log of simulated requests"):
        make_simulated(log=str(tmp_path / "missing" / "requests.log")).fetch(make_request())


def fetch_often(log: Path) -> None:
    source = SimulatedSource(Simulated(bars=1, log=str(log)))
    for _ in range(300):
        source.fetch(make_request(start=TODAY))


def test_log_lines_of_processes_do_not_mix(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    processes = [get_context("fork").Process(target=fetch_often, args=(log,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == 600
    assert {line.split()[1] for line in lines} == {str(process.pid) for process in processes}
    assert all(re.fullmatch(r"\d+\.\d{6} \d+ 000001", line) for line in lines)
