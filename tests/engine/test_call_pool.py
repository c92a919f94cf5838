"""Calls in threads: each begins within its permitted time or not at all, and can be abandoned."""

import threading
import time

import pytest

from tasks_app.engine.call_pool import CallPool
from tasks_app.sources.base import Permanent, Transient

pytestmark = pytest.mark.any_database


def in_seconds(seconds):
    return time.monotonic() + seconds


def test_call_begins_at_its_time():
    calls = CallPool(5.0)
    since = in_seconds(0.1)
    calls.submit("a", time.monotonic, since)
    call = calls.next(2.0)
    assert call.result >= since
    assert calls.is_idle()


def test_missed_call_is_never_made():
    calls, made = CallPool(5.0), []
    calls.submit("a", lambda: made.append(1), since=0.0, until=in_seconds(-0.1))
    call = calls.next(2.0)
    assert call.key == "a"
    assert call.missed
    assert made == []


def test_recall_takes_back_only_waiting_calls():
    calls, began, released = CallPool(5.0), threading.Event(), threading.Event()
    calls.submit("running", lambda: began.set() or released.wait(5))
    calls.submit("waiting", lambda: pytest.fail("it was recalled"), in_seconds(0.2))
    assert began.wait(2)
    assert calls.recall() == ["waiting"]
    assert calls.next(0.3) is None
    released.set()
    assert calls.next(2.0).key == "running"
    assert calls.is_idle()


def test_abandon_all_counts_only_running_calls():
    calls, began, released = CallPool(5.0), threading.Event(), threading.Event()
    calls.submit("running", lambda: began.set() or released.wait(5))
    calls.submit("waiting", lambda: pytest.fail("it was abandoned"), in_seconds(0.2))
    assert began.wait(2)
    calls.abandon_all()
    assert calls.abandoned == 1
    assert calls.is_idle()
    assert calls.next(0.3) is None
    released.set()


def test_wait_for_the_limiter_does_not_count_as_latency():
    calls = CallPool(0.2)
    calls.submit("a", lambda: "late", in_seconds(0.4))
    call = calls.next(0.3) or calls.next(2.0)
    assert call.result == "late"
    assert call.error is None
    assert call.seconds < 0.2


def test_hung_call_is_abandoned_while_others_end():
    calls, released = CallPool(0.2), threading.Event()
    calls.submit("hung", lambda: released.wait(10))
    ended = []
    while "hung" not in ended and len(ended) < 1000:
        calls.submit("quick", lambda: time.sleep(0.01))
        call = calls.next(1.0)
        ended.append(call.key)
    released.set()
    assert isinstance(call.error, Transient)
    assert call.error.code == "timeout"
    assert calls.abandoned == 1


def wait_for_end(calls):
    """Waits until a call has ended, without taking it out of the pool."""
    while calls._ended.empty():
        time.sleep(0.001)


def test_ended_call_is_never_overdue():
    calls = CallPool(timeout=0.0)
    calls.submit("a", lambda: "result")
    wait_for_end(calls)
    call = calls.next(0.0)
    assert call.result == "result"
    assert call.error is None
    assert calls.abandoned == 0


def test_ended_call_leaves_no_thread_behind():
    calls = CallPool(5.0)
    calls.submit("a", lambda: "result")
    wait_for_end(calls)
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
