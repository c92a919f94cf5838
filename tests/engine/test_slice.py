"""Slices in this process, on well-behaved and broken sources."""

import math
import sys
import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.db import OperationalError, ProgrammingError
from django.db.models import F
from django.db.models.functions import Now
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle, reasons
from tasks_app.conf import Simulated
from tasks_app.engine import item_planner, recorder, slice
from tasks_app.lifecycle import payloads, recovery
from tasks_app.market import calendars
from tasks_app.models import CollectionLane, CollectionTask, DailyBar, Stock, StockList
from tasks_app.queue import dispatch
from tasks_app.sources.base import Permanent
from tasks_app.workers import memory, shutdown, watchdog
from tests.engine.helpers import cancel_if_running, make_first_task, run_all_attempts, run_one_slice
from tests.factories import ACTOR, make_task
from tests.fakes import scripted_sources
from tests.fakes.broken_sources import BrokenSource, with_broken_source
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken_source(settings):
    settings.COLLECTOR = with_broken_source(settings.COLLECTOR)


@pytest.fixture
def small_market(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, simulated=Simulated(stocks=7, bars=10))


def collect(code, **fields):
    """Collects one stock of the broken source until it has ended. Returns its item."""
    task = make_task(source="broken", stock_codes=(code,), **fields)
    run_all_attempts(task, rounds=10)
    return task.items.get()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_queued_path_names_the_job():
    module, _, name = dispatch.SLICE.rpartition(".")
    assert module == slice.__name__
    assert getattr(slice, name) == slice.run


def test_market_is_planned_and_collected(small_market):
    task = make_task(stock_codes=None)
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert task.total_stocks == 7
    assert task.success_count == 7
    assert task.collected_count == 70
    assert DailyBar.objects.count() == 70
    assert StockList.objects.get().size == Stock.objects.count() == 7


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_second_task_skips_every_bar(small_market):
    for _ in range(2):
        task = make_task(stock_codes=None)
        work()
    task.refresh_from_db()
    assert task.collected_count == 0
    assert task.skipped_count == 70
    assert DailyBar.objects.count() == 70


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_test_mode_takes_five_stocks(small_market):
    task = make_task(stock_codes=None, test_mode=True)
    work()
    task.refresh_from_db()
    assert task.total_stocks == 5
    assert task.status == "completed"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_full_collection_leaves_out_full_stocks(small_market, monkeypatch):
    monkeypatch.setattr(calendars, "FIRST_DAYS", {"SIM": date(2024, 12, 2)})
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: date(2024, 12, 31))
    for expected in (7, 0):
        task = make_task(stock_codes=None, full_collection_mode=True)
        work()
        task.refresh_from_db()
        assert task.total_stocks == expected
        assert task.status == "completed"
    warning = task.events.get(kind="warned")
    assert warning.params == {"code": "nothing_left", "stocks": "7"}
    assert payloads.task_statuses([task])[0]["notice"] == str(reasons.NOTHING_LEFT)
    assert Stock.objects.filter(full_collection_completed=True).count() == 7


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_bad_response_fails_its_stock(broken_source):
    errors = {
        "RAISES": "source_raised",
        "UNKNOWN": "unknown_stock",
        "BUSY": "throttled",
        "NUL": "source_refused",
        "TABLE": "bad_answer",
        "NAN": "not_a_number",
        "LOW": "prices_out_of_order",
        "HUGE": "bad_volume",
    }
    task = make_task(source="broken", stock_codes=tuple(errors))
    run_all_attempts(task, rounds=10)
    assert dict(task.items.values_list("code", "error_code")) == errors
    assert set(task.items.values_list("state", flat=True)) == {"failed"}
    assert not task.items.filter(error_message="").exists()
    assert not DailyBar.objects.exists()


@pytest.mark.any_database  # the same rows again; what differs is in this process
@pytest.mark.parametrize(("code", "error"), [("TWICE", "duplicate_day"), ("FUTURE", "future_day")])
def test_bad_bar_is_refused_and_good_ones_stored(broken_source, code, error):
    item = collect(code, end_date=date(2100, 1, 1))
    assert item.state == "succeeded"
    assert item.rows_collected == 1
    assert item.rows_refused == 1
    assert item.error_code == error
    item.task.refresh_from_db()
    assert item.task.refused_count == 1


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_response_without_bars_succeeds(broken_source):
    item = collect("EMPTY")
    assert item.state == "succeeded"
    assert item.rows_collected == 0


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_transient_error_is_retried(broken_source):
    item = collect("ONCE")
    assert item.state == "succeeded"
    assert item.attempts == 2
    assert item.error_code == ""


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_lasting_error_is_tried_three_times(broken_source):
    assert collect("BUSY").attempts == 3
    assert BrokenSource.calls == ["BUSY"] * 3


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_failed_stock_does_not_stop_the_others(broken_source):
    task = make_task(source="broken", stock_codes=("RAISES", "GOOD", "NAN"))
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert task.success_count == 1
    assert task.failed_count == 2


@pytest.mark.any_database  # the same rows again; what differs is in this process
@pytest.mark.parametrize(("market", "error"), [("HK", "empty_stock_list"), ("US", "list_gone")])
def test_missing_stock_list_fails_the_task(broken_source, market, error):
    task = make_task(source="broken", stock_codes=None, market=market)
    work()
    task.refresh_from_db()
    assert task.status == "failed"
    assert task.error_code == error
    assert "stock list" in task.error_message


def test_corrected_bar_is_stored_and_counted(broken_source):
    collect("GOOD")
    DailyBar.objects.update(close=10.0)
    item = collect("GOOD", force_update=True)
    assert item.rows_collected == 0
    assert item.rows_corrected == 1
    assert item.rows_skipped == 0
    assert DailyBar.objects.get().close == 11.0


def test_cancel_during_a_fetch_discards_the_response(broken_source, monkeypatch):
    task = make_task(source="broken", stock_codes=("GOOD",))
    validate = recorder.validation.validate

    def cancel_and_validate(*args):
        lifecycle.cancel(task.pk, ACTOR)
        return validate(*args)

    monkeypatch.setattr(recorder.validation, "validate", cancel_and_validate)
    work()
    task.refresh_from_db()
    assert task.status == "cancelled"
    assert task.processed_stocks == 0
    assert DailyBar.objects.count() == 0


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_cancel_abandons_a_hung_request(broken_source, settings, monkeypatch, clock):
    settings.COLLECTOR = replace(settings.COLLECTOR, heartbeat=5.0, fetch_timeout=60.0)
    monkeypatch.setattr(BrokenSource, "good", lambda *_: clock.sleep(math.inf))
    task = make_task(source="broken", stock_codes=("GOOD",))
    beat = lifecycle.beat
    monkeypatch.setattr(lifecycle, "beat", lambda lane: (cancel_if_running(task), beat(lane)))
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    assert clock.duration_of(work) == pytest.approx(5.0)
    assert QConf.MAX_RSS == 1, "the worker process must be replaced, or its thread continues the request"
    assert not DailyBar.objects.exists()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_hung_request_fails_as_timeout(broken_source, settings, monkeypatch, clock):
    settings.COLLECTOR = replace(settings.COLLECTOR, heartbeat=5.0, fetch_timeout=30.0, max_attempts=1)
    monkeypatch.setattr(BrokenSource, "good", lambda *_: clock.sleep(math.inf))
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    item = collect("GOOD")
    assert 30.0 < clock.elapsed <= 35.0
    assert item.state == "failed"
    assert item.error_code == "timeout"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_drained_slice_requeues_its_stocks(small_market, monkeypatch):
    task = make_task(stock_codes=("000001", "000002"))
    monkeypatch.setattr(shutdown, "is_requested", lambda: True)
    run_one_slice()
    assert set(task.items.values_list("state", "attempts")) == {("pending", 0)}
    assert OrmQ.objects.count() == 2


def test_slice_ends_in_time_and_queues_a_successor(small_market, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, slice_seconds=0.0, fan_out=1)
    task = make_task(stock_codes=("000001",))
    assert OrmQ.objects.count() == 1
    run_one_slice()
    task.refresh_from_db()
    assert task.processed_stocks == 0
    assert OrmQ.objects.count() == 1


def test_copies_of_a_job_do_nothing(small_market):
    task = make_task(stock_codes=("000001",))
    job = OrmQ.objects.order_by("pk").first()
    for _ in range(10):
        OrmQ.objects.create(key=job.key, payload=job.payload, lock=job.lock)
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert task.processed_stocks == 1
    assert task.items.get().attempts == 1


def test_watchdog_requeues_lost_jobs(small_market):
    task = make_task(stock_codes=("000001",))
    OrmQ.objects.all().delete()
    task.lanes.update(lease_until="2020-01-01T00:00:00Z")
    watchdog.tick()
    work()
    task.refresh_from_db()
    assert task.status == "completed"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_host_without_the_source_declines(settings, caplog):
    without_source, with_source = settings.COLLECTOR, with_broken_source(settings.COLLECTOR)
    settings.COLLECTOR = with_source
    task = make_task(source="broken", stock_codes=("GOOD",))
    settings.COLLECTOR = without_source
    assert work() == 1, "a declined task is not taken up again at once"
    assert "broken can't be used here" in caplog.text
    watchdog.tick()
    settings.COLLECTOR = with_source
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert task.items.get().attempts == 1
    assert [event.params["source"] for event in task.events.filter(kind="warned")] == ["broken"]


@pytest.mark.any_database  # the same rows again; what differs is in this process
@pytest.mark.parametrize("codes", [("GOOD",), None], ids=["stocks", "market"])
def test_source_on_no_host_fails_the_task(settings, codes, monkeypatch):
    monkeypatch.setattr(recovery, "PLAN_ATTEMPTS", 2)
    # As if the watchdog had watched the task for long enough.
    monkeypatch.setattr(watchdog.silence, "seconds", lambda task: math.inf)
    without_source = settings.COLLECTOR
    settings.COLLECTOR = with_broken_source(without_source)
    task = make_task(source="broken", stock_codes=codes)
    CollectionTask.objects.update(heartbeat_at=Now() - timedelta(seconds=without_source.abandon_after - 60))
    settings.COLLECTOR = without_source
    for _ in range(3):  # once more than workers may be lost during planning
        work()
        lifecycle.rescue(task.pk, math.inf)
    watchdog.tick()
    assert CollectionTask.objects.get().status == "running"
    CollectionTask.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(seconds=61))
    watchdog.tick()
    task.refresh_from_db()
    assert task.status == "failed"
    assert task.error_code == "source_missing"
    assert "broken" in task.error_message


def start_hours_ago(task):
    """Moves the task's start and planning to two hours ago."""
    hours_ago = Now() - timedelta(hours=2)
    CollectionTask.objects.update(start_time=hours_ago, planned_at=hours_ago)
    lifecycle.rescue(task.pk)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_source_paused_for_too_long_fails_the_task(configure_short_slices):
    configure_short_slices(rates=(("first", 1000.0),), first=scripted_sources.banned, source_give_up=3600.0)
    task = make_first_task()
    run_one_slice()
    run_one_slice()
    task.refresh_from_db()
    assert task.status == "running"
    start_hours_ago(task)
    while OrmQ.objects.exists():
        run_one_slice()
    task.refresh_from_db()
    assert task.status == "failed"
    assert task.error_code == "source_paused"
    assert "first" in task.error_message
    assert "Come back in an hour." in task.error_message


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_pause_counts_from_the_last_ended_stock(configure_short_slices):
    configure_short_slices(daily_caps=(("first", 1),), source_give_up=3600.0)
    task = make_first_task()
    run_one_slice()
    start_hours_ago(task)
    run_one_slice()
    task.refresh_from_db()
    assert task.status == "running"
    assert task.success_count == 1


def fail_to_store(monkeypatch, error):
    """Makes a slice's own thread fail when it stores a response."""

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(recorder.Recorder, "store", fail)


def exit_code(monkeypatch):
    """Runs a slice that ends its process. Returns its exit code."""
    monkeypatch.setattr(slice.os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as left:
        run_one_slice()
    return left.value.code


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_slice_without_memory_ends_its_process(configure, monkeypatch):
    """Its own thread may be the one that gets the `MemoryError` of a request's memory."""
    configure()
    make_first_task()
    fail_to_store(monkeypatch, MemoryError())
    assert exit_code(monkeypatch) == lifecycle.OUT_OF_MEMORY


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_slice_without_memory_to_log_it_ends_its_process(configure, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    configure()
    make_first_task()
    fail_to_store(monkeypatch, MemoryError())
    monkeypatch.setattr(slice.logger, "error", fail)
    assert exit_code(monkeypatch) == lifecycle.OUT_OF_MEMORY


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_thread_that_can_not_start_makes_its_stock_a_suspect(configure, monkeypatch):
    """Its stack counts against the limit of memory, whatever request has filled that."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    configure()
    task = make_first_task()
    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(memory, "is_scarce", lambda: True)
    with pytest.raises(RuntimeError):
        run_one_slice()
    assert QConf.MAX_RSS == 1, "the process is replaced"
    assert task.items.filter(losses=1, error_code="worker_lost").exists()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_unexpected_error_of_a_slice_makes_its_stocks_suspects(configure, monkeypatch):
    configure()
    task = make_first_task()
    with monkeypatch.context() as patch:
        fail_to_store(patch, KeyError("a bug"))
        with pytest.raises(KeyError):
            run_one_slice()
    item = task.items.get(losses=1)
    assert (item.state, item.attempts, item.error_code) == ("pending", 0, "worker_lost")
    assert item.error_message.endswith("The last worker lost with it failed with KeyError.")
    assert not OrmQ.objects.exists(), "the watchdog's next round supplies the task"
    watchdog.tick()
    work()
    task.refresh_from_db()
    assert task.success_count == 3


@pytest.mark.parametrize(("error", "suspects"), [(OperationalError, 0), (ProgrammingError, 1)])
def test_lost_database_makes_no_suspects(configure, monkeypatch, error, suspects):
    configure()
    task = make_first_task()
    fail_to_store(monkeypatch, error("no such thing"))
    with pytest.raises(error):
        run_one_slice()
    assert task.items.exclude(losses=0).count() == suspects


def test_slice_that_lost_its_lane_does_not_fail_the_task(configure, monkeypatch):
    """It may have been stopped for longer than its lease while the source refused the stock list."""

    def refuse(*arguments):
        CollectionLane.objects.update(generation=F("generation") + 1)
        raise Permanent("No list.")

    configure()
    task = make_task(source="first", stock_codes=None)
    monkeypatch.setattr(item_planner, "fetch_stock_list", lambda *args, **options: refuse())
    run_one_slice()
    task.refresh_from_db()
    assert task.status == "running"
