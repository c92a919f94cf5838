"""Calls in threads: each begins within its permitted time or not at all, and can be abandoned."""

import pytest

from tasks_app.engine.call_pool import CallPool
from tasks_app.sources.base import Permanent, Transient
from tests.fakes.clock import Event

pytestmark = pytest.mark.any_database


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
    calls = CallPool(5.0)
    calls.submit("a", lambda: 1 / 0)
    error = calls.next(2.0).error
    assert isinstance(error, Permanent)
    assert error.code == "source_raised"
    assert "ZeroDivisionError" in str(error)
