"""Each metric moves when what it measures happens, by the verbs and on the database that make it happen."""

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome, completion, order_queue, retention
from tasks_app.models import CollectionPlan, CollectionTask, QueuedOrder, SourceGate, Target
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tasks_app.quotes import coverage
from tasks_app.sources.base import Transient
from tasks_app.targets import judgement
from tasks_app.throttle import limiter as limiter_module
from tasks_app.throttle.history import Kind, RequestCounter
from tasks_app.throttle.limiter import Blocked, limiter_for
from tasks_app.workers import cluster_status, plan_scheduler
from tasks_app.workers.process_state import shared_states
from tests.api.factories import make_stock
from tests.factories import (
    ACTOR,
    age_heartbeat,
    finish,
    make_claim,
    make_ended,
    make_lane,
    make_outcome,
    make_plan,
    make_queued_order,
    make_task,
    make_yielded,
)
from tests.metrics.samples import Samples, family_names, read, value, value_in
from tests.targets.factories import at, make_target, seal

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_cache", "limited")]
SIM = {"market": "SIM", "source": "simulated"}
SOURCE = {"source": "simulated"}
BARS = {"collected": 7, "corrected": 6, "skipped": 5, "refused": 4, "flagged": 3}
COMPARED = {"compared": 2, "differing": 1}


@pytest.fixture
def limited(settings, monkeypatch):
    """The simulated source has a rate of two requests per second, a daily cap, and a breaker."""
    settings.COLLECTOR = replace(
        settings.COLLECTOR,
        rates=(("simulated", 2.0),),
        daily_caps=(("simulated", 50),),
        no_throttle=False,
        breaker_after=1,
    )
    monkeypatch.setattr(limiter_module, "random", SimpleNamespace(uniform=lambda low, high: low))


def limiter() -> Any:
    from django.conf import settings

    return limiter_for("simulated", settings.COLLECTOR)


def record_one() -> None:
    """Records the first stock of a new task, with bars of every kind."""
    outcome = Outcome(ItemState.SUCCEEDED, **BARS, **COMPARED)
    lifecycle.record(make_claim(make_task()), outcome)


def claim_one() -> None:
    make_claim(make_task())


def queue_one() -> None:
    make_queued_order(priority=Priority.HIGH)
    QueuedOrder.objects.update(queued_at=Now() - timedelta(seconds=90))


def count_requests() -> None:
    counter = RequestCounter("simulated")
    counter.count(Kind.ANSWERED, 0.3)
    counter.count(Kind.REFUSED, 2.0, "throttled")
    counter.store()


def refuse() -> None:
    (permit,) = limiter().reserve(1)
    limiter().record_failure(permit, Transient("Too many requests.", code="throttled"))


def publish_workers() -> None:
    """Publishes a worker machine with two workers, once, as its watchdog does."""
    workers = shared_states(2)
    workers[0].pid, workers[1].pid = 11, 12

    def stop(seconds: float) -> None:
        raise InterruptedError

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(cluster_status, "time", SimpleNamespace(sleep=stop))
        with pytest.raises(InterruptedError):
            cluster_status.publish_forever(10, workers)


def begin_to_yield() -> None:
    """A plan is due while a worker holds a stock of a task of a lower priority."""
    lifecycle.claim(make_lane(make_task(priority=Priority.LOW)), 1)
    make_plan()
    plan_scheduler.start_due()


def wait_for_another() -> None:
    make_task()
    plan_scheduler.start_due()


def start_late() -> None:
    wait_for_another()
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    plan_scheduler.start_due()


def refuse_plan() -> None:
    CollectionPlan.objects.update(source="gone")
    plan_scheduler.start_due()


def store_bars() -> None:
    """Stores three bars of one stock, by a whole run of its source."""
    from tasks_app.models import Series

    make_stock("SIM", "000001")
    finish(make_task(stock_codes=("000001",)))
    Series.objects.update_or_create(
        market="SIM", symbol="000001", adjust="", defaults={"bars": 3, "first_day": DAY, "last_day": DAY}
    )
    coverage.forget_cached()


def judge(sealed: str | None) -> None:
    """Judges the target's session, of which a stock is missing, or whose day was sealed at this time."""
    if sealed:
        seal(at(f"30 {sealed}"))
    else:
        make_stock("CN", "600000")
    judgement.judge(at("30 18:00"))


def complete() -> None:
    make_outcome("complete")


def take_permits() -> None:
    limiter().reserve(2)


DAY = timezone.now().date() - timedelta(days=400)
PLAN = {"plan": "nightly"}
TARGET = {"target": "A-shares", "market": "CN"}
COMPLETE = {**SIM, "status": "completed", "outcome": "complete"}
# By the family: a sample of it (its name and labels), what makes it move, and by how much; a function tells
# whether the new value is right where it depends on the time. Further ones are tested below.
MOVES: dict[str, tuple[str, dict[str, str], Callable[[], object], Any]] = {
    "tasks_total": ("", COMPLETE, complete, 1),
    "last_task_end_timestamp_seconds": (
        "",
        COMPLETE,
        complete,
        lambda at: at > 1.7e9,
    ),
    "items_total": ("", {**SIM, "result": "succeeded"}, record_one, 1),
    **{f"bars_{name}_total": ("", SIM, record_one, count) for name, count in {**BARS, **COMPARED}.items()},
    "task_running": ("", {}, claim_one, 1),
    "task_paused": ("", {}, lambda: lifecycle.pause(make_task().pk, ACTOR), 1),
    "task_yielding": ("", {}, begin_to_yield, 1),
    "task_heartbeat_age_seconds": (
        "",
        {},
        lambda: age_heartbeat(make_task(), 60),
        lambda age: 60 <= age < 600,
    ),
    "task_start_timestamp_seconds": ("", {}, claim_one, lambda at: at > 1.7e9),
    "task_items": ("", {"state": "claimed"}, claim_one, 1),
    "lanes": ("", {"state": "busy"}, claim_one, 1),
    "source_requests_total": ("", {**SOURCE, "outcome": "refused", "code": "throttled"}, count_requests, 1),
    "source_request_duration_seconds": ("_sum", {**SOURCE, "outcome": "refused"}, count_requests, 2),
    "source_permits_total": ("", SOURCE, take_permits, 2),
    "source_wait_seconds_total": ("", SOURCE, take_permits, lambda wait: 0.5 <= wait < 1),
    "source_permits_today": ("", SOURCE, take_permits, 2),
    "source_daily_cap": ("", SOURCE, take_permits, 50),
    "source_refusals": ("", SOURCE, refuse, 1),
    "source_breaker_open": ("", SOURCE, refuse, 1),
    "source_pause_seconds": ("", SOURCE, refuse, lambda left: 0 < left <= 66),
    "queue_jobs": ("", {"state": "taken"}, lambda: make_task() and get_broker().dequeue(), 1),
    "queue_oldest_job_age_seconds": (
        "",
        {},
        lambda: make_task() and OrmQ.objects.update(lock=Now() - timedelta(seconds=60)),
        lambda age: 60 <= age < 600,
    ),
    "queued_orders": ("", {"priority": "high"}, queue_one, 1),
    "queued_orders_oldest_age_seconds": (
        "",
        {},
        queue_one,
        lambda age: 60 <= age < 600,
    ),
    "workers": ("", {"host": socket.gethostname()}, publish_workers, 2),
    "worker_machines": ("", {}, publish_workers, 1),
    "plan_lateness_seconds": ("", PLAN, make_plan, lambda late: 59 <= late < 600),
    "plan_waiting": ("", PLAN, lambda: make_plan() and wait_for_another(), 1),
    "plan_failed": ("", PLAN, lambda: make_plan() and refuse_plan(), 1),
    "plan_late_runs_total": ("", PLAN, lambda: make_plan() and start_late(), 1),
    "plan_next_run_timestamp_seconds": ("", PLAN, make_plan, lambda at: at > 1.7e9),
    "plan_last_run_timestamp_seconds": (
        "",
        PLAN,
        lambda: make_plan() and plan_scheduler.start_due(),
        lambda at: at > 1.7e9,
    ),
    "target_met": ("", TARGET, lambda: make_target() and judge("16:00"), 1),
    "target_missing_stocks": ("", TARGET, lambda: make_target() and judge(None), 1),
    "target_lateness_seconds": ("", TARGET, lambda: make_target() and judge("17:32"), 120),
    "stored_bars": ("", {"market": "SIM", "adjust": ""}, store_bars, 3),
    "stored_stocks": ("", {"market": "SIM", "adjust": "", "state": "behind"}, store_bars, 1),
}


# The families that one event moves are read after it at once.
EVENTS = {
    happen: [family for family in MOVES if MOVES[family][2] is happen] for _, _, happen, _ in MOVES.values()
}


@cache
def before() -> Samples:
    """Returns what is read before anything happens, which is the same in each test."""
    return read()


# The same queries read what any event moved: on PostgreSQL they follow those with ages and sums in SQL.
IN_SQL = {"items_total", "task_heartbeat_age_seconds", "queue_oldest_job_age_seconds", "queued_orders"}
IN_SQL |= {
    "task_running",
    "source_permits_total",
    "plan_lateness_seconds",
    "target_lateness_seconds",
    "stored_bars",
}


@pytest.mark.parametrize(
    "happen",
    [
        pytest.param(happen, marks=[] if IN_SQL & set(families) else pytest.mark.any_database)
        for happen, families in EVENTS.items()
    ],
    ids=["+".join(families) for families in EVENTS.values()],
)
def test_metrics_move(happen):
    old = before()
    happen()
    new = read()
    for family in EVENTS[happen]:
        suffix, labels, _, expected = MOVES[family]
        key = (f"collector_{family}{suffix}", frozenset(labels.items()))
        assert not old.get(key)
        assert expected(new[key]) if callable(expected) else new[key] == expected


@pytest.mark.any_database  # names
def test_every_metric_is_seen_to_move():
    assert family_names() == {f"collector_{family}" for family in MOVES}


def test_tasks_are_counted_by_how_they_ended():
    make_yielded()
    lifecycle.cancel(CollectionTask.objects.get(status="running").pk, ACTOR)
    make_ended("completed")
    make_ended("failed")
    counts = {key: number for key, number in read().items() if key[0] == "collector_tasks_total"}
    ended = (("completed", "no_bars"), ("failed", ""), ("cancelled", ""), ("cancelled", "yielded"))
    for status, outcome in ended:
        assert value_in(counts, "tasks_total", **SIM, status=status, outcome=outcome) == 1
    assert (len(counts), sum(counts.values())) == (7, 4)  # with a zero for each other way


def test_counters_go_on_when_the_task_ends_and_is_deleted():
    record_one()
    running = {key: number for key, number in read().items() if key[0].startswith("collector_bars_")}
    assert sum(running.values()) == sum(BARS.values()) + sum(COMPARED.values())
    with patch.object(completion, "Now", lambda: Now() - timedelta(days=8)):
        lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    CollectionTask.objects.update(start_time=Now() - timedelta(days=9))
    while retention.prune(5).total:
        continue
    assert not CollectionTask.objects.exists()
    assert {key: number for key, number in read().items() if key in running} == running
    record_one()
    found = read()
    assert value_in(found, "bars_collected_total", **SIM) == 2 * BARS["collected"]
    assert value_in(found, "items_total", **SIM, result="succeeded") == 2


@pytest.mark.any_database  # the query of test_metrics_move
def test_items_of_the_running_task_are_counted_by_state():
    task = make_task()
    first, _ = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(first, Outcome(ItemState.FAILED, error_code="timeout"))
    task.refresh_from_db()
    found = read()
    states = {
        state: value_in(found, "task_items", state=state)
        for state in ("pending", "claimed", "succeeded", "failed")
    }
    assert states == {"pending": 1, "claimed": 1, "succeeded": 0, "failed": 1}
    lanes = [value_in(found, "lanes", state=state) for state in ("busy", "waiting")]
    assert lanes == [1, task.lanes.count() - 1]


@pytest.mark.any_database  # the query of test_metrics_move
def test_waiting_orders_are_counted_by_priority_until_they_leave():
    for priority in (Priority.LOW, Priority.NORMAL, Priority.NORMAL):
        make_queued_order(priority=priority)
    QueuedOrder.objects.filter(priority=Priority.LOW).update(queued_at=Now() - timedelta(days=1))
    order_queue.start_next()
    found = read()
    counts = {name: value_in(found, "queued_orders", priority=name) for name in ("low", "normal", "high")}
    assert counts == {"low": 1, "normal": 1, "high": 0}
    assert value_in(found, "queued_orders_oldest_age_seconds") > 86_000
    order_queue.withdraw(QueuedOrder.objects.get(priority=Priority.LOW).pk, ACTOR)
    assert value("queued_orders_oldest_age_seconds") < 3600


def test_requests_outlive_their_days():
    from tasks_app.models import SourceRequests
    from tasks_app.throttle import history

    count_requests()
    SourceRequests.objects.update(day=DAY)
    assert history.prune(30) == 2
    count_requests()
    found = read()
    assert value_in(found, "source_requests_total", **SOURCE, outcome="answered", code="") == 2
    assert value_in(found, "source_requests_total", **SOURCE, outcome="failed", code="") == 0


@pytest.mark.any_database  # summed up in Python
def test_latencies_are_a_cumulative_histogram():
    count_requests()
    name, labels = "source_request_duration_seconds_bucket", {**SOURCE, "outcome": "answered"}
    found = {
        dict(key[1])["le"]: number
        for key, number in read().items()
        if key[0] == f"collector_{name}" and ("outcome", "answered") in key[1]
    }
    assert list(found.values()) == sorted(found.values())
    assert (found["0.284"], found["0.555"], found["+Inf"]) == (0, 1, 1)
    assert value("source_request_duration_seconds_count", **labels) == 1


@pytest.mark.any_database  # counted in Python
def test_wait_in_a_line_that_is_too_long_counts(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(limiter_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    one = limiter()
    one.reserve(2)
    SourceGate.objects.update(next_at=timezone.now() + timedelta(hours=1), recent={})  # however slow the test
    assert isinstance(one.reserve(1), Blocked)
    waited = SourceGate.objects.get().waited
    now[0] += 7
    SourceGate.objects.update(next_at=None, recent={})
    one.reserve(1)
    assert SourceGate.objects.get().waited - waited == pytest.approx(7, abs=0.01)
    SourceGate.objects.update(next_at=None, recent={})
    one.reserve(1)  # at once
    assert SourceGate.objects.get().waited - waited == pytest.approx(7, abs=0.01)


@pytest.mark.any_database  # counted in Python
def test_pause_is_no_wait_for_a_turn(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(limiter_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    one = limiter()
    refuse()
    assert one.reserve(1).reason
    now[0] += 60
    SourceGate.objects.update(open_until=None, next_at=None, recent={})
    one.reserve(1)
    assert SourceGate.objects.get().waited == pytest.approx(0, abs=0.01)


def test_yesterdays_permits_are_none_of_today():
    limiter().reserve(2)
    SourceGate.objects.update(day=DAY)
    found = read()
    permits = [value_in(found, f"source_permits_{which}", **SOURCE) for which in ("today", "total")]
    assert permits == [0, 2]


@pytest.mark.any_database  # the query of test_metrics_move
def test_gate_of_a_source_that_is_not_installed_here_is_shown():
    SourceGate.objects.create(source="elsewhere", open_until=Now() + timedelta(hours=1))
    assert value("source_breaker_open", source="elsewhere") == 1


@pytest.mark.any_database  # filtered as on SQLite
def test_disabled_plan_has_no_metrics():
    make_plan(enabled=False, next_at=None)
    assert value("plan_lateness_seconds", **PLAN) is None


@pytest.mark.any_database  # filtered as on SQLite
def test_target_that_is_switched_off_has_no_metrics():
    make_target()
    judge(None)
    found = read()
    assert value_in(found, "target_met", **TARGET) == 0
    assert value_in(found, "target_lateness_seconds", **TARGET) > 3600
    Target.objects.update(enabled=False)
    assert value("target_met", **TARGET) is None


@pytest.mark.any_database  # the query of test_metrics_move
def test_plan_whose_task_failed_has_failed():
    plan = make_plan(next_at=timezone.now() + timedelta(days=1))
    plan.last_task = make_ended("failed")
    plan.save()
    assert value("plan_failed", **PLAN) == 1
    CollectionTask.objects.all().delete()
    assert value("plan_failed", **PLAN) == 0


@pytest.mark.any_database  # the same queries there
def test_scrape_takes_few_queries_however_much_there_is():
    make_plan()
    record_one()
    with CaptureQueriesContext(
        connection,
    ) as first:
        read()
    for name in ("a", "b", "c"):
        make_plan(name=name)
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    for _ in range(3):
        make_outcome("complete")
    record_one()
    coverage.cached_coverage()
    with CaptureQueriesContext(connection) as second:
        read()
    assert len(second) <= len(first)
    assert len(second) <= 11


def test_paused_task_has_no_age_of_a_heartbeat():
    task = make_task()
    assert value("task_heartbeat_age_seconds") is not None
    lifecycle.pause(task.pk, ACTOR)
    assert value("task_heartbeat_age_seconds") is None
    assert value("task_running") == 1
