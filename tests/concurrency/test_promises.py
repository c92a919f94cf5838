"""The promises, with real processes on a real database: one task, one cancel, nothing lost or doubled.

A cancelled or paused task makes no request after that, and a source that hangs holds nobody up.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tasks_app import errors, lifecycle
from tasks_app.models import CollectionTask, TaskEvent
from tests.concurrency.collection import STOCKS, Collections
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
