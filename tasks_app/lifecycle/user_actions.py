"""The verbs of users: start, retry, cancel, pause, resume; and how a yielded task is continued."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import chains, events, retention, task_incidents
from tasks_app.lifecycle.claims import (
    RUNNING,
    add_items,
    complete_plan,
    copy_rest,
    lock_task,
    withdraw_queued_slices,
)
from tasks_app.lifecycle.completion import NOT_YIELDING, end, end_pause
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.recovery import supply
from tasks_app.lifecycle.slot import locked_slot, require_free_slot, require_no_import
from tasks_app.market import synthetic
from tasks_app.market.codes import canonical_or_same
from tasks_app.models import (
    CollectionLane,
    CollectionPlan,
    CollectionTask,
    ExecutionSlot,
    QueuedOrder,
    StepAttempt,
)
from tasks_app.models.events import EventKind
from tasks_app.models.plan_runs import AttemptState
from tasks_app.models.priorities import Priority
from tasks_app.models.quotes import InstrumentKind
from tasks_app.models.states import TaskStatus
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.throttle import limiter

# What orders did not have before counts in their digest only where it is set.
ADDED = {
    "kind": InstrumentKind.STOCK,
    "verify_with": "",
    "verify_sample": orders.WHOLE,
    "priority": Priority.NORMAL,
}


def start(
    order: Order,
    actor: Actor,
    *,
    today: date,
    idempotency_key: str | None = None,
    digest: str = "",
    priority: Priority = Priority.NORMAL,
    queued: QueuedOrder | None = None,
) -> CollectionTask:
    """Starts a task and queues its first slices, all in one transaction.

    The same idempotency key from the same user returns the task that was started with it. `digest` is of
    what the key stands for, by default of the order. `queued` is the order of the queue that becomes the
    task. Raises `OrderError` for an order that can't be carried out, `IdempotencyConflict` for a known key
    with another digest, `TaskAlreadyRunning` while another task runs, `ImportUnfinished` before all files of
    an import are in the database.
    """
    ordered = {**asdict(order), "priority": priority.value}
    digest = digest or digest_of({k: v for k, v in ordered.items() if k not in ADDED or v != ADDED[k]})
    with locked_slot() as slot:
        if earlier := find_started(actor, idempotency_key, digest):
            return earlier
        order = orders.resolve(order, today, settings.COLLECTOR)
        known, unknown = orders.split_known(order, settings.COLLECTOR)
        keys: dict[str, Any] = {"idempotency_key": idempotency_key, "idempotency_hash": digest}
        task = _create_task(order, actor, slot, known, unknown, queued=queued, priority=priority, **keys)
        task_incidents.end_refusals(actor, task.market, queued.queued_at if queued else None)
        return task


def find_started(actor: Actor, idempotency_key: str | None, digest: str) -> CollectionTask | None:
    """Returns the task that the user started with this key. Raises `IdempotencyConflict`, as `start` does.

    The caller holds the lock of the slot, so that nobody starts one meanwhile.
    """
    if not idempotency_key:
        return None
    same_key = CollectionTask.objects.filter(created_by=actor.user, idempotency_key=idempotency_key)
    earlier = same_key.first()
    queued = QueuedOrder.objects.filter(created_by=actor.user, idempotency_key=idempotency_key)
    if (earlier and earlier.idempotency_hash != digest) or queued.exclude(idempotency_hash=digest).exists():
        raise errors.IdempotencyConflict()
    return earlier


def digest_of(values: Mapping[str, Any]) -> str:
    """Returns a hash of what an idempotency key stands for."""
    return hashlib.sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()


def retry(task_id: UUID, actor: Actor, error_code: str = "") -> CollectionTask:
    """Starts a new task with exactly the failed and unprocessed stocks of an ended one.

    With an `error_code`, only the stocks that failed with it. Those that failed in the tasks which it
    continues are of the same run, and are collected, too. Raises `TaskNotFound`, `TaskStillRunning`,
    `TaskGoesOn`, `TaskAlreadyRunning`, `ImportUnfinished`, `NothingToRetry`, or `OrderError` when the task's
    source is no longer available.
    """
    with locked_slot() as slot:
        old = lock_task(task_id)
        if old.status == RUNNING:
            raise errors.TaskStillRunning(task_id=task_id)
        if retention.is_being_deleted(old):
            raise errors.TaskNotFound(task_id=task_id)
        if chains.goes_on(old):
            raise errors.TaskGoesOn(task_id=task_id)
        orders.find_source(old.market, old.source, settings.COLLECTOR)
        stored = list(chains.items_to_retry(old, error_code).values_list("code", flat=True))
        if not stored and (old.planned_at or error_code):
            raise errors.NothingToRetry(task_id=task_id)
        # Tasks from before codes had one spelling may hold others.
        codes = dict.fromkeys(canonical_or_same(old.market, code) for code in stored or old.stock_codes or ())
        order = orders.order_from_task(old)
        extra: dict[str, Any] = {"retry_of": old, "priority": old.priority}
        new = _create_task(order, actor, slot, tuple(codes) or None, (), **extra)
        events.record_event(old.pk, EventKind.RETRIED, actor, by=str(new.pk), error_code=error_code)
        return new


def continue_yielded(task_id: UUID, rest: QueuedOrder, actor: Actor) -> CollectionTask:
    """Starts the task that collects what a yielded one left, with the attempts that its stocks have had.

    `rest` is the order of the queue for that. The plan that ordered the yielded task goes on with this one;
    the caller holds the lock of its row. A database constraint refuses a second continuation. Raises
    `TaskNotFound` if the task was deleted, `TaskAlreadyRunning`, `ImportUnfinished`, or `OrderError` when
    its source is no longer available.
    """
    with locked_slot() as slot:
        old = lock_task(task_id)
        orders.find_source(old.market, old.source, settings.COLLECTOR)
        links: dict[str, Any] = {"continues": old, "first_part_id": old.chain_id}
        links |= {"plan_id": old.plan_id, "plan_name": old.plan_name, "priority": rest.priority}
        order = orders.order_from_task(old)
        new = _create_task(order, actor, slot, None, old.unknown_codes, rest_of=old, queued=rest, **links)
        StepAttempt.objects.filter(task=old, state=AttemptState.RUNNING).update(task=new)
        CollectionPlan.objects.filter(last_task=old).update(last_task=new)
        events.record_event(old.pk, EventKind.CONTINUED, actor, by=str(new.pk), queued_order=rest.pk)
        return new


def cancel(task_id: UUID, actor: Actor) -> CollectionTask:
    """Ends a running task for good: once this returns, nothing more is written for it.

    Raises `TaskNotFound`, or `TaskNotRunning` with the task's status.
    """
    with sqlite_priority.interactive_write(), transaction.atomic():
        task = _lock_running(task_id)
        end(task_id, TaskStatus.CANCELLED)
        events.record_event(task_id, EventKind.CANCELLED, actor)
        task.refresh_from_db()
        return task


def pause(task_id: UUID, actor: Actor) -> CollectionTask:
    """Stops the work on a running task until `resume`; it keeps the slot, and its status stays `running`.

    Once this returns, no further stock is claimed. Slices notice it with their next heartbeat, or before
    their next stock: what is in flight then is recorded, or released and requested again after `resume`. A
    task that yields does so no more.
    Raises `TaskNotFound`, `TaskNotRunning` with the task's status, or `TaskAlreadyPaused`.
    """
    with sqlite_priority.interactive_write(), transaction.atomic():
        task = _lock_running(task_id)
        not_paused = CollectionTask.objects.filter(pk=task_id, status=RUNNING, paused_at__isnull=True)
        if not not_paused.update(paused_at=Now(), paused_by=actor.name, **NOT_YIELDING):
            raise errors.TaskAlreadyPaused(task_id=task_id)
        withdraw_queued_slices(task_id)
        events.record_event(task_id, EventKind.PAUSED, actor)
        task.refresh_from_db()
        return task


def resume(task_id: UUID, actor: Actor) -> CollectionTask:
    """Lets the work on a paused task go on, and queues its slices.

    Raises `TaskNotFound`, `TaskNotRunning` with the task's status, or `TaskNotPaused`.
    """
    with sqlite_priority.interactive_write(), transaction.atomic():
        task = _lock_running(task_id)
        if not end_pause(task_id):
            raise errors.TaskNotPaused(task_id=task_id)
        events.record_event(task_id, EventKind.RESUMED, actor)
        supply(task_id)
        task.refresh_from_db()
        return task


def _lock_running(task_id: UUID) -> CollectionTask:
    """Returns the task with its row locked. Raises `TaskNotFound` or `TaskNotRunning`."""
    task = lock_task(task_id)
    if task.status != RUNNING:
        raise errors.TaskNotRunning(task_id=task_id, status=task.status)
    return task


def _create_task(
    order: Order,
    actor: Actor,
    slot: ExecutionSlot,
    codes: Sequence[str] | None,
    unknown: Sequence[str],
    *,
    rest_of: CollectionTask | None = None,
    queued: QueuedOrder | None = None,
    **extra: Any,
) -> CollectionTask:
    """Creates the task with its lanes, and its items if the codes are given; queues its first slices.

    Its items are those that `rest_of` has left, unless that was not planned. `queued` is the order of the
    queue that it was; the event of its start names both. Raises `TaskAlreadyRunning`,
    unless the running task turns out to be done or abandoned, and `ImportUnfinished`.
    """
    require_free_slot()
    require_no_import()
    if codes and not (codes := orders.narrow(order, codes)):
        raise errors.NothingToCollect(market=order.market)
    sources = orders.sources_of(order)
    synthetic.note_sources(order.market, sources)
    named = rest_of.stock_codes if rest_of else list(codes or ()) or None
    fields = {**asdict(order), "stock_codes": named}
    task = CollectionTask.objects.create(
        **fields, unknown_codes=list(unknown), created_by=actor.user, **extra
    )
    slot.task = task
    slot.save()
    limiter.let_probe(sources)
    lane_count = registry.lane_count(sources, settings.COLLECTOR)
    CollectionLane.objects.bulk_create(CollectionLane(task=task, number=n) for n in range(lane_count))
    ordered: dict[str, Any] = {"order": json.loads(json.dumps(fields, default=str))}
    if queued:
        ordered["queued_order"] = queued.pk
    if rest_of:
        ordered["continues"] = str(rest_of.pk)
    events.record_event(task.pk, EventKind.STARTED, actor, **ordered)
    if codes:
        add_items(task.pk, codes)
        complete_plan(task.pk)
    elif rest_of and rest_of.planned_at:
        copy_rest(rest_of.pk, task.pk)
        complete_plan(task.pk)
    supply(task.pk)
    task.refresh_from_db()
    return task
