"""Orders that wait: which starts when, that each starts once, and what users may do to them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import order_queue
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionTask, QueuedOrder
from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.workers import watchdog
from tests.factories import (
    ACTOR,
    TODAY,
    make_ended,
    make_order,
    make_plan,
    make_queued_order,
    make_task,
    make_user,
    run_on_hosts,
)

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL
LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH
LEFT = [state for state in QueuedOrderState if state != QueuedOrderState.WAITING]


def queue(**fields):
    options = {name: fields.pop(name) for name in ("idempotency_key", "priority") if name in fields}
    actor = fields.pop("actor", ACTOR)
    return order_queue.start_or_queue(make_order(**fields), actor, today=TODAY, **options)


def numbers():
    return [row.pk for row in order_queue.waiting()]


@any_database
def test_order_starts_at_once_when_nothing_runs():
    assert isinstance(queue(), CollectionTask)
    assert not QueuedOrder.objects.exists()


@any_database
def test_order_is_queued_while_a_task_runs_and_starts_after_it():
    user, running = make_user(), make_task()
    row = queue(actor=Actor(Channel.API, user), stock_codes=("000002",))
    assert (row.state, order_queue.position_of(row), row.user_name) == ("waiting", 1, "ann")
    watchdog.tick()
    assert CollectionTask.objects.count() == 1
    lifecycle.cancel(running.pk, ACTOR)
    watchdog.tick()
    task = CollectionTask.objects.get(status="running")
    row.refresh_from_db()
    assert (row.state, row.task_id, task.stock_codes) == ("started", task.pk, ["000002"])
    assert (task.created_by, task.events.get(kind="started").channel) == (user, "api")
    assert list(row.events.values_list("kind", "channel")) == [("queued", "api"), ("started", "worker")]


@any_database
def test_order_starts_once_however_often_it_is_tried():
    make_queued_order()
    assert isinstance(order_queue.start_next(), CollectionTask)
    assert order_queue.start_next() is None
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    assert order_queue.start_next() is None


@any_database
def test_order_waits_behind_others_of_its_priority_although_nothing_runs():
    first = make_queued_order()
    second = queue()
    assert numbers() == [first.pk, second.pk]
    assert isinstance(queue(priority=HIGH), CollectionTask)


def test_higher_priority_starts_first_then_the_lower_place():
    low, normal, high, late = (make_queued_order(priority=each) for each in (LOW, NORMAL, HIGH, HIGH))
    assert numbers() == [high.pk, late.pk, normal.pk, low.pk]
    assert order_queue.start_next(HIGH).pk == QueuedOrder.objects.get(pk=high.pk).task_id


@any_database
def test_due_plan_starts_before_orders_of_its_priority():
    make_queued_order()
    plan = make_plan()
    watchdog.tick()
    plan.refresh_from_db()
    assert plan.last_task == CollectionTask.objects.get()
    lifecycle.cancel(plan.last_task_id, ACTOR)
    make_queued_order(priority=HIGH)
    make_plan(name="second")
    watchdog.tick()
    assert QueuedOrder.objects.get(priority=HIGH).state == "started"


def test_move_changes_position_and_priority():
    first, second, third = (make_queued_order() for _ in range(3))
    order_queue.move(third.pk, ACTOR, position=1)
    assert numbers() == [third.pk, first.pk, second.pk]
    order_queue.move(third.pk, ACTOR, position=99)
    assert numbers() == [first.pk, second.pk, third.pk]
    moved = order_queue.move(second.pk, ACTOR, priority=HIGH)
    assert numbers() == [second.pk, first.pk, third.pk]
    assert moved.events.last().params == {"position": 1, "priority": "high"}
    order_queue.move(second.pk, ACTOR, priority=NORMAL)
    assert numbers() == [first.pk, third.pk, second.pk]


@any_database
def test_withdrawn_order_does_not_start():
    row = make_queued_order()
    order_queue.withdraw(row.pk, ACTOR)
    assert order_queue.start_next() is None
    assert not CollectionTask.objects.exists()


@any_database
def test_order_that_is_refused_at_its_start_keeps_the_reason():
    row, after = make_queued_order(), make_queued_order()
    QueuedOrder.objects.filter(pk=row.pk).update(order={**row.order, "source": "gone"})
    refused = order_queue.start_next()
    assert (refused.pk, refused.state, refused.error_code) == (row.pk, "refused", "unknown_source")
    assert "gone" in refused.error_message
    assert order_queue.start_next().pk == QueuedOrder.objects.get(pk=after.pk).task_id


@any_database
@pytest.mark.parametrize("verb", [order_queue.move, order_queue.withdraw])
@pytest.mark.parametrize("state", LEFT)
def test_no_verb_changes_an_order_that_has_left(state, verb):
    row = make_queued_order()
    task_id = make_ended("completed").pk if state == "started" else None
    order_queue._leave(row, state, ACTOR, **({"task_id": task_id} if task_id else {}))
    with pytest.raises(errors.QueuedOrderLeft, match="does not wait any more"):
        verb(row.pk, ACTOR)
    with pytest.raises(errors.QueuedOrderNotFound):
        verb(0, ACTOR)


@any_database
def test_queue_is_bounded(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, queue_limit=1)
    make_task()
    queue()
    with pytest.raises(errors.QueueFull, match="1 orders"):
        queue()


@any_database
def test_invalid_order_is_refused_when_it_is_queued():
    make_task()
    with pytest.raises(errors.OrderError):
        queue(source="gone")
    assert not QueuedOrder.objects.exists()


def test_idempotency_key_returns_the_queued_order():
    actor, running = Actor(Channel.API, make_user()), make_task()
    row = queue(actor=actor, idempotency_key="one")
    assert queue(actor=actor, idempotency_key="one") == row
    with pytest.raises(errors.IdempotencyConflict):
        queue(actor=actor, idempotency_key="one", priority=HIGH)
    with pytest.raises(errors.IdempotencyConflict):
        lifecycle.start(make_order(), actor, today=TODAY, idempotency_key="one")
    lifecycle.cancel(running.pk, ACTOR)
    order_queue.start_next()
    assert queue(actor=actor, idempotency_key="one").state == "started"


@any_database
def test_idempotency_key_returns_the_task_that_started_at_once():
    actor = Actor(Channel.API, make_user())
    task = queue(actor=actor, idempotency_key="one")
    assert queue(actor=actor, idempotency_key="one") == task
    with pytest.raises(errors.IdempotencyConflict):
        lifecycle.start(make_order(), actor, today=TODAY, idempotency_key="one")


@pytest.mark.parametrize(
    "fields", [{"state": "started"}, {"state": "withdrawn"}, {"state": "odd"}, {"priority": 7}, {"place": 1}]
)
def test_database_refuses_what_no_queued_order_can_be(fields):
    make_queued_order()
    row = make_queued_order()
    with pytest.raises(IntegrityError), transaction.atomic():
        QueuedOrder.objects.filter(pk=row.pk).update(**fields)


@any_database
def test_order_is_the_same_after_it_was_stored():
    fields = {"stock_codes": ("000002",), "force_update": True, "fallbacks": (), "market": "SIM"}
    assert order_queue.order_of(make_queued_order(**fields)) == make_order(**fields)


@pytest.mark.django_db(transaction=True)
def test_of_simultaneous_watchdogs_one_starts_the_order():
    for _ in range(2):
        make_queued_order()
    assert run_on_hosts(4, order_queue.start_next) == []
    assert CollectionTask.objects.count() == 1
    assert QueuedOrder.objects.filter(state="started").count() == 1


def test_old_orders_that_left_are_deleted():
    row, waiting = make_queued_order(), make_queued_order()
    order_queue.withdraw(row.pk, ACTOR)
    QueuedOrder.objects.filter(pk=row.pk).update(ended_at=Now() - timedelta(days=3))
    assert order_queue.prune(0) == order_queue.prune(4) == 0
    assert order_queue.prune(2)
    assert QueuedOrder.objects.get() == waiting
