"""Old tasks go as a whole, a small batch at a time. What is stored of the market stays.

Whatever outlives a task (bars, corrections, findings, its retries, its plan) keeps the id of what is gone.
"""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.lifecycle.claims import RUNNING
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, TaskEvent

BATCH = 1000  # rows, so that nobody waits for long


class Pruned(NamedTuple):
    """How many rows went in a batch; none when there is nothing left to prune."""

    tasks: int = 0
    items: int = 0
    others: int = 0

    @property
    def rows(self) -> int:
        return sum(self)


def expired(days: int) -> QuerySet[CollectionTask]:
    """Tasks that ended more than so many days ago, the oldest first; none for 0.

    No task ends before it starts: the start is named for the index of the list, which has that order.
    """
    if not days:
        return CollectionTask.objects.none()
    since = Now() - timedelta(days=days)
    past = CollectionTask.objects.filter(~Q(status=RUNNING), start_time__lt=since, end_time__lt=since)
    return past.order_by("start_time", "id")


def prune(days: int, batch: int = BATCH) -> Pruned:
    """Delete up to `batch` rows of the oldest expired task, itself as the last, in one short transaction.

    Of several hosts each takes another task, or finds none.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        oldest = expired(days).select_for_update(skip_locked=True).values_list("pk", flat=True).first()
        return _prune(oldest, batch) if oldest else Pruned()


def is_going(task: CollectionTask) -> bool:
    """Whether the ended task has lost stocks to a batch, which begins with the first."""
    return bool(task.end_time and task.total_stocks) and not task.items.filter(position=0).exists()


def _prune(task_id: UUID, batch: int) -> Pruned:
    """The task's row must be locked."""
    items = _delete(CollectionItem.objects.filter(task_id=task_id).order_by("position")[:batch])
    events = _delete(TaskEvent.objects.filter(task_id=task_id).order_by("pk")[: batch - items])
    lanes = _delete(
        CollectionLane.objects.filter(task_id=task_id).order_by("number")[: batch - items - events]
    )
    gone = items + events + lanes
    if gone == batch:  # there may be more
        return Pruned(0, items, events + lanes)
    CollectionTask.objects.filter(pk=task_id).delete()
    return Pruned(1, items, events + lanes)


def _delete(rows: QuerySet[CollectionItem] | QuerySet[TaskEvent] | QuerySet[CollectionLane]) -> int:
    """By primary key; how many."""
    keys = list(rows.values_list("pk", flat=True))
    return rows.model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0
