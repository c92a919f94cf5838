"""The promises, with real processes on a real database: one task, one cancel, nothing lost or doubled.

A cancelled or paused task makes no request after that, and a source that hangs holds nobody up. A task that
yields loses and repeats nothing.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import time as wall_time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks_app import errors, lifecycle
from tasks_app.models import (
    CollectionItem,
    CollectionPlan,
    CollectionTask,
    DailyBar,
    PlanStep,
    QueuedOrder,
    TaskEvent,
)
from tasks_app.models.priorities import Priority
from tests.concurrency.collection import BARS, STOCKS, Collections
from tests.concurrency.own_database import configured, soak_on_sqlite
from tests.factories import ACTOR, make_order, make_task
from tools.simultaneous import run_at_once
from tools.worker_machine import Machine, eventually

pytestmark = pytest.mark.xdist_group("promises")  # the tests share a worker machine


def test_one_of_ten_starts_wins(database: str) -> None:
    def start(_: int) -> str:
        try:
            lifecycle.start(make_order(), ACTOR, today=make_order().end_date)
        except errors.TaskAlreadyRunning:
            return "refused"
        return "started"

    assert Counter(run_at_once(10, start)) == {"started": 1, "refused": 9}
    assert CollectionTask.objects.count() == 1


def test_one_of_ten_cancels_succeeds(database: str) -> None:
    task = make_task()

    def cancel(_: int) -> str:
        try:
            lifecycle.cancel(task.pk, ACTOR)
        except errors.TaskNotRunning:
            return "refused"
        return "cancelled"

    assert Counter(run_at_once(10, cancel)) == {"cancelled": 1, "refused": 9}
    assert TaskEvent.objects.filter(kind="cancelled").count() == 1


@pytest.fixture(scope="module")
def collections(tmp_path_factory: Any) -> Iterator[Collections]:
    collections = Collections(tmp_path_factory.mktemp("collections"))
    with configured(**collections.environment):
        yield collections


@pytest.fixture(scope="module")
def machine(module_database: str, collections: Collections) -> Iterator[Machine]:
    machine = Machine(collections.folder, module_database)
    machine.start()
    yield machine
    machine.close()


@soak_on_sqlite
def test_cancel_frees_workers_for_the_next_task(collections: Collections, machine: Machine) -> None:
    collections.start()
    hung = {line.pid for line in collections.wait_for_requests(2)}
    assert len(hung) == 2
    collections.cancel()
    collections.wait_until_idle()  # although both requests still hang
    eventually(lambda: not hung & machine.current().all(), what="the replacement of the hung workers")
    assert not hung & set(machine.living())
    assert len(collections.requests()) == 2
    collections.start()
    collections.finish()
    collections.assert_complete()


@soak_on_sqlite
def test_killed_worker_loses_only_its_claimed_stock(collections: Collections, machine: Machine) -> None:
    victim, code = collections.start_and_answer(4).popitem()
    os.kill(victim, signal.SIGKILL)
    collections.end_leases([victim])
    collections.finish()
    collections.assert_complete()
    assert collections.repeated() == [code]


@soak_on_sqlite
def test_task_continues_after_everything_was_killed(collections: Collections, machine: Machine) -> None:
    held = collections.start_and_answer(4)
    machine.close()
    machine.start(wait=False)
    collections.end_leases(held)
    collections.finish()
    collections.assert_complete()
    assert Counter(collections.repeated()) == Counter(held.values())


@soak_on_sqlite
def test_paused_task_outlives_its_workers_and_loses_nothing(
    collections: Collections, machine: Machine
) -> None:
    held = collections.start_and_answer(2)
    lifecycle.pause(collections.pk, ACTOR)
    paused_at = time.time()
    collections.wait_until_idle()  # although both requests still hang
    assert time.time() - paused_at < 10
    eventually(lambda: not set(held) & machine.current().all(), what="the replacement of the hung workers")
    assert not set(held) & set(machine.living())
    task = collections.task
    assert (task.status, task.processed_stocks) == ("running", 2)
    machine.close()
    logged = machine.log()
    machine.start(wait=False)  # a deploy
    eventually(lambda: machine.log().count("is process", len(logged)) > 2, what="the new workers")
    assert len(collections.requests()) == 4
    lifecycle.resume(collections.pk, ACTOR)
    collections.finish()
    collections.assert_complete()
    assert sorted(collections.repeated()) == sorted(held.values())  # only what was under way
    assert len(collections.requests()) == STOCKS + 2
    assert all(line.at < paused_at for line in collections.requests()[:4])


def make_due_plan(name: str, steps: int, priority: Priority) -> CollectionPlan:
    """Creates a plan of so many steps, each of which requests one stock."""
    due = timezone.now() - timedelta(seconds=1)
    fields = {"market": "SIM", "source": "held", "stock_codes": ["000001"], "force_update": True}
    plan = CollectionPlan.objects.create(
        name=name, priority=priority, at=wall_time(18), rhythm="daily", next_at=due, **fields
    )
    for position in range(1, steps + 1):
        PlanStep.objects.create(plan=plan, position=position, kind="bars")
    return plan


@pytest.fixture
def plans_end() -> Iterator[None]:
    """Other tests of the machine neither meet the plans of this one nor count their bars."""
    yield
    CollectionPlan.objects.update(enabled=False, next_at=None)
    DailyBar.objects.exclude(day__lte=make_order().end_date).delete()


def running_of(plan: CollectionPlan | None) -> CollectionTask | None:
    return CollectionTask.objects.filter(status="running", plan=plan).first()


@soak_on_sqlite
@pytest.mark.usefixtures("plans_end")
def test_yield_loses_and_repeats_nothing_whatever_is_killed(
    collections: Collections, machine: Machine
) -> None:
    before = CollectionTask.objects.count()
    collections.start(priority=Priority.LOW)
    collections.wait_for_requests(2)
    collections.answers.release(2)
    held = {line.pid: line.code for line in collections.wait_for_requests(4)}
    plan = make_due_plan("daily", 2, Priority.NORMAL)
    eventually(lambda: collections.task.yielding_at, what="the yield")
    killed, other = held
    os.kill(killed, signal.SIGKILL)
    claimed = CollectionItem.objects.filter(task=collections.pk, state="claimed")
    eventually(lambda: claimed.count() == 1, what="the release of the lost stock")
    assert collections.task.status == "running"
    collections.answers.release(1)  # the other one's request ends and is stored
    eventually(lambda: running_of(plan), what="the plan's task")
    yielded = collections.task
    assert (yielded.error_code, yielded.success_count) == ("yielded", 3)
    os.kill(machine.current().watchdog, signal.SIGKILL)  # before the first step ends
    first = running_of(plan)
    weekly = make_due_plan("weekly", 1, Priority.LOW)
    collections.answers.release(1)
    eventually(lambda: running_of(plan) not in (None, first), what="the second step")
    os.kill(machine.current().watchdog, signal.SIGKILL)  # before the last step ends
    collections.answers.release(1)
    eventually(lambda: running_of(None), what="the continuation")
    collections.answers.release_all()
    last = CollectionTask.objects.filter(plan=weekly, status="completed")
    eventually(last.exists, what="the plan of the rest's priority")
    rest = CollectionTask.objects.get(continues=collections.pk)
    assert (rest.status, rest.success_count) == ("completed", STOCKS - 3)
    assert rest.end_time and rest.end_time <= last.get().start_time
    assert CollectionTask.objects.count() - before == 5
    assert QueuedOrder.objects.get().task_id == rest.pk
    assert sorted(collections.repeated()) == sorted(["000001", "000001", "000001", held[killed]])
    assert held[other] not in rest.items.values_list("code", flat=True)
    assert DailyBar.objects.filter(day__lte=make_order().end_date).count() == STOCKS * BARS
