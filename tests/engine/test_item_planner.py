"""Planning a whole market: the stock list is requested through the limiter, and its slice can be stopped."""

import math
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from uuid import UUID

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle, reasons
from tasks_app.lifecycle import recovery, worker_actions
from tasks_app.market import stock_list
from tasks_app.models import CollectionItem, CollectionTask, SourceGate, Stock, StockList, TaskEvent
from tasks_app.sources.base import Symbol, Transient
from tasks_app.workers import shutdown
from tests.engine.helpers import cancel_if_running, make_first_task, run_one_slice
from tests.factories import ACTOR
from tests.fakes.scripted_sources import STOCKS, First
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_stock_list_waits_for_the_limiter(configure_short_slices, monkeypatch):
    monkeypatch.setattr(recovery, "PLAN_ATTEMPTS", 2)
    configure_short_slices(daily_caps=(("first", 1),), heartbeat=0.2)
    SourceGate.objects.create(source="first", open_until=Now() + timedelta(hours=1), reason="Banned.")
    task = make_first_task(stock_codes=None)
    for _ in range(4):  # more slices than workers may be lost during planning
        run_one_slice()
        lifecycle.rescue(task.pk)
    assert First.calls == []
    task.refresh_from_db()
    assert task.status == "running"
    assert task.planned_at is None
    SourceGate.objects.update(open_until=None)
    run_one_slice()
    task.refresh_from_db()
    assert First.calls == ["list"]
    assert task.total_stocks == STOCKS


@pytest.fixture
def plan_refused(configure_short_slices, monkeypatch):
    """Returns a function that plans a market whose stock list is refused with a ban."""
    configure_short_slices(rates=(("first", 1000.0),), list_max_age=0.0)

    def raise_banned(self, market):
        First.calls.append("list")
        raise Transient("Banned.", code="blacklisted", retry_after=36_000)

    def plan():
        monkeypatch.setattr(First, "symbols", raise_banned)
        First.calls.clear()
        task = make_first_task(stock_codes=None, force_update=True)
        run_one_slice()
        task.refresh_from_db()
        return task

    return plan


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_refused_stock_list_opens_the_breaker(plan_refused):
    task = plan_refused()
    assert task.status == "failed"
    assert task.error_code == "blacklisted"
    row = SourceGate.objects.get()
    assert row.open_until is not None
    assert row.reason == "Banned."


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_refused_list_probe_keeps_the_breaker_open(plan_refused):
    make_first_task(stock_codes=None)
    work()
    SourceGate.objects.update(open_until=Now() - timedelta(seconds=1), refusals=9, reason="Banned.")
    task = plan_refused()
    assert task.status == "running", "the stored list is used"
    assert task.total_stocks == STOCKS
    assert First.calls == ["list"], "no stock is requested while the source is paused"
    row = SourceGate.objects.get()
    assert row.refusals == 10
    assert row.open_until > timezone.now()


@pytest.fixture
def hung_list(configure_short_slices, monkeypatch, clock):
    """Makes the request for the stock list hang.

    Returns a function: it sets what happens at the next heartbeat after the request has begun.
    """
    configure_short_slices()

    def hang(self, market):
        First.calls.append("list")
        clock.sleep(math.inf)

    def at_heartbeat(action):
        beat = lifecycle.beat

        def act_and_beat(lane):
            if First.calls:
                action()
            beat(lane)

        monkeypatch.setattr(lifecycle, "beat", act_and_beat)

    monkeypatch.setattr(First, "symbols", hang)
    return at_heartbeat


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_drain_does_not_wait_for_the_stock_list(hung_list, monkeypatch, clock):
    hung_list(lambda: monkeypatch.setattr(shutdown, "is_requested", lambda: True))
    task = make_first_task(stock_codes=None)
    assert clock.duration_of(run_one_slice) == pytest.approx(0.05), "one heartbeat"
    task.refresh_from_db()
    assert task.status == "running"
    assert task.planned_at is None
    assert First.calls == ["list"]
    assert OrmQ.objects.count() == 1, "its successor"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_cancel_during_the_stock_list_replaces_the_worker(hung_list, clock):
    task = make_first_task(stock_codes=None)
    hung_list(lambda: cancel_if_running(task))
    assert clock.duration_of(run_one_slice) == pytest.approx(0.05), "one heartbeat"
    assert QConf.MAX_RSS == 1


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_hung_list_replaces_the_worker_after_the_stored_one_was_used(hung_list, settings):
    stock_list.sync("CN", "first", [Symbol("000001")], today=date(2024, 3, 1))
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0, heartbeat=1.0)
    hung_list(lambda: None)
    task = make_first_task(stock_codes=None)
    run_one_slice()
    task.refresh_from_db()
    assert (task.total_stocks, First.calls[0]) == (1, "list")
    assert QConf.MAX_RSS == 1


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_drain_leaves_the_rest_of_a_plan_to_the_next_slice(configure_short_slices, monkeypatch):
    configure_short_slices()
    monkeypatch.setattr(worker_actions, "PLAN_BATCH", 4)
    task = make_first_task(stock_codes=None)
    with monkeypatch.context() as patch:
        patch.setattr(shutdown, "is_requested", CollectionItem.objects.exists)
        run_one_slice()
    task.refresh_from_db()
    assert (task.status, task.planned_at, task.total_stocks) == ("running", None, 4)
    assert OrmQ.objects.count() == 1, "its successor"
    run_one_slice()
    task.refresh_from_db()
    assert task.planned_at is not None
    assert (task.total_stocks, task.items.count()) == (STOCKS, STOCKS)


def cancel_before_batch(monkeypatch, number):
    """Runs a plan of batches of four stocks whose task is cancelled before the batch of this number.

    The slice sends no heartbeat meanwhile: only the fence can stop it.
    """
    task, batches = make_first_task(stock_codes=None), []

    def take_batch(rest, size):
        batches.append(size)
        if len(batches) == number:
            lifecycle.cancel(task.pk, ACTOR)
        return islice(rest, size)

    monkeypatch.setattr(stock_list, "islice", take_batch)
    monkeypatch.setattr(stock_list, "BATCH", 4)
    run_one_slice()
    task.refresh_from_db()
    assert task.status == "cancelled"


def test_cancel_between_two_batches_of_stocks_stores_no_further_one(configure, monkeypatch):
    configure(heartbeat=60.0)
    cancel_before_batch(monkeypatch, 2)
    assert Stock.objects.count() == 4
    assert not StockList.objects.exists()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_cancel_after_the_last_batch_of_stocks_stores_no_list(configure, monkeypatch):
    configure(heartbeat=60.0)
    cancel_before_batch(monkeypatch, 3)  # which is empty
    assert Stock.objects.count() == STOCKS
    assert not StockList.objects.exists()
    assert stock_list.fresh_codes("CN", "first", 60.0) is None


@pytest.mark.any_database  # tests/lifecycle rescues lost plans there
def test_repeatedly_lost_plan_fails_the_task(configure_short_slices):
    configure_short_slices()
    task = make_first_task(stock_codes=None)
    for _ in range(10):
        assert task_status(task) == "running"
        task.lanes.filter(number=0).update(begun=True, lease_until=Now() - timedelta(seconds=1))
        lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert task.error_code == "plan_lost"
    assert TaskEvent.objects.filter(task=task, kind="rescued").count() == 10


def lose_planner(exit_code):
    """Loses the worker that plans the task in the first slice of the queue, as its supervisor reports it."""
    job = OrmQ.objects.get()
    job.delete()
    task_id, number, generation = job.task["args"]
    lane = lifecycle.begin(UUID(task_id), number, generation, "host:1")
    lifecycle.rescue_lane(lane, exit_code)


@pytest.mark.any_database  # tests/lifecycle rescues lost plans there
def test_plan_that_fills_the_memory_twice_fails_the_task(configure_short_slices):
    configure_short_slices()
    task = make_first_task(stock_codes=None)
    for exit_code in (-9, lifecycle.OUT_OF_MEMORY):
        lose_planner(exit_code)
        assert task_status(task) == "running"
    lose_planner(lifecycle.OUT_OF_MEMORY)
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "memory_limit")
    assert task.error_message == (
        "The stock list could not be read. The request filled the worker's memory up to its limit "
        "(COLLECTOR_WORKER_MEMORY)."
    )
    assert not OrmQ.objects.exists()
    make_first_task()  # the slot is free


def task_status(task):
    return CollectionTask.objects.get(pk=task.pk).status


@pytest.fixture
def list_fails_by_network(configure_short_slices, monkeypatch, clock):
    """Returns a function that plans a market whose list fails so many times before it comes."""
    configure_short_slices(max_attempts=3, backoff=0.01, list_max_age=0.0)
    listed = First.symbols

    def plan(failures):
        def symbols(self, market):
            if First.calls.count("list") < failures:
                First.calls.append("list")
                raise Transient("Connection reset by peer.", code="network")
            return listed(self, market)

        monkeypatch.setattr(First, "symbols", symbols)
        task = make_first_task(stock_codes=None)
        for _ in range(3):  # a slice may be over between two attempts
            if OrmQ.objects.exists() and not First.calls[failures:]:
                run_one_slice()
        task.refresh_from_db()
        return task

    return plan


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_stock_list_is_requested_again_after_a_network_error(list_fails_by_network):
    task = list_fails_by_network(2)
    assert (task.status, task.total_stocks, task.error_code) == ("completed", STOCKS, "")
    events = TaskEvent.objects.filter(task=task, params__code="stock_list_repeated").order_by("pk")
    assert [event.params["attempt"] for event in events] == ["1", "2"]
    sentence = reasons.translated_warning(events[0].params)
    assert "Attempt 1 of 3" in sentence and sentence.endswith("Connection reset by peer.")


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_stock_list_that_fails_each_time_fails_the_task(list_fails_by_network):
    task = list_fails_by_network(3)
    assert (task.status, task.error_code) == ("failed", "network")
    assert First.calls.count("list") == 3
