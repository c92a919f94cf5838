"""Calls in threads: each begins within its permitted time or not at all, and can be abandoned."""

import sys
import threading
from itertools import count
from types import SimpleNamespace

import pytest

from tasks_app.engine import call_pool
from tasks_app.engine.call_pool import CallPool, OutOfMemory
from tasks_app.sources.base import Permanent, Transient, UnknownStock, take_permit
from tasks_app.sources.permits import awaiting_turn
from tasks_app.throttle.limiter import Blocked, Permit
from tasks_app.workers import memory
from tests.fakes.clock import Event
from tools.worker_machine import PATIENCE


@pytest.fixture
def held(clock):
    """What a call waits for in vain."""
    return Event(clock)


def test_call_begins_at_its_time(clock):
    calls = CallPool(5.0)
    since = clock.monotonic() + 0.1
    calls.submit("a", clock.monotonic, since)
    assert calls.next(2.0).result == since
    assert calls.is_idle()


def test_missed_call_is_never_made(clock):
    calls, made = CallPool(5.0), []
    calls.submit("a", lambda: made.append(1), since=0.0, until=clock.monotonic() - 0.1)
    call = calls.next(2.0)
    assert call.key == "a"
    assert call.missed
    assert made == []


def test_recall_takes_back_only_waiting_calls(clock, held):
    calls = CallPool(5.0)
    calls.submit("running", held.wait)
    calls.submit("waiting", lambda: pytest.fail("it was recalled"), clock.monotonic() + 0.2)
    assert calls.next(0.1) is None
    assert calls.recall() == ["waiting"]
    assert calls.next(0.3) is None
    held.set()
    assert calls.next(2.0).key == "running"
    assert calls.is_idle()


def test_abandon_all_counts_only_running_calls(clock, held):
    calls = CallPool(5.0)
    calls.submit("running", held.wait)
    calls.submit("waiting", lambda: pytest.fail("it was abandoned"), clock.monotonic() + 0.2)
    assert calls.next(0.1) is None
    calls.abandon_all()
    assert calls.abandoned == 1
    assert calls.is_idle()
    assert calls.next(0.3) is None


def test_wait_for_the_limiter_does_not_count_as_latency(clock):
    calls = CallPool(0.2)
    calls.submit("a", lambda: clock.sleep(0.1), clock.monotonic() + 0.4)
    assert calls.next(0.3) is None
    call = calls.next(2.0)
    assert call.error is None
    assert call.seconds == pytest.approx(0.1)


def test_hung_call_is_abandoned_while_others_end(clock, held):
    calls, ended = CallPool(0.2), []
    calls.submit("hung", held.wait)
    while "hung" not in ended:
        calls.submit("quick", lambda: clock.sleep(0.01))
        call = calls.next(1.0)
        ended.append(call.key)
    assert isinstance(call.error, Transient)
    assert call.error.code == "timeout"
    assert calls.abandoned == 1
    assert clock.elapsed == pytest.approx(0.2, abs=0.02)


def test_ended_call_is_never_overdue(clock):
    calls = CallPool(timeout=0.0)
    calls.submit("a", lambda: "result")
    clock.sleep(1.0)
    call = calls.next(0.0)
    assert call.result == "result"
    assert call.error is None
    assert calls.abandoned == 0


def test_ended_call_leaves_no_thread_behind(clock):
    calls = CallPool(5.0)
    calls.submit("a", lambda: "result")
    clock.sleep(1.0)
    calls.abandon_all()
    assert calls.abandoned == 0
    assert calls.is_idle()


def test_unexpected_error_is_a_permanent_failure():
    calls = CallPool(PATIENCE)
    calls.submit("a", lambda: 1 / 0)
    error = calls.next(PATIENCE).error
    assert isinstance(error, Permanent)
    assert error.code == "source_raised"
    assert "ZeroDivisionError" in str(error)


def raise_from(cause, error):
    """Raises an error as a library does that passes every other one on as its own."""
    try:
        raise cause
    except Exception:
        raise error from None


def raise_group(cause):
    raise ExceptionGroup("several", [ValueError(), cause])


@pytest.mark.parametrize(
    "fail",
    [
        lambda: raise_from(MemoryError(), Transient("The response broke off.")),
        lambda: raise_from(MemoryError(), UnknownStock("Unknown.")),
        lambda: raise_group(MemoryError()),
        lambda: bytearray(sys.maxsize),
    ],
)
def test_memory_error_is_found_however_it_is_wrapped(fail):
    calls = CallPool(PATIENCE)
    calls.submit("a", fail)
    assert isinstance(calls.next(PATIENCE).error, OutOfMemory)
    assert calls.abandoned == 1, "the process is to be replaced"


def test_error_that_is_its_own_cause_is_told():
    def fail():
        error = ValueError("a circle")
        error.__cause__ = error.__context__ = error
        raise error

    calls = CallPool(PATIENCE)
    calls.submit("a", fail)
    assert calls.next(PATIENCE).error.code == "source_raised"


def raise_error(error):
    raise error


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        (lambda: raise_error(ValueError("C error: out of memory")), "memory_limit"),
        (lambda: raise_from(ValueError("a hole"), Permanent("Unreadable.")), "memory_limit"),
        (lambda: raise_from(Transient("Closed."), UnknownStock("None.")), "unknown_stock"),
    ],
)
def test_unexpected_error_beside_a_lack_of_memory_is_not_the_stocks_own(clock, fail, code):
    """A library may hide a `MemoryError`; what a source itself says keeps its meaning."""

    def swell():
        clock.sleep(0.1)
        raise MemoryError

    def fail_later():
        clock.sleep(0.2)
        fail()

    calls = CallPool(5.0)
    calls.submit("sweller", swell)
    calls.submit("neighbour", fail_later)
    calls.submit("third", lambda: clock.sleep(0.3))
    assert calls.next(1.0).error.code == "memory_limit"
    assert calls.next(1.0).error.code == code
    assert calls.next(1.0).error is None


def test_error_long_after_a_lack_of_memory_is_the_stocks_own(clock):
    def fail():
        clock.sleep(0.2)
        raise ValueError

    calls = CallPool(5.0)
    calls.submit("sweller", lambda: bytearray(sys.maxsize))
    assert calls.next(1.0).error.code == "memory_limit"
    clock.sleep(0.1)
    calls.submit("stock", fail)
    calls.submit("another", lambda: clock.sleep(0.3))
    assert calls.next(1.0).error.code == "source_raised"


def test_abandoned_call_may_be_what_takes_the_memory(clock, held, monkeypatch):
    monkeypatch.setattr(memory, "is_scarce", lambda: True)
    calls = CallPool(0.5)
    calls.submit("hung", held.wait)
    assert calls.next(1.0).error.code == "timeout"
    calls.submit("neighbour", lambda: 1 / 0)
    assert calls.next(0.1).error.code == "memory_limit"


def test_error_of_a_call_alone_is_its_own_however_little_memory_is_left(monkeypatch):
    monkeypatch.setattr(memory, "is_scarce", lambda: True)
    calls = CallPool(PATIENCE)
    calls.submit("a", lambda: 1 / 0)
    assert calls.next(PATIENCE).error.code == "source_raised"


class OddGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self):
        raise RuntimeError


@pytest.mark.parametrize(("kind", "count"), [(OddGroup, 1), (ExceptionGroup, 300_000)])
def test_odd_group_of_errors_is_told_as_that(kind, count):
    error = kind("odd or huge", [ValueError() for _ in range(count)])
    calls = CallPool(PATIENCE)
    calls.submit("a", lambda: raise_error(error))
    assert calls.next(PATIENCE).error.code == "source_raised"


def test_end_of_a_call_is_seen_without_memory_to_report_it(monkeypatch):
    calls = CallPool(PATIENCE)
    thread_is_done = threading.Event()

    def put(call):
        thread_is_done.set()
        raise MemoryError

    monkeypatch.setattr(calls, "_ended", SimpleNamespace(put=put, get=calls._ended.get))
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    calls.submit("a", lambda: "result")
    assert thread_is_done.wait(PATIENCE)
    assert calls.next(0.0).result == "result"
    assert calls.is_idle()


def test_error_that_can_not_be_told_for_want_of_memory_is_that(monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(call_pool, "to_source_error", fail)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    calls = CallPool(PATIENCE)
    calls.submit("a", lambda: 1 / 0)
    assert isinstance(calls.next(PATIENCE).error, OutOfMemory)


def paged(times, clock, pages=3):
    """A call of several requests; notes when each begins."""

    def fetch():
        times.append(clock.monotonic())
        for _ in range(pages - 1):
            take_permit()
            times.append(clock.monotonic())

    return fetch


def spaced(clock, step):
    """A limiter that permits one request each `step` seconds from now on."""
    turns = count(1)
    start = clock.monotonic()
    return lambda cost: [Permit(start + next(turns) * step, start + 1000)]


def test_further_requests_of_a_call_wait_for_their_permits_beyond_its_timeout(clock):
    calls, times = CallPool(5.0), []
    start = clock.monotonic()
    calls.submit("list", paged(times, clock), reserve=spaced(clock, 20.0))
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.error, [when - start for when in times]) == (None, [0.0, 20.0, 40.0])
    assert (call.seconds, calls.abandoned) == (0.0, 0)


def test_permits_of_a_call_do_not_keep_the_caller_waiting(clock):
    """It has heartbeats to send, cancels to notice and late calls to abandon."""
    calls, times = CallPool(500.0), []
    calls.submit("list", paged(times, clock, pages=40), reserve=spaced(clock, 0.3))
    for _ in range(3):
        start = clock.monotonic()
        assert calls.next(1.0) is None
        assert clock.monotonic() - start <= 1.5


def test_call_that_hangs_after_its_permit_is_abandoned(clock, held):
    def fetch():
        take_permit()
        held.wait()

    calls = CallPool(5.0)
    start = clock.monotonic()
    calls.submit("a", fetch, reserve=spaced(clock, 20.0))
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.error.code, clock.monotonic() - start) == ("timeout", 26.0)


def test_wait_for_a_turn_is_no_time_of_the_call(clock):
    def fetch():
        with awaiting_turn():
            clock.sleep(20.0)
        clock.sleep(1.0)

    calls = CallPool(5.0)
    calls.submit("a", fetch)
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.error, call.seconds, calls.abandoned) == (None, 1.0, 0)


def first_paged(times, clock):
    """A call that takes its first permit, too."""

    def fetch():
        clock.sleep(2.0)
        for _ in range(2):
            take_permit()
            times.append(clock.monotonic())
        clock.sleep(1.0)

    return fetch


def test_call_that_takes_its_first_permit_begins_with_it(clock):
    calls, times, costs = CallPool(1.5), [], []
    reserve, start = spaced(clock, 20.0), clock.monotonic()
    calls.submit(
        "a", first_paged(times, clock), reserve=lambda c: costs.append(c) or reserve(c), first_cost=3
    )
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.error, call.missed, call.seconds, costs) == (None, False, 1.0, [3, 1])
    assert [when - start for when in times] == [20.0, 40.0]


def test_call_without_a_first_permit_has_sent_nothing(clock):
    calls, times = CallPool(5.0), []
    calls.submit("a", first_paged(times, clock), reserve=lambda cost: Blocked(60.0, "Paused."), first_cost=1)
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.missed, call.error.code, times) == (True, "no_permit", [])


def test_call_that_has_no_first_permit_yet_can_be_recalled(clock):
    calls, times = CallPool(5.0), []
    calls.submit("a", first_paged(times, clock), reserve=spaced(clock, 20.0), first_cost=1)
    assert calls.next(10.0) is None
    assert (calls.recall(), calls.abandoned) == (["a"], 0)
    clock.sleep(60)
    assert times == []


def test_permit_of_a_paused_source_is_an_error_of_the_call(clock):
    calls = CallPool(5.0)
    calls.submit("a", paged([], clock), reserve=lambda cost: Blocked(60.0, "Too many requests."))
    call = calls.next(2.0)
    assert (type(call.error), call.error.code, str(call.error)) == (
        Transient,
        "no_permit",
        "Too many requests.",
    )


def test_line_of_others_is_waited_for(clock):
    answers = iter([Blocked(3.0), Blocked(0.5), [Permit()], [Permit(until=0.0)], [Permit()]])
    calls, times = CallPool(5.0), []
    start = clock.monotonic()
    calls.submit("a", paged(times, clock), reserve=lambda cost: next(answers))
    while (call := calls.next(1.0)) is None:
        continue
    assert (call.error, [when - start for when in times]) == (None, [0.0, 1.5, 1.5])


def test_abandoned_call_gets_no_permit(clock):
    calls, times = CallPool(5.0), []
    calls.submit("a", paged(times, clock), reserve=lambda cost: Blocked(1.0))
    assert calls.next(0.5) is None
    calls.abandon_all()
    clock.sleep(30)
    assert len(times) == 1


def test_take_permit_outside_the_engine_costs_nothing():
    take_permit(5)
