"""The verbs of people: start, retry, cancel."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import events, retention
from tasks_app.lifecycle.claims import RUNNING, add_items, locked
from tasks_app.lifecycle.completion import end
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.recovery import rescue, supply
from tasks_app.models import CollectionLane, CollectionTask, ExecutionSlot
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.models.tasks import EventKind
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry

DONE = Q(state__in=[ItemState.SUCCEEDED, ItemState.SKIPPED])


def start(order: Order, actor: Actor, *, today: date, idempotency_key: str | None = None) -> CollectionTask:
    """Start a task and queue its first slices, all in one transaction.

    The same idempotency key, user and order answer with the task already started. Raises
    `OrderError` for an order that makes no sense, `TaskAlreadyRunning` while another one runs.
    """
    digest = _digest(order)
    with _slot() as slot:
        if idempotency_key and (earlier := _answered(actor, idempotency_key, digest)):
            return earlier
        order = orders.resolve(order, today, settings.COLLECTOR)
        known, unknown = orders.split_known(order.market, order.stock_codes)
        return _launch(
            order, actor, slot, known, unknown, idempotency_key=idempotency_key, idempotency_hash=digest
        )


def retry(task_id: UUID, actor: Actor, error_code: str = "") -> CollectionTask:
    """Start a new task with exactly the failed and unprocessed stocks of an ended one.

    `error_code` narrows it to the failures with that code. Raises `TaskNotFound`,
    `TaskStillRunning`, `TaskAlreadyRunning` or `NothingToRetry`; `OrderError` when the task's source is
    not to be had here any more.
    """
    with _slot() as slot:
        old = locked(task_id)
        if old.status == RUNNING:
            raise errors.TaskStillRunning(task_id=task_id)
        if retention.is_going(old):
            raise errors.TaskNotFound(task_id=task_id)
        orders.source_of(old.market, old.source, settings.COLLECTOR)
        left = Q(state=ItemState.FAILED, error_code=error_code) if error_code else ~DONE
        codes = tuple(old.items.filter(left).order_by("position").values_list("code", flat=True))
        if not codes and (old.planned_at or error_code):
            raise errors.NothingToRetry(task_id=task_id)
        new = _launch(orders.order_from_task(old), actor, slot, codes or old.stock_codes, (), retry_of=old)
        events.record_event(old.pk, EventKind.RETRIED, actor, by=str(new.pk), error_code=error_code)
        return new


def cancel(task_id: UUID, actor: Actor) -> CollectionTask:
    """End a running task for good: once this returns, nothing more is written for it.

    Raises `TaskNotFound`, or `TaskNotRunning` with the status it has.
    """
    with sqlite_priority.interactive_write(), transaction.atomic():
        task = locked(task_id)
        if task.status != RUNNING:
            raise errors.TaskNotRunning(task_id=task_id, status=task.status)
        end(task_id, TaskStatus.CANCELLED)
        events.record_event(task_id, EventKind.CANCELLED, actor)
        task.refresh_from_db()
        return task


@contextmanager
def _slot() -> Iterator[ExecutionSlot]:
    """A transaction that holds the single-run slot: starts stand in line here."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        yield ExecutionSlot.objects.select_for_update().get_or_create(pk=1)[0]


def _digest(order: Order) -> str:
    return hashlib.sha256(json.dumps(asdict(order), default=str, sort_keys=True).encode()).hexdigest()


def _answered(actor: Actor, key: str, digest: str) -> CollectionTask | None:
    """The task that this user's key already started. Raises for the same key with another order."""
    earlier = CollectionTask.objects.filter(created_by=actor.user, idempotency_key=key).first()
    if earlier and earlier.idempotency_hash != digest:
        raise errors.IdempotencyConflict()
    return earlier


def _require_free_slot() -> None:
    """Raise `TaskAlreadyRunning`, unless the one that runs turns out to be at its end."""
    running = CollectionTask.objects.filter(status=RUNNING)
    for task_id in running.values_list("pk", flat=True):
        with suppress(errors.StaleClaim):  # it has just ended by itself
            rescue(task_id)
    if (task := running.first()) is not None:
        raise errors.TaskAlreadyRunning(task_id=task.pk)


def _launch(
    order: Order,
    actor: Actor,
    slot: ExecutionSlot,
    codes: Sequence[str] | None,
    unknown: Sequence[str],
    **extra: Any,
) -> CollectionTask:
    """Create the task with its lanes, and its items when the codes are given; queue its slices."""
    _require_free_slot()
    if codes and not (codes := orders.narrow(order, codes)):
        raise errors.NothingToCollect(market=order.market)
    fields = {**asdict(order), "stock_codes": list(codes) if codes else None}
    task = CollectionTask.objects.create(
        **fields, unknown_codes=list(unknown), created_by=actor.user, **extra
    )
    slot.task = task
    slot.save()
    lanes = range(registry.lane_count((order.source, *(order.fallbacks or ())), settings.COLLECTOR))
    CollectionLane.objects.bulk_create(CollectionLane(task=task, number=n) for n in lanes)
    events.record_event(task.pk, EventKind.STARTED, actor, order=json.loads(json.dumps(fields, default=str)))
    if codes:
        add_items(task.pk, codes)
    supply(task.pk)
    task.refresh_from_db()
    return task
