"""Slices at work in this process, on well-behaved and odd sources."""

import math
import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.conf import Simulated
from tasks_app.engine import recorder, slice
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, Stock, StockList
from tasks_app.queue import dispatch
from tasks_app.workers import shutdown, watchdog
from tests.factories import ACTOR, make_task
from tests.fakes.broken_sources import BrokenSource, with_broken_source
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.fixture
def odd(settings):
    settings.COLLECTOR = with_broken_source(settings.COLLECTOR)


@pytest.fixture
def small(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, simulated=Simulated(stocks=7, bars=10))


def run(code, **fields):
    """Collect one code of the odd source; its item afterwards."""
    task = make_task(source="broken", stock_codes=(code,), **fields)
    for _ in range(10):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        watchdog.tick()
    return task.items.get()


def test_the_job_that_dispatch_names_is_there():
    module, _, name = dispatch.SLICE.rpartition(".")
    assert (module, getattr(slice, name)) == (slice.__name__, slice.run)


def test_a_market_is_planned_collected_and_completed(small):
    task = make_task(stock_codes=None)
    work()
    task.refresh_from_db()
    assert (task.status, task.total_stocks, task.success_count, task.collected_count) == (
        "completed",
        7,
        7,
        70,
    )
    assert DailyBar.objects.count() == 70
    assert StockList.objects.get().size == Stock.objects.count() == 7


def test_collecting_again_skips_every_bar(small):
    for _ in range(2):
        task = make_task(stock_codes=None)
        work()
    task.refresh_from_db()
    assert (task.collected_count, task.skipped_count, DailyBar.objects.count()) == (0, 70, 70)


def test_the_sample_is_12154_real_bars_of_5_stocks():
    task = make_task(
        source="sample", stock_codes=None, start_date=date(2000, 1, 1), end_date=date(2013, 12, 31)
    )
    work()
    task.refresh_from_db()
    assert (task.market, task.success_count, task.collected_count) == ("US", 5, 12_154)


def test_test_mode_takes_the_first_five_stocks(small):
    task = make_task(stock_codes=None, test_mode=True)
    work()
    task.refresh_from_db()
    assert (task.total_stocks, task.status) == (5, "completed")


def test_full_collection_mode_marks_stocks_and_leaves_them_out_next_time(small):
    for expected in (7, 0):
        task = make_task(stock_codes=None, full_collection_mode=True)
        work()
        task.refresh_from_db()
        assert (task.total_stocks, task.status) == (expected, "completed")
    assert (
        Stock.objects.filter(full_collection_completed=True, full_collection_date__isnull=False).count() == 7
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("RAISES", "source_raised"),
        ("UNKNOWN", "unknown_stock"),
        ("BUSY", "throttled"),
        ("NUL", "source_refused"),
        ("TEXT", "bad_answer"),
        ("TABLE", "bad_answer"),
        ("NAN", "not_a_number"),
        ("LOW", "prices_out_of_order"),
        ("HUGE", "bad_volume"),
    ],
)
def test_a_bad_answer_fails_its_stock_with_a_code_and_a_sentence(odd, code, error):
    item = run(code)
    assert (item.state, item.error_code) == ("failed", error)
    assert item.error_message
    assert not DailyBar.objects.exists()


@pytest.mark.parametrize(("code", "error"), [("TWICE", "duplicate_day"), ("FUTURE", "future_day")])
def test_one_bad_bar_is_refused_and_counted_and_the_good_ones_are_kept(odd, code, error):
    item = run(code, end_date=date(2100, 1, 1))
    assert (item.state, item.rows_collected, item.rows_refused, item.error_code) == ("succeeded", 1, 1, error)
    item.task.refresh_from_db()
    assert item.task.refused_count == 1


@pytest.mark.parametrize("code", ["EMPTY", "NOTHING"])
def test_an_answer_without_bars_is_a_success_without_bars(odd, code):
    item = run(code)
    assert (item.state, item.rows_collected) == ("succeeded", 0)


def test_a_passing_fault_is_tried_again(odd):
    item = run("ONCE")
    assert (item.state, item.attempts, item.error_code) == ("succeeded", 2, "")


def test_a_fault_that_does_not_pass_is_tried_three_times(odd):
    assert run("BUSY").attempts == 3
    assert BrokenSource.calls == ["BUSY"] * 3


def test_one_bad_stock_does_not_stop_the_rest(odd):
    task = make_task(source="broken", stock_codes=("RAISES", "GOOD", "NAN"))
    work()
    task.refresh_from_db()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 2)


@pytest.mark.parametrize(("market", "error"), [("HK", "empty_stock_list"), ("US", "list_gone")])
def test_a_stock_list_that_can_not_be_had_fails_the_task_with_the_reason(odd, market, error):
    task = make_task(source="broken", stock_codes=None, market=market)
    work()
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", error)
    assert "stock list" in task.error_message


def test_a_corrected_bar_is_stored_and_counted(odd):
    run("GOOD")
    DailyBar.objects.update(close=10.0)
    item = run("GOOD", force_update=True)
    assert (item.rows_collected, item.rows_corrected, item.rows_skipped) == (0, 1, 0)
    assert DailyBar.objects.get().close == 11.0


def test_a_cancel_during_a_fetch_throws_the_answer_away(odd, monkeypatch):
    task = make_task(source="broken", stock_codes=("GOOD",))
    monkeypatch.setattr(recorder.validation, "validate", _cancelling(task, recorder.validation.validate))
    work()
    task.refresh_from_db()
    assert (task.status, task.processed_stocks, DailyBar.objects.count()) == ("cancelled", 0, 0)


def test_a_hung_request_does_not_outlive_a_cancel_by_more_than_a_beat(odd, settings, monkeypatch):
    settings.COLLECTOR = replace(settings.COLLECTOR, heartbeat=0.05, fetch_timeout=60.0)
    released = threading.Event()
    monkeypatch.setattr(BrokenSource, "good", lambda *_: released.wait(60) and [])
    task = make_task(source="broken", stock_codes=("GOOD",))
    beat = lifecycle.beat
    monkeypatch.setattr(lifecycle, "beat", lambda lane: (_cancel(task), beat(lane)))
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    work()
    released.set()
    assert QConf.MAX_RSS == 1, "the worker process must be replaced, or its thread goes on asking"
    assert not DailyBar.objects.exists()


def test_a_request_that_hangs_too_long_is_given_up_as_a_passing_fault(odd, settings, monkeypatch):
    settings.COLLECTOR = replace(settings.COLLECTOR, heartbeat=0.05, fetch_timeout=0.1, max_attempts=1)
    released = threading.Event()
    monkeypatch.setattr(BrokenSource, "good", lambda *_: released.wait(60) and [])
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    item = run("GOOD")
    released.set()
    assert (item.state, item.error_code) == ("failed", "timeout")


def test_a_drained_slice_hands_back_and_leaves_a_successor(small, monkeypatch):
    task = make_task(stock_codes=("000001", "000002"))
    monkeypatch.setattr(shutdown, "is_requested", lambda: True)
    job = OrmQ.objects.order_by("pk").first()
    job.delete()
    slice.run(*job.task["args"])
    assert set(task.items.values_list("state", "attempts")) == {("pending", 0)}
    assert OrmQ.objects.count() == 2


def test_a_slice_ends_when_its_time_is_over_and_its_successor_goes_on(small, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, slice_seconds=0.0, fan_out=1)
    task = make_task(stock_codes=("000001",))
    job = OrmQ.objects.get()
    job.delete()
    slice.run(*job.task["args"])
    task.refresh_from_db()
    assert (task.processed_stocks, OrmQ.objects.count()) == (0, 1)


def test_copies_of_a_job_do_nothing(small):
    task = make_task(stock_codes=("000001",))
    job = OrmQ.objects.order_by("pk").first()
    for _ in range(10):
        OrmQ.objects.create(key=job.key, payload=job.payload, lock=job.lock)
    work()
    task.refresh_from_db()
    assert (task.status, task.processed_stocks, task.items.get().attempts) == ("completed", 1, 1)


def test_lost_jobs_are_made_again_by_the_watchdog(small):
    task = make_task(stock_codes=("000001",))
    OrmQ.objects.all().delete()
    task.lanes.update(lease_until="2020-01-01T00:00:00Z")
    watchdog.tick()
    work()
    task.refresh_from_db()
    assert task.status == "completed"


def test_a_host_without_the_source_leaves_the_task_to_one_that_has_it(settings, caplog):
    lacking, having = settings.COLLECTOR, with_broken_source(settings.COLLECTOR)
    settings.COLLECTOR = having
    task = make_task(source="broken", stock_codes=("GOOD",))
    settings.COLLECTOR = lacking
    assert work() == 1, "it does not take up at once what it has declined"
    assert "broken can't be used here" in caplog.text
    watchdog.tick()
    settings.COLLECTOR = having
    work()
    task.refresh_from_db()
    assert (task.status, task.items.get().attempts) == ("completed", 1)
    assert [event.params["source"] for event in task.events.filter(kind="warned")] == ["broken"]


@pytest.mark.parametrize("codes", [("GOOD",), None], ids=["stocks", "market"])
def test_a_task_whose_source_no_worker_has_fails_within_the_bound_and_names_it(settings, codes, monkeypatch):
    monkeypatch.setattr(watchdog.silence, "seconds", lambda task: math.inf)  # it has watched all the time
    plain = settings.COLLECTOR
    settings.COLLECTOR = with_broken_source(plain)
    task = make_task(source="broken", stock_codes=codes)
    CollectionTask.objects.update(heartbeat_at=Now() - timedelta(seconds=plain.abandon_after - 60))
    settings.COLLECTOR = plain
    for _ in range(15):
        work()
        watchdog.tick()
    assert CollectionTask.objects.get().status == "running"
    CollectionTask.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(seconds=61))
    watchdog.tick()
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "source_missing")
    assert "broken" in task.error_message


def _cancel(task):
    task.refresh_from_db()
    if task.status == "running":
        lifecycle.cancel(task.pk, ACTOR)


def _cancelling(task, sift):
    def cancel_first(*args):
        lifecycle.cancel(task.pk, ACTOR)
        return sift(*args)

    return cancel_first
