"""A running task makes way for a due plan of a higher priority, and its rest goes on after it as one run."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import Halt, Outcome, chains, order_queue, plan_actions, retention, yielding
from tasks_app.lifecycle.events import WORKER, Actor
from tasks_app.models import (
    CollectionItem,
    CollectionLane,
    CollectionPlan,
    CollectionTask,
    Incident,
    PlanRun,
    PlanStep,
    QueuedOrder,
    StepAttempt,
)
from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tasks_app.orders import order as orders
from tasks_app.workers import plan_scheduler, watchdog
from tests.factories import (
    ACTOR,
    finish,
    make_claim,
    make_ended,
    make_lane,
    make_plan,
    make_queued_order,
    make_task,
    make_user,
    make_yielded,
    run_on_hosts,
)

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL
LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH
SUCCEEDED = Outcome(ItemState.SUCCEEDED, collected=3)
FAILED = Outcome(ItemState.FAILED, error_code="timeout", error_message="too slow")


def running():
    return CollectionTask.objects.get(status="running")


def codes(task):
    return list(task.items.order_by("position").values_list("code", flat=True))


def end_lease(claim):
    past = Now() - timedelta(seconds=1)
    CollectionItem.objects.filter(pk=claim.item_id).update(lease_until=past)
    CollectionLane.objects.filter(task_id=claim.lane.task_id).update(lease_until=past)


def make_steps(plan, count=2):
    for position in range(1, count + 1):
        PlanStep.objects.create(plan=plan, position=position, kind="bars")
    return plan


def go_on():
    """Ends the running task; a watchdog's round then starts what is next. Returns that."""
    finish(running())
    watchdog.tick()
    return running()


def test_due_plan_overtakes_and_the_rest_goes_on_after_it():
    user = make_user()
    task = make_task(priority=LOW)
    CollectionTask.objects.filter(pk=task.pk).update(created_by=user)
    lifecycle.record(make_claim(task), SUCCEEDED)
    lifecycle.close(lifecycle.Lane(task.pk, 0, CollectionLane.objects.get(task=task, number=0).generation))
    plan = make_plan()
    watchdog.tick()
    task.refresh_from_db()
    assert (task.status, task.error_code, task.yields_to_name) == ("cancelled", "yielded", "nightly")
    assert (running().plan, running().priority) == (plan, NORMAL)
    attempt = StepAttempt.objects.get()
    assert (attempt.overtook, attempt.task, attempt.run.is_late) == (task, running(), False)
    order = QueuedOrder.objects.get()
    assert (order.state, order.continues, order.priority, order.created_by) == ("waiting", task, LOW, user)
    rest = go_on()
    assert (rest.continues, rest.first_part, codes(rest)) == (task, task, ["000002", "000003"])
    assert (rest.created_by, rest.priority, rest.stock_codes) == (user, LOW, task.stock_codes)
    finish(rest)
    rest.refresh_from_db()
    assert chains.chains_of([task, rest]) == {
        task.pk: (3, 3, 0, 2, False, 1, None, rest.pk, False),
        rest.pk: (3, 3, 0, 2, False, 2, task.pk, None, False),
    }
    kinds = ["started", "yielding", "yielded", "continued"]
    assert list(task.events.values_list("kind", flat=True)) == kinds
    assert task.events.get(kind="yielded").channel == "schedule"


@any_database
@pytest.mark.parametrize(
    ("own", "other"),
    [
        (LOW, LOW),
        (NORMAL, LOW),
        pytest.param(NORMAL, NORMAL, marks=pytest.mark.soak),
        pytest.param(HIGH, HIGH, marks=pytest.mark.soak),
    ],
)
def test_no_plan_overtakes_a_task_of_its_own_priority_or_a_higher_one(own, other):
    task, plan = make_task(priority=own), make_plan(priority=other)
    watchdog.tick()
    plan.refresh_from_db()
    task.refresh_from_db()
    assert (task.status, task.yielding_at, bool(plan.waiting_since)) == ("running", None, True)
    assert not yielding.ask(task.pk, plan, WORKER), "the condition is the update's"


@any_database
def test_requests_under_way_end_first():
    task = make_task(priority=LOW)
    lane = make_lane(task)
    claim = lifecycle.claim(lane, 1)[0]
    plan = make_plan()
    watchdog.tick()
    task.refresh_from_db()
    plan.refresh_from_db()
    assert (task.status, bool(task.yielding_at), plan.waiting_since) == ("running", True, None)
    assert lifecycle.beat(lane) is Halt.YIELDING
    assert lifecycle.claim(lane, 2) == []
    assert lifecycle.record_and_claim(claim, SUCCEEDED, 2) == []
    watchdog.tick()
    assert running() == task, "the slice has not ended"
    lifecycle.close(lane)
    watchdog.tick()
    assert running().plan == plan
    assert codes(go_on()) == ["000002", "000003"]


@any_database
def test_task_does_not_end_while_a_worker_holds_a_stock_or_a_lane():
    task, plan = make_task(priority=LOW), make_plan()
    lane = make_lane(task)
    lifecycle.claim(lane, 1)
    assert yielding.ask(task.pk, plan, WORKER)
    assert yielding.end_for(plan, WORKER) is None
    lane.claimed_items.update(state="pending", lane=None, lease_until=None)
    assert yielding.end_for(plan, WORKER) is None, "the slice goes on"
    lifecycle.close(lane)
    assert yielding.end_for(plan, WORKER) == task


def test_plan_counts_as_waiting_when_requests_take_long():
    task, plan = make_task(priority=LOW), make_plan()
    make_claim(task)
    watchdog.tick()
    CollectionTask.objects.update(yielding_at=Now() - yielding.PATIENCE - timedelta(seconds=1))
    watchdog.tick()
    plan.refresh_from_db()
    assert plan.waiting_since is not None


@any_database
def test_lost_worker_holds_nobody_up_and_attempts_carry_over():
    task = make_task(priority=LOW)
    lane = make_lane(task)
    lifecycle.requeue(lifecycle.claim(lane, 1)[0], "timeout", "too slow", 60)
    (claim,) = lifecycle.claim(lane, 1)
    make_plan()
    watchdog.tick()
    end_lease(claim)
    watchdog.tick()
    rest = go_on()
    assert codes(rest) == ["000001", "000002", "000003"]
    tried, lost = rest.items.get(code="000001"), rest.items.get(code="000002")
    assert (tried.attempts, tried.error_code, tried.error_message) == (1, "timeout", "too slow")
    assert tried.not_before > timezone.now()
    assert (lost.losses, lost.error_code, len(lost.attempt_log)) == (1, "worker_lost", 1)
    with pytest.raises(errors.StaleClaim):
        lifecycle.record(claim, SUCCEEDED)


@any_database
def test_dead_worker_releases_its_stock_before_its_lease_ends():
    task, plan = make_task(priority=LOW), make_plan()
    claim = make_claim(task)
    watchdog.tick()
    lifecycle.rescue_lane(claim.lane, -9)
    assert yielding.end_for(plan, WORKER) == task


@any_database
def test_queued_slices_of_a_task_that_yields_do_not_begin():
    task = make_task(priority=LOW)
    make_claim(task)
    queued = list(task.lanes.filter(begun=False).values_list("number", "generation"))
    assert queued
    make_plan()
    plan_scheduler.start_due()
    for number, generation in queued:
        with pytest.raises(errors.StaleClaim):
            lifecycle.begin(task.pk, number, generation, "late")
    OrmQ.objects.all().delete()
    lifecycle.rescue(task.pk)
    assert not OrmQ.objects.exists()


@any_database
def test_paused_task_keeps_the_slot():
    task = make_task(priority=LOW)
    lifecycle.pause(task.pk, ACTOR)
    plan = make_plan(priority=HIGH)
    watchdog.tick()
    assert running() == task
    assert not yielding.ask(task.pk, plan, WORKER)


@any_database
def test_pause_ends_the_yield():
    task = make_task(priority=LOW)
    claim = make_claim(task)
    make_plan()
    watchdog.tick()
    lifecycle.pause(task.pk, ACTOR)
    end_lease(claim)
    watchdog.tick()
    task.refresh_from_db()
    assert (task.status, task.yielding_at, task.yields_to, bool(task.paused_at)) == (
        "running",
        None,
        None,
        True,
    )


@any_database
def test_cancel_ends_a_task_that_yields_for_good():
    task, plan = make_task(priority=LOW), make_plan()
    make_claim(task)
    watchdog.tick()
    cancelled = lifecycle.cancel(task.pk, ACTOR)
    assert (cancelled.status, cancelled.error_code, cancelled.yields_to) == ("cancelled", "", None)
    watchdog.tick()
    assert running().plan == plan
    assert not QueuedOrder.objects.exists()


@any_database
def test_task_whose_last_stock_ends_meanwhile_is_completed():
    task, plan = make_task(priority=LOW, stock_codes=("000001",)), make_plan()
    claim = make_claim(task)
    watchdog.tick()
    lifecycle.record(claim, SUCCEEDED)
    task.refresh_from_db()
    assert (task.status, task.yielding_at, task.yields_to_name) == ("completed", None, "")
    watchdog.tick()
    assert running().plan == plan
    assert not QueuedOrder.objects.exists()


@any_database
@pytest.mark.parametrize("change", [{"enabled": False, "next_at": None}, {"priority": LOW}])
def test_task_goes_on_when_no_plan_waits_any_more(change):
    task = make_task(priority=LOW)
    claim = make_claim(task)
    make_plan()
    watchdog.tick()
    CollectionPlan.objects.update(**change)
    watchdog.tick()
    task.refresh_from_db()
    assert (task.status, task.yielding_at, task.yields_to) == ("running", None, None)
    assert task.events.last().kind == "resumed"
    lifecycle.record(claim, SUCCEEDED)
    assert OrmQ.objects.exists()


@any_database
def test_task_goes_on_when_the_plan_is_refused():
    task = make_task(priority=LOW)
    plan = make_plan(source="gone")
    watchdog.tick()
    plan.refresh_from_db()
    task.refresh_from_db()
    assert (plan.error_code, task.status, task.yielding_at) == ("unknown_source", "running", None)
    assert not QueuedOrder.objects.exists()


@any_database
def test_plan_whose_run_goes_on_asks_nobody_to_yield():
    plan = make_plan()
    PlanStep.objects.create(plan=plan, position=1, kind="bars", retries=1, retry_wait=5)
    watchdog.tick()
    finish(running(), ItemState.FAILED)
    watchdog.tick()
    CollectionPlan.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    task = make_task(priority=LOW)
    watchdog.tick()
    task.refresh_from_db()
    assert (PlanRun.objects.get().state, task.yielding_at) == ("waiting", None)
    PlanRun.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    watchdog.tick()
    assert running().retry_of is not None, "its retry is due"
    assert StepAttempt.objects.get(attempt=2).overtook == task


@any_database
def test_stock_list_is_refreshed_beside_the_task():
    task, plan = make_task(priority=LOW), make_plan(market="SIM")
    for position, kind in enumerate(("stock_list", "bars"), 1):
        PlanStep.objects.create(plan=plan, position=position, kind=kind)
    watchdog.tick()
    watchdog.tick()
    task.refresh_from_db()
    assert (StepAttempt.objects.get().kind, task.status, task.yielding_at) == ("stock_list", "running", None)


def test_chain_of_many_parts_is_one_run():
    first = make_yielded(done=1)
    second = go_on()
    lane = make_lane(second)
    lifecycle.record(lifecycle.claim(lane, 1)[0], FAILED)
    lifecycle.close(lane)
    make_plan(name="again", priority=HIGH)
    watchdog.tick()
    expired = retention.expired(1e-9).filter(pk__in=[first.pk, second.pk])
    assert not expired.exists(), "every part is kept while the rest of the last one waits"
    third = go_on()
    assert (third.continues, third.first_part, codes(third)) == (second, first, ["000003"])
    chain = chains.chains_of([first])[first.pk]
    assert (chain.total, chain.completed, chain.failed, chain.remaining, chain.parts) == (3, 1, 1, 1, 3)
    assert chain.continued_by == second.pk
    assert list(chains.parts_of(second)) == [first, second, third]
    finish(third, ItemState.FAILED, error_code="timeout")
    third.refresh_from_db()
    assert (third.status, third.outcome) == ("completed", "with_failures"), "an earlier part has stored bars"


@any_database
def test_retry_collects_the_failures_of_the_whole_chain():
    task = make_task(priority=LOW)
    lane = make_lane(task)
    lifecycle.record(lifecycle.claim(lane, 1)[0], FAILED)
    lifecycle.close(lane)
    make_plan()
    watchdog.tick()
    with pytest.raises(errors.TaskGoesOn):
        lifecycle.retry(task.pk, ACTOR)
    rest = go_on()
    with pytest.raises(errors.TaskGoesOn):
        lifecycle.retry(task.pk, ACTOR)
    lane = make_lane(rest)
    good, bad = lifecycle.claim(lane, 2)
    lifecycle.record(good, SUCCEEDED)
    lifecycle.record(bad, FAILED)
    again = lifecycle.retry(rest.pk, ACTOR, "timeout")
    assert (codes(again), again.priority) == (["000001", "000003"], LOW)


@any_database
def test_withdrawn_continuation_ends_the_chain(django_assert_num_queries):
    task, moment = make_yielded(), 1e-9  # days
    with django_assert_num_queries(1):  # its rest may leave the queue and start at any time
        assert chains.chains_of([task])[task.pk].goes_on
    assert not retention.expired(moment).exists(), "it is kept while its rest waits"
    order_queue.withdraw(QueuedOrder.objects.get().pk, ACTOR)
    assert retention.expired(moment).get() == task
    finish(running())
    watchdog.tick()
    assert not CollectionTask.objects.filter(status="running").exists()
    chain = chains.chains_of([task])[task.pk]
    assert (chain.total, chain.completed, chain.remaining, chain.continued_by) == (3, 1, 2, None)
    assert codes(lifecycle.retry(task.pk, ACTOR)) == ["000002", "000003"]


@any_database
def test_run_of_an_overtaken_plan_goes_on_with_the_rest():
    slow = make_plan(name="backfill", priority=LOW)
    watchdog.tick()
    task = running()
    CollectionPlan.objects.filter(pk=slow.pk).update(next_at=timezone.now() + timedelta(days=1))
    make_plan(name="daily")
    watchdog.tick()
    watchdog.tick()
    attempt = StepAttempt.objects.get(run__plan=slow)
    assert (attempt.state, attempt.task, running().plan_name) == ("running", task, "daily")
    rest = go_on()
    attempt.refresh_from_db()
    slow.refresh_from_db()
    assert (attempt.task, slow.last_task, rest.plan, rest.priority) == (rest, rest, slow, LOW)
    finish(rest)
    watchdog.tick()
    assert PlanRun.objects.get(plan=slow).state == "completed"


@any_database
def test_run_of_an_overtaken_plan_ends_when_its_rest_is_withdrawn():
    slow = make_plan(name="backfill", priority=LOW)
    watchdog.tick()
    make_plan(name="daily")
    watchdog.tick()
    order_queue.withdraw(QueuedOrder.objects.get().pk, ACTOR)
    watchdog.tick()
    run, attempt = PlanRun.objects.get(plan=slow), StepAttempt.objects.get(run__plan=slow)
    assert (run.state, run.error_code, attempt.error_code) == ("cancelled", *["rest_withdrawn"] * 2)
    assert run.error_message == "A user withdrew the rest of the task from the queue."
    slow.refresh_from_db()
    assert slow.error_code == "", "no plan that was refused"


@any_database
def test_withdrawal_is_no_refusal_of_the_plan_when_its_run_goes_on():
    slow = make_steps(make_plan(name="backfill", priority=LOW))
    slow.steps.update(on_failure="continue")
    watchdog.tick()
    make_plan(name="daily")
    watchdog.tick()
    order_queue.withdraw(QueuedOrder.objects.get().pk, ACTOR)
    finish(running())
    watchdog.tick()
    assert running().plan == slow
    finish(running())
    watchdog.tick()
    run = PlanRun.objects.get(plan=slow)
    slow.refresh_from_db()
    assert (run.state, run.error_code, slow.error_code) == ("cancelled", "rest_withdrawn", "")


@any_database
def test_run_of_an_overtaken_plan_says_why_its_rest_was_refused():
    slow = make_plan(name="backfill", priority=LOW)
    watchdog.tick()
    make_plan(name="daily")
    watchdog.tick()
    finish(running(), collected=3)
    with patch.object(orders, "find_source", side_effect=errors.UnknownSource(source="gone", known="")):
        watchdog.tick()
    watchdog.tick()
    order, run = QueuedOrder.objects.get(), PlanRun.objects.get(plan=slow)
    assert (order.state, order.error_code) == ("refused", "unknown_source")
    assert (run.state, run.error_code, run.error_message) == (
        "refused",
        "unknown_source",
        order.error_message,
    )
    slow.refresh_from_db()
    assert (Incident.objects.get().event, slow.error_code) == ("task_failed", ""), "one incident"


@any_database
def test_task_that_is_not_planned_yields_its_whole_order():
    task = make_task(priority=LOW, stock_codes=None)
    lane = make_lane(task)
    make_plan()
    watchdog.tick()
    assert lifecycle.beat(lane) is Halt.YIELDING
    lifecycle.close(lane)
    watchdog.tick()
    rest = go_on()
    assert (rest.continues, rest.planned_at, rest.total_stocks) == (task, None, 0)
    lifecycle.plan(make_lane(rest), ["000001"])
    task.refresh_from_db()
    assert chains.chains_of([task])[task.pk].total == 1


@any_database
def test_rest_starts_before_other_orders_of_its_priority():
    other = make_queued_order(priority=LOW)
    task = make_task(priority=LOW)
    make_plan()
    watchdog.tick()
    queued = [row.continues_id or row.pk for row in order_queue.waiting()]
    assert queued == [task.pk, other.pk]


@any_database
def test_rest_starts_after_due_plans_of_a_higher_priority_and_before_those_of_its_own():
    task = make_yielded()
    low, normal = make_plan(name="low", priority=LOW), make_plan(name="normal")
    assert go_on().plan == normal
    rest = go_on()
    low.refresh_from_db()
    assert (rest.continues, bool(low.waiting_since)) == (task, True)
    assert go_on().plan == low


@any_database
def test_due_plan_does_not_take_the_slot_that_the_rest_is_about_to_take():
    make_yielded()
    other = make_plan(name="other", priority=LOW)
    finish(running())  # after a watchdog has looked at the queue in its round
    plan_scheduler.start_due(LOW)
    other.refresh_from_db()
    assert not CollectionTask.objects.filter(status="running").exists()
    assert (bool(other.waiting_since), PlanRun.objects.filter(plan=other).exists()) == (True, False)


@any_database
def test_rest_starts_before_the_next_step_of_a_plan_of_its_priority():
    other = make_steps(make_plan(name="other", priority=LOW))
    watchdog.tick()
    finish(running())
    task = make_task(priority=LOW)  # started by a user before the next step was
    watchdog.tick()
    make_plan(name="daily")
    watchdog.tick()
    run = PlanRun.objects.get(plan=other)
    assert (run.state, run.position, running().plan_name) == ("waiting", 2, "daily")
    assert go_on().continues == task
    assert go_on().plan == other


@any_database
@pytest.mark.parametrize("priority", [pytest.param(LOW, marks=pytest.mark.soak), NORMAL])
def test_run_that_overtook_ends_before_the_rest_starts(priority):
    task, plan = make_task(priority=LOW), make_steps(make_plan())
    watchdog.tick()
    order_queue.move(QueuedOrder.objects.get().pk, ACTOR, priority=priority)
    assert (go_on().plan, PlanRun.objects.get().position) == (plan, 2)
    assert go_on().continues == task


@any_database
def test_order_that_a_user_moved_before_the_rest_starts_before_it():
    task, other = make_yielded(), make_queued_order(priority=LOW)
    plan = make_plan(name="other", priority=LOW)
    order_queue.move(other.pk, ACTOR, position=1)
    assert go_on().plan == plan
    moved = go_on()
    other.refresh_from_db()
    assert other.task_id == moved.pk
    assert go_on().continues == task


@any_database
def test_users_may_start_while_only_a_rest_waits():
    make_yielded()
    other = make_plan(name="other", priority=LOW)
    finish(running())
    assert plan_actions.run(other.pk, ACTOR)
    assert running().plan == other


@any_database
def test_plans_start_by_their_priority():
    plans = {priority: make_plan(name=priority.name, priority=priority) for priority in (LOW, NORMAL, HIGH)}
    order = make_queued_order(priority=NORMAL)
    started = []
    for _ in range(4):
        watchdog.tick()
        started.append(running().plan_id or "queue")
        finish(running())
    assert started == [plans[HIGH].pk, plans[NORMAL].pk, "queue", plans[LOW].pk]
    assert QueuedOrder.objects.get().pk == order.pk


@any_database
def test_rest_whose_task_was_deleted_is_refused():
    task = make_yielded()
    finish(running())
    CollectionTask.objects.filter(pk=task.pk).delete()
    watchdog.tick()
    order = QueuedOrder.objects.get()
    assert (order.state, order.error_code) == ("refused", "task_not_found")


def test_database_refuses_half_a_yield():
    for task in (make_ended("cancelled"), make_task()):
        for fields in (
            {"yielding_at": Now()},
            {"yields_to": 7},
            {"error_code": "yielded"},
            {"yields_to_name": "nightly"},
            {"priority": 2},
            {"priority": -2},
            {"continues": "00000000000000000000000000000001"},
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                CollectionTask.objects.filter(pk=task.pk).update(**fields)


def test_database_refuses_a_pause_of_a_task_that_yields():
    task = make_task(priority=LOW)
    assert yielding.ask(task.pk, make_plan(), WORKER)
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionTask.objects.update(paused_at=Now())
    with pytest.raises(IntegrityError), transaction.atomic():
        make_plan(name="odd", priority=7)


def test_database_refuses_a_second_continuation():
    task = make_yielded()
    rest = go_on()
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionTask.objects.exclude(pk=rest.pk).filter(plan__isnull=False).update(
            continues=task, first_part=task
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        order_queue.queue_rest(task, WORKER)


def test_yield_that_was_decided_before_has_no_effect():
    task, plan = make_task(priority=LOW), make_plan()
    assert yielding.ask(task.pk, plan, WORKER)
    assert not yielding.ask(task.pk, plan, WORKER)
    assert yielding.resume(task.pk)
    assert not yielding.resume(task.pk)
    lifecycle.cancel(task.pk, ACTOR)
    assert not yielding.ask(task.pk, plan, WORKER)
    assert not yielding.resume(task.pk)
    assert yielding.end_for(plan, WORKER) is None


@any_database
def test_run_now_of_a_plan_overtakes_nobody():
    make_task(priority=LOW)
    plan = make_plan(priority=HIGH, next_at=timezone.now() + timedelta(days=1))
    with pytest.raises(errors.TaskAlreadyRunning):
        plan_actions.run(plan.pk, ACTOR)


@any_database
def test_priority_is_part_of_what_an_idempotency_key_stands_for():
    actor = Actor(Channel.API, make_user())
    start = {"today": timezone.now().date(), "idempotency_key": "one"}
    order = order_queue.order_of(make_queued_order())
    task = lifecycle.start(order, actor, **start)
    assert lifecycle.start(order, actor, **start, priority=NORMAL) == task
    with pytest.raises(errors.IdempotencyConflict):
        lifecycle.start(order, actor, **start, priority=LOW)


@pytest.mark.django_db(transaction=True)
def test_of_simultaneous_watchdogs_one_ends_and_continues_the_task():
    task = make_task(priority=LOW)
    make_plan()
    assert run_on_hosts(4, plan_scheduler.start_due) == []
    plan_scheduler.start_due()
    assert QueuedOrder.objects.get().continues == task
    assert CollectionTask.objects.count() == 2
    finish(running())
    plan_scheduler.continue_runs()
    assert run_on_hosts(4, order_queue.start_next) == []
    assert CollectionTask.objects.filter(continues=task).count() == 1


@pytest.mark.django_db(transaction=True)
def test_continuation_of_a_plans_task_and_a_run_of_the_plan_do_not_deadlock():
    slow = make_plan(name="backfill", priority=LOW)
    plan_scheduler.start_due()
    CollectionPlan.objects.update(next_at=timezone.now() + timedelta(days=1))
    make_plan(name="daily")
    plan_scheduler.start_due()
    finish(running())
    plan_scheduler.continue_runs()
    actions = iter([order_queue.start_next, lambda: plan_actions.run(slow.pk, ACTOR)] * 2)

    def act():
        next(actions)()

    refusals = {type(error) for error in run_on_hosts(4, act)}
    assert refusals <= {errors.TaskAlreadyRunning, errors.PlanRunning}
    assert running().plan == slow


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_attempt", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 2))])
def test_cancel_and_the_end_of_the_yield_have_one_outcome(_attempt):
    task, plan = make_task(priority=LOW), make_plan()
    assert yielding.ask(task.pk, plan, WORKER)
    actions = iter([plan_scheduler.start_due, lambda: lifecycle.cancel(task.pk, ACTOR)])

    def act():
        next(actions)()

    raised = run_on_hosts(2, act)
    task.refresh_from_db()
    assert task.status == "cancelled"
    has_yielded = task.error_code == "yielded"
    assert [type(error) for error in raised] == ([errors.TaskNotRunning] if has_yielded else [])
    assert QueuedOrder.objects.filter(continues=task).exists() == has_yielded
    assert task.events.filter(kind__in=["yielded", "cancelled"]).count() == 1
