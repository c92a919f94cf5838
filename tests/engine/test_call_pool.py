"""Calls in threads: each begins in its time or not at all, and can be given up."""

import threading
import time

import pytest

from tasks_app.engine.call_pool import CallPool
from tasks_app.sources.base import Permanent, Transient

pytestmark = pytest.mark.any_database


def soon(seconds):
    return time.monotonic() + seconds


def test_a_call_begins_no_sooner_than_its_time():
    fetcher = CallPool(5.0)
    since = soon(0.1)
    fetcher.submit("a", time.monotonic, since)
    call = fetcher.next(2.0)
    assert call.result >= since
    assert fetcher.is_idle()


def test_a_call_whose_time_is_over_is_never_made():
    fetcher, made = CallPool(5.0), []
    fetcher.submit("a", lambda: made.append(1), since=0.0, until=soon(-0.1))
    call = fetcher.next(2.0)
    assert (call.key, call.missed, made) == ("a", True, [])


def test_calls_that_wait_can_be_recalled_and_those_that_ask_can_not():
    fetcher, asked, released = CallPool(5.0), threading.Event(), threading.Event()
    fetcher.submit("asking", lambda: asked.set() or released.wait(5))
    fetcher.submit("waiting", lambda: pytest.fail("it was recalled"), soon(0.2))
    assert asked.wait(2)
    assert fetcher.recall() == ["waiting"]
    assert fetcher.next(0.3) is None
    released.set()
    assert fetcher.next(2.0).key == "asking"
    assert fetcher.is_idle()


def test_only_calls_that_ask_are_abandoned_when_all_are_given_up():
    fetcher, asked, released = CallPool(5.0), threading.Event(), threading.Event()
    fetcher.submit("asking", lambda: asked.set() or released.wait(5))
    fetcher.submit("waiting", lambda: pytest.fail("it was given up"), soon(0.2))
    assert asked.wait(2)
    fetcher.abandon_all()
    assert (fetcher.abandoned, fetcher.is_idle()) == (1, True)
    assert fetcher.next(0.3) is None
    released.set()


def test_the_time_at_the_gate_does_not_count_as_the_source_s():
    fetcher = CallPool(0.2)
    fetcher.submit("a", lambda: "late", soon(0.4))
    call = fetcher.next(0.3) or fetcher.next(2.0)
    assert (call.result, call.error) == ("late", None)
    assert call.seconds < 0.2


def test_a_call_that_hangs_is_given_up_though_others_end_all_the_time():
    fetcher, released = CallPool(0.2), threading.Event()
    fetcher.submit("hung", lambda: released.wait(10))
    ended = []
    while "hung" not in ended and len(ended) < 1000:
        fetcher.submit("quick", lambda: time.sleep(0.01))
        call = fetcher.next(1.0)
        ended.append(call.key)
    released.set()
    assert isinstance(call.error, Transient)
    assert (call.error.code, fetcher.abandoned) == ("timeout", 1)


def ended(fetcher):
    """Wait until an answer is there, which nobody has looked at."""
    while fetcher._ended.empty():
        time.sleep(0.001)


def test_an_answer_that_is_there_is_never_late_however_late_somebody_looks():
    fetcher = CallPool(timeout=0.0)
    fetcher.submit("a", lambda: "answer")
    ended(fetcher)
    call = fetcher.next(0.0)
    assert (call.result, call.error, fetcher.abandoned) == ("answer", None, 0)


def test_an_answer_that_nobody_looks_at_leaves_no_thread_behind():
    fetcher = CallPool(5.0)
    fetcher.submit("a", lambda: "answer")
    ended(fetcher)
    fetcher.abandon_all()
    assert (fetcher.abandoned, fetcher.is_idle()) == (0, True)


def test_whatever_a_source_raises_is_told():
    fetcher = CallPool(5.0)
    fetcher.submit("a", lambda: 1 / 0)
    error = fetcher.next(2.0).error
    assert isinstance(error, Permanent)
    assert (error.code, "ZeroDivisionError" in str(error)) == ("source_raised", True)
