"""A task yields on real workers: what is under way ends, whatever is killed, and no stock comes twice."""

import os
import signal
from datetime import time, timedelta
from pathlib import Path

from django.utils import timezone

from tasks_app.models import CollectionItem, CollectionPlan, CollectionTask, DailyBar, PlanStep, QueuedOrder
from tasks_app.models.priorities import Priority
from tests.concurrency.collection import BARS, STOCKS, Collections
from tests.concurrency.own_database import configured, soak_on_sqlite
from tests.factories import make_order
from tools.worker_machine import Machine, eventually


def make_due_plan(name: str, steps: int, priority: Priority) -> CollectionPlan:
    """Creates a plan of so many steps, each of which requests one stock."""
    due = timezone.now() - timedelta(seconds=1)
    fields = {"market": "SIM", "source": "held", "stock_codes": ["000001"], "force_update": True}
    plan = CollectionPlan.objects.create(
        name=name, priority=priority, at=time(18), rhythm="daily", next_at=due, **fields
    )
    for position in range(1, steps + 1):
        PlanStep.objects.create(plan=plan, position=position, kind="bars")
    return plan


def running_of(plan: CollectionPlan | None) -> CollectionTask | None:
    return CollectionTask.objects.filter(status="running", plan=plan).first()


@soak_on_sqlite
def test_yield_loses_and_repeats_nothing_whatever_is_killed(database: str, tmp_path: Path) -> None:
    collections = Collections(tmp_path)
    with configured(**collections.environment):
        machine = Machine(tmp_path, database)
        machine.start()
        try:
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
            assert CollectionTask.objects.count() == 5
            assert QueuedOrder.objects.get().task_id == rest.pk
            assert sorted(collections.repeated()) == sorted(["000001", "000001", "000001", held[killed]])
            assert held[other] not in rest.items.values_list("code", flat=True)
            assert DailyBar.objects.filter(day__lte=make_order().end_date).count() == STOCKS * BARS
        finally:
            machine.close()
