"""The queue of orders that wait until no task runs, and the verbs of users on them.

Every change holds the lock of the slot, under which tasks start: so an order starts once, whatever the
number of hosts, and none starts that was withdrawn.
"""

import json
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max, QuerySet
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import run_order, selectors, task_incidents
from tasks_app.lifecycle.events import WORKER, Actor
from tasks_app.lifecycle.slot import locked_plan, locked_slot, require_free_slot
from tasks_app.lifecycle.user_actions import continue_yielded, digest_of, find_started, start
from tasks_app.models import CollectionTask, QueuedOrder, QueueEvent
from tasks_app.models.events import Channel, EventKind
from tasks_app.models.priorities import Priority
from tasks_app.models.queued_orders import QueuedOrderState, QueueEventKind
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order

IN_ORDER = ("-priority", "place", "id")  # in which the waiting orders start
TUPLES = ("stock_codes", "fallbacks")


def waiting() -> QuerySet[QueuedOrder]:
    """Returns the waiting orders, the next one first."""
    return QueuedOrder.objects.filter(state=QueuedOrderState.WAITING).order_by(*IN_ORDER)


def rest_ahead_of(priority: int) -> QueuedOrder | None:
    """Returns the rest of a yielded task that starts before due plans of this priority; None without one.

    It is the first order of its priority: one before which a user has moved another waits for that one, as
    it does for plans.
    """
    first_ones: dict[int, QueuedOrder] = {}
    for row in waiting().filter(priority__gte=priority):
        first_ones.setdefault(row.priority, row)
    return next((row for row in first_ones.values() if row.continues_id), None)


def start_or_queue(
    order: Order,
    actor: Actor,
    *,
    today: date,
    idempotency_key: str | None = None,
    priority: Priority = Priority.NORMAL,
) -> CollectionTask | QueuedOrder:
    """Starts a task, or queues its order while another task runs or orders of this priority wait.

    The same idempotency key from the same user returns what the first call returned. Raises `OrderError` for
    an order that can't be carried out, `IdempotencyConflict`, `QueueFull`, and `ImportUnfinished`.
    """
    digest = digest_of({**asdict(order), "queue": True, "priority": priority.value})
    with locked_slot():
        if earlier := _find_queued(actor, idempotency_key, digest):
            return earlier
        if started := find_started(actor, idempotency_key, digest):
            return started
        if not _must_wait(priority):
            keys: dict[str, Any] = {"idempotency_key": idempotency_key, "digest": digest}
            return start(order, actor, today=today, priority=priority, **keys)
        resolved = orders.resolve(order, today, settings.COLLECTOR)
        orders.split_known(resolved, settings.COLLECTOR)
        if waiting().count() >= settings.COLLECTOR.queue_limit:
            raise errors.QueueFull(limit=settings.COLLECTOR.queue_limit)
        by = {"created_by": actor.user, "user_name": actor.name, "channel": actor.channel}
        row = _add(asdict(resolved), priority, **by, idempotency_key=idempotency_key, idempotency_hash=digest)
        _record(row, QueueEventKind.QUEUED, actor, priority=row.priority_name)
        row.refresh_from_db()
        return row


def queue_rest(task: CollectionTask, actor: Actor) -> QueuedOrder:
    """Queues what a task that has just yielded left, before all other orders of its priority.

    The order is under the name of whoever started the task; its stocks are the task's unfinished items. The
    caller holds the lock of the slot. A database constraint refuses a second one.
    """
    started = task.events.filter(kind=EventKind.STARTED).first()
    values = {**asdict(orders.order_from_task(task)), "stock_codes": task.stock_codes}
    others = list(waiting().filter(priority=task.priority).values_list("pk", flat=True))
    by = {
        "created_by": task.created_by,
        "user_name": started.user_name if started else "",
        "channel": started.channel if started else Channel.WORKER,
    }
    row = _add(values, Priority(task.priority), **by, continues=task)
    _renumber([row.pk, *others])
    _record(row, QueueEventKind.QUEUED, actor, priority=row.priority_name, continues=str(task.pk))
    row.refresh_from_db()
    return row


def get_order(text: str) -> QueuedOrder:
    """Returns the queued order of an untrusted id. Raises `QueuedOrderNotFound`."""
    is_id = text.isascii() and text.isdecimal() and len(text) < 19
    if not is_id or not (row := QueuedOrder.objects.filter(pk=int(text)).first()):
        raise errors.QueuedOrderNotFound(order=text[:40])
    return row


def position_of(row: QueuedOrder) -> int | None:
    """Returns when a waiting order starts: 1 is next. None for one that has left the queue."""
    if row.state != QueuedOrderState.WAITING:
        return None
    return positions().get(row.pk)


def positions() -> dict[int, int]:
    """Returns the positions of the waiting orders, by id. Their number is bounded."""
    return {pk: number for number, pk in enumerate(waiting().values_list("pk", flat=True), start=1)}


def move(
    order_id: int, actor: Actor, *, position: int | None = None, priority: Priority | None = None
) -> QueuedOrder:
    """Gives a waiting order another priority, and a position among those of its priority: 1 is their first.

    Raises `QueuedOrderNotFound`, or `QueuedOrderLeft` for one that does not wait any more.
    """
    with locked_slot():
        row = _lock_waiting(order_id)
        others = waiting().filter(priority=row.priority if priority is None else priority).exclude(pk=row.pk)
        keys = list(others.values_list("pk", flat=True))
        if priority is not None and priority != row.priority and position is None:
            position = len(keys) + 1
        if priority is not None:
            QueuedOrder.objects.filter(pk=row.pk).update(priority=priority)
        if position is not None:
            keys.insert(position - 1, row.pk)
            _renumber(keys)
        row.refresh_from_db()
        _record(row, QueueEventKind.MOVED, actor, position=position_of(row), priority=row.priority_name)
        return row


def withdraw(order_id: int, actor: Actor) -> QueuedOrder:
    """Takes a waiting order out of the queue for good. Raises as `move` does."""
    with locked_slot():
        row = _lock_waiting(order_id)
        return _leave(row, QueuedOrderState.WITHDRAWN, actor)


def start_next(least: Priority = Priority.LOW) -> CollectionTask | QueuedOrder | None:
    """Starts the first waiting order of at least this priority, if no task runs and no step of a run is next.

    Returns the task; the order, if it was refused, which it then says itself; None if nothing was to be
    done. Exactly one of several callers starts an order: its end and its task are one transaction.
    """
    due = waiting().filter(priority__gte=least).select_related("created_by")
    if not (first := due.first()) or selectors.get_running_task():
        return None
    plan_id = _plan_of(first)  # which goes on with the task
    with sqlite_priority.interactive_write(), locked_plan(plan_id), locked_slot():
        row = due.first()
        if row is None or row.pk != first.pk:  # another one became the first: it starts in the next round
            return None
        try:
            require_free_slot()
            if run_order.goes_before_order(row):  # its task ended after this round had gone on with runs
                return None
            task = _start(row, Actor(Channel(row.channel), row.created_by))
        except (errors.TaskAlreadyRunning, errors.ImportUnfinished):
            return None  # it waits on
        except (errors.OrderError, errors.TaskNotFound) as error:
            task_incidents.report_refused_order(row, error.code, str(error))
            return _leave(
                row, QueuedOrderState.REFUSED, WORKER, error_code=error.code, error_message=str(error)
            )
        _leave(row, QueuedOrderState.STARTED, WORKER, task_id=task.pk)
        return task


def _plan_of(row: QueuedOrder) -> int | None:
    """Returns the id of the plan that ordered the task whose rest an order is; None for any other order."""
    if row.continues_id is None:
        return None
    return CollectionTask.objects.filter(pk=row.continues_id).values_list("plan_id", flat=True).first()


def _start(row: QueuedOrder, actor: Actor) -> CollectionTask:
    """Starts the task of an order. The slot must be locked."""
    if row.continues_id:
        return continue_yielded(row.continues_id, row, actor)
    today, priority = orders.latest_today(), Priority(row.priority)
    return start(order_of(row), actor, today=today, priority=priority, queued=row)


def prune(days: int, batch: int = 1000) -> int:
    """Deletes up to `batch` orders that left the queue more than `days` days ago, none for 0 days.

    Returns how many rows.
    """
    if not days:
        return 0
    old = QueuedOrder.objects.filter(ended_at__lt=Now() - timedelta(days=days)).order_by("id")
    return QueuedOrder.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:batch])).delete()[0]


def order_of(row: QueuedOrder) -> Order:
    """Returns the order as it was queued."""
    values = row.values
    days = {name: date.fromisoformat(values[name]) for name in ("start_date", "end_date")}
    tuples = {name: None if values[name] is None else tuple(values[name]) for name in TUPLES}
    return Order(**{**values, **days, **tuples})


def _must_wait(priority: Priority) -> bool:
    """Whether a task runs, or an order waits that starts first. The slot must be locked."""
    if waiting().filter(priority__gte=priority).exists():
        return True
    try:
        require_free_slot()
    except errors.TaskAlreadyRunning:
        return True
    return False


def _find_queued(actor: Actor, idempotency_key: str | None, digest: str) -> QueuedOrder | None:
    if not idempotency_key:
        return None
    same_key = QueuedOrder.objects.filter(created_by=actor.user, idempotency_key=idempotency_key)
    return same_key.filter(idempotency_hash=digest).first()


def _lock_waiting(order_id: int) -> QueuedOrder:
    row = QueuedOrder.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if row is None:
        raise errors.QueuedOrderNotFound(order=order_id)
    if row.state != QueuedOrderState.WAITING:
        raise errors.QueuedOrderLeft(order=order_id, state=row.state)
    return row


def _leave(row: QueuedOrder, state: QueuedOrderState, actor: Actor, **values: Any) -> QueuedOrder:
    """Ends an order's wait. Raises `QueuedOrderLeft` if it has ended before."""
    still = QueuedOrder.objects.filter(pk=row.pk, state=QueuedOrderState.WAITING)
    if not still.update(state=state, ended_at=Now(), **values):
        raise errors.QueuedOrderLeft(order=row.pk, state=row.state)
    shown = {name: str(value) for name, value in values.items() if name != "error_message"}
    _record(row, QueueEventKind(state.value), actor, **shown)
    row.refresh_from_db()
    return row


def _add(values: dict[str, Any], priority: Priority, **fields: Any) -> QueuedOrder:
    """Adds an order with these values as the last one of all."""
    return QueuedOrder.objects.create(
        priority=priority,
        place=_next_place(),
        market=values["market"],
        source=values["source"],
        order=json.loads(json.dumps(values, default=str)),
        **fields,
    )


def _next_place() -> int:
    return int(QueuedOrder.objects.aggregate(last=Max("place"))["last"] or 0) + 1


def _renumber(keys: list[int]) -> None:
    """Gives the orders new places in this order, above all places that were ever given."""
    for place, key in enumerate(keys, start=_next_place()):
        QueuedOrder.objects.filter(pk=key).update(place=place)


def _record(row: QueuedOrder, kind: QueueEventKind, actor: Actor, **params: Any) -> None:
    QueueEvent.objects.create(
        order=row, kind=kind, user_name=actor.name, channel=actor.channel, params=params
    )
