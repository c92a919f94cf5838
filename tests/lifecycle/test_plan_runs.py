"""Runs of plans: steps one after another, each attempt begun once, retries, waits, failures."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.engine import stock_list_job
from tasks_app.lifecycle import Outcome, order_queue, plan_actions, plan_runs, run_order
from tasks_app.models import CollectionPlan, CollectionTask, PlanRun, PlanStep, StepAttempt, Stock, StockList
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tasks_app.workers import plan_scheduler, watchdog
from tests.factories import (
    ACTOR,
    finish,
    make_ended,
    make_lane,
    make_order,
    make_plan,
    make_task,
    run_on_hosts,
)

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL


def make_chain(*steps, **fields):
    """Creates a due plan with these steps, each of which is its kind or the values of one."""
    plan = make_plan(market="SIM", **fields)
    for position, step in enumerate(steps, 1):
        values = {"kind": step} if isinstance(step, str) else step
        PlanStep.objects.create(plan=plan, position=position, **{"retry_wait": 0, **values})
    return plan


def running_task():
    return CollectionTask.objects.get(status="running")


def go_on(state=None):
    """Ends the running task in this state of its stocks, if one is given; then a watchdog's round."""
    if state:
        finish(running_task(), state)
    plan_scheduler.continue_runs()
    plan_scheduler.start_due()


def attempts():
    """Returns (step, attempt, kind, state) of each attempt."""
    rows = StepAttempt.objects.order_by("position", "attempt")
    return list(rows.values_list("position", "attempt", "kind", "state"))


def get_run():
    return PlanRun.objects.get()


@any_database
def test_plan_without_steps_is_a_run_of_one():
    plan = make_plan()
    watchdog.tick()
    run, task = get_run(), running_task()
    assert (run.plan, run.due_at, run.channel, run.state) == (plan, plan.next_at, "schedule", "running")
    assert (task.plan_id, task.plan_name) == (plan.pk, "nightly")
    go_on(ItemState.SUCCEEDED)
    run = get_run()
    assert (run.state, bool(run.ended_at), run.is_late, run.skipped) == ("completed", True, False, 0)
    assert attempts() == [(1, 1, "bars", "completed")]


@any_database
def test_steps_follow_each_other_one_task_at_a_time():
    make_chain("bars", {"kind": "factors", "days": 3}, {"kind": "bars", "days": 2}, days=9)
    go_on()
    first = running_task()
    assert (first.end_date - first.start_date, first.force_update) == (timedelta(days=8), False)
    go_on()
    assert CollectionTask.objects.count() == 1, "its task is running"
    go_on(ItemState.SUCCEEDED)
    factors = running_task()
    assert (factors.end_date - factors.start_date, factors.force_update) == (timedelta(days=2), True)
    go_on(ItemState.SUCCEEDED)
    go_on(ItemState.SUCCEEDED)
    kinds = ("bars", "factors", "bars")
    assert attempts() == [(n, 1, kind, "completed") for n, kind in enumerate(kinds, 1)]
    assert get_run().state == "completed"


@any_database
def test_failed_step_stops_the_run_or_lets_it_go_on():
    make_chain({"kind": "bars", "on_failure": "continue"}, "bars", "bars")
    go_on()
    go_on(ItemState.FAILED)
    go_on(ItemState.FAILED)
    assert get_run().state == "failed"
    assert attempts() == [(1, 1, "bars", "failed"), (2, 1, "bars", "failed")]
    plan = CollectionPlan.objects.get()
    assert (plan.last_task.status, plan.error_code) == ("failed", "all_failed")
    go_on()
    assert not CollectionTask.objects.filter(status="running").exists()


@any_database
def test_retry_collects_only_the_failed_stocks():
    make_chain({"kind": "bars", "retries": 2}, "bars")
    go_on()
    good, *bad = lifecycle.claim(make_lane(running_task()), 3)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    for claim in bad:
        lifecycle.record(claim, Outcome(ItemState.FAILED, error_code="timeout"))
    go_on()
    second = running_task()
    assert second.stock_codes == ["000002", "000003"]
    assert (second.retry_of.plan_id, second.plan_id) == (get_run().plan_id,) * 2
    go_on(ItemState.FAILED)
    assert running_task().retry_of == second
    go_on(ItemState.FAILED)
    states = ["with_failures", "failed", "failed", "running"]
    assert [row[3] for row in attempts()] == states, "what the first attempt collected counts"
    go_on(ItemState.SUCCEEDED)
    assert get_run().state == "completed"


def test_retry_waits_for_its_time():
    make_chain({"kind": "bars", "retries": 1, "retry_wait": 5})
    go_on()
    go_on(ItemState.FAILED)
    run = get_run()
    assert (run.state, run.attempt, run.waiting_since) == ("waiting", 2, None)
    assert timedelta(minutes=4) < run.not_before - timezone.now() <= timedelta(minutes=5)
    go_on()
    assert CollectionTask.objects.count() == 1
    PlanRun.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    go_on()
    assert running_task().retry_of is not None


@any_database
def test_cancelled_task_is_not_retried():
    make_chain({"kind": "bars", "retries": 3}, "bars")
    go_on()
    lifecycle.cancel(running_task().pk, ACTOR)
    go_on()
    assert (get_run().state, attempts()) == ("cancelled", [(1, 1, "bars", "cancelled")])


@any_database
def test_next_step_waits_for_a_persons_task_up_to_a_bound(settings):
    make_chain("bars", "bars")
    go_on()
    finish(running_task())
    other = make_task()
    go_on()
    run = get_run()
    assert (run.state, run.position, bool(run.waiting_since)) == ("waiting", 2, True)
    lifecycle.cancel(other.pk, ACTOR)
    go_on()
    assert running_task().plan_id == run.plan_id
    lifecycle.cancel(running_task().pk, ACTOR)
    StepAttempt.objects.filter(position=2).delete()
    PlanRun.objects.update(state="waiting", waiting_since=timezone.now() - timedelta(hours=13))
    make_task()
    go_on()
    run = get_run()
    assert (run.state, run.error_code, bool(run.ended_at)) == ("refused", "step_waited", True)
    assert CollectionPlan.objects.get().error_code == "step_waited"


@any_database
def test_step_that_can_not_begin_is_recorded_and_the_run_goes_on():
    make_chain("bars", {"kind": "bars", "source": "gone", "on_failure": "continue"}, "bars")
    go_on()
    go_on(ItemState.SUCCEEDED)
    assert attempts()[1] == (2, 1, "bars", "refused")
    go_on()
    go_on(ItemState.SUCCEEDED)
    run = get_run()
    assert (run.state, run.error_code) == ("refused", "unknown_source")
    assert "gone" in CollectionPlan.objects.get().error_message


@any_database
def test_refused_late_and_skipped_times_are_recorded():
    plan = make_plan(source="gone")
    due = plan.next_at
    go_on()
    assert (get_run().state, get_run().error_code, get_run().due_at) == ("refused", "unknown_source", due)
    earlier = timezone.now() - timedelta(days=2, minutes=5)
    CollectionPlan.objects.update(
        source="simulated",
        next_at=earlier,
        at=earlier.astimezone(timezone.get_fixed_timezone(480)).time(),
        waiting_since=earlier,
    )
    go_on()
    run = PlanRun.objects.latest("pk")
    assert (run.due_at, run.is_late, run.skipped) == (earlier, True, 2)


@any_database
def test_plan_waits_while_its_run_goes_on():
    plan = make_chain({"kind": "bars", "retries": 1, "retry_wait": 5})
    go_on()
    go_on(ItemState.FAILED)
    CollectionPlan.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    go_on()
    plan.refresh_from_db()
    assert plan.waiting_since is not None
    assert PlanRun.objects.count() == 1
    with pytest.raises(lifecycle.plan_runs.errors.PlanRunning):
        plan_actions.run(plan.pk, ACTOR)


@any_database
def test_changed_steps_concern_the_next_run():
    plan = make_chain("bars", "bars")
    go_on()
    plan.steps.all().delete()
    go_on(ItemState.SUCCEEDED)
    assert running_task().plan_id == plan.pk


def test_deleted_plan_ends_its_run_and_leaves_its_history():
    plan = make_chain("bars", "bars")
    go_on()
    plan_actions.delete([plan], ACTOR)
    run = get_run()
    assert (run.state, run.plan_name, attempts()) == ("cancelled", "nightly", [(1, 1, "bars", "cancelled")])
    go_on(ItemState.SUCCEEDED)
    assert CollectionTask.objects.count() == 1


@any_database
def test_stock_list_is_refreshed_by_a_job():
    make_chain("stock_list", "bars")
    go_on()
    go_on()
    (attempt,) = StepAttempt.objects.all()
    assert (attempt.kind, attempt.state, CollectionTask.objects.count()) == ("stock_list", "running", 0)
    stock_list_job.run(attempt.pk, 1)
    assert not StockList.objects.exists(), "a copy of another generation does nothing"
    for _ in range(2):
        stock_list_job.run(attempt.pk, attempt.generation)
    attempt.refresh_from_db()
    count = Stock.objects.filter(market="SIM").count()
    assert (attempt.state, attempt.result["added"], attempt.result["size"]) == ("completed", count, count)
    go_on()
    assert running_task().plan_name == "nightly"


@any_database
def test_list_that_can_not_be_had_fails_its_step():
    make_chain("stock_list", "bars", source="gone")
    go_on()
    go_on()
    stock_list_job.run(StepAttempt.objects.get().pk, 0)
    assert attempts() == [(1, 1, "stock_list", "failed")]
    assert (get_run().state, get_run().error_code) == ("failed", "unknown_source")


@any_database
def test_lost_job_is_queued_again_and_given_up_after_three():
    make_chain("stock_list")
    go_on()
    go_on()
    for generation in (1, 2):
        StepAttempt.objects.update(begun=True, alive_until=timezone.now() - timedelta(seconds=1))
        go_on()
        attempt = StepAttempt.objects.get()
        assert (attempt.generation, attempt.begun, attempt.state) == (generation, False, "running")
    StepAttempt.objects.update(alive_until=timezone.now() - timedelta(seconds=1))
    go_on()
    assert (attempts()[0][3], get_run().error_code) == ("failed", "list_job_lost")


def test_database_refuses_a_second_start_of_an_attempt():
    make_plan()
    go_on()
    for row in (
        {"run": get_run(), "position": 1, "attempt": 1, "kind": "bars"},
        {"run": get_run(), "position": 2, "attempt": 1, "kind": "bars", "state": "completed"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            StepAttempt.objects.create(**row)
    with pytest.raises(IntegrityError), transaction.atomic():
        PlanRun.objects.create(plan=get_run().plan, plan_name="nightly", channel="api")


@any_database
def test_round_without_open_run_costs_one_query():
    make_plan(next_at=timezone.now() + timedelta(days=1))
    with CaptureQueriesContext(connection) as caught:
        plan_scheduler.continue_runs()
    assert len(caught) == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_many_hosts_goes_on_with_the_run():
    make_chain("bars", {"kind": "bars", "retries": 1})
    assert not run_on_hosts(2, plan_scheduler.start_due)
    for state in (ItemState.SUCCEEDED, ItemState.FAILED, ItemState.SUCCEEDED):
        finish(running_task(), state)
        assert not run_on_hosts(2, plan_scheduler.continue_runs)
    assert [row[:2] for row in attempts()] == [(1, 1), (2, 1), (2, 2)]
    assert (CollectionTask.objects.count(), get_run().state) == (3, "completed")


@pytest.mark.django_db(transaction=True)
def test_run_now_and_the_plans_own_time_begin_one_run():
    plan = make_plan()
    raised = run_on_hosts(2, plan_scheduler.start_due) + run_on_hosts(
        2, lambda: plan_actions.run(plan.pk, ACTOR)
    )
    assert {type(error).__name__ for error in raised} <= {"TaskAlreadyRunning", "PlanRunning"}
    assert CollectionTask.objects.count() == PlanRun.objects.count() == 1


def test_last_tasks_become_runs_by_the_migration():
    migration = import_module("tasks_app.migrations.0051_runs_from_last_tasks")
    done = make_plan(name="done", last_task=make_ended("completed"))
    CollectionTask.objects.update(plan=None)
    due = make_plan(name="due", export_to="nightly", export_due=True, last_task=make_ended("failed"))
    make_plan(name="new")
    migration.make_runs(apps, None)
    assert set(PlanRun.objects.values_list("plan", "state")) == {(done.pk, "completed"), (due.pk, "running")}
    assert set(CollectionTask.objects.values_list("plan_name", flat=True)) == {"done", "due"}
    plan_scheduler.continue_runs()
    run = PlanRun.objects.get(plan=due)
    assert (run.position, run_order.step_of(run)["folder"]) == (2, "nightly")
    assert not CollectionPlan.objects.filter(export_due=True).exists()
    assert not PlanRun.objects.filter(started_at__gt=F("ended_at")).exists()


@pytest.mark.parametrize(
    "kind", [pytest.param("order", marks=any_database), pytest.param("plan", marks=any_database), "step"]
)
def test_next_step_goes_before_what_a_round_finds_after_the_end_of_its_task(kind):
    chain = make_chain("bars", "bars", name="chain")
    go_on()
    priority = Priority.LOW if kind == "order" else Priority.NORMAL
    if kind == "order":
        queue_order(priority)
    elif kind == "plan":
        make_plan(name="other", priority=priority)
    else:  # a younger run of the same priority, between its own steps
        younger = make_plan(name="other", priority=priority, enabled=False, next_at=None)
        steps = [{**get_run().steps[0]}] * 2
        PlanRun.objects.create(plan=younger, plan_name="other", steps=steps, state="waiting", position=2)
    finish(running_task())  # after this round has gone on with runs
    if kind == "step":
        with pytest.raises(plan_runs.NotNext):
            plan_runs.start_task(PlanRun.objects.get(plan=younger), ACTOR, in_turn=True)
    else:
        plan_scheduler.start_due()
        assert order_queue.start_next() is None
    assert not CollectionTask.objects.filter(status="running").exists()
    watchdog.tick()
    assert (running_task().plan_id, PlanRun.objects.get(plan=chain).position) == (chain.pk, 2)
    finish(running_task())
    watchdog.tick()
    assert running_task().plan_id != chain.pk, "the run has ended"


@any_database
def test_order_does_not_wait_for_the_time_of_a_retry():
    make_chain({"kind": "bars", "retries": 1, "retry_wait": 60})
    go_on()
    queue_order(Priority.LOW)
    go_on(ItemState.FAILED)
    assert get_run().state == "waiting"
    assert order_queue.start_next() is not None


def queue_order(priority):
    order = make_order(stock_codes=("000009",))
    return order_queue.start_or_queue(order, ACTOR, today=order.end_date, priority=priority)
