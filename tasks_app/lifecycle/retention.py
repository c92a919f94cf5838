"""Deletes old tasks, each as a whole, and old raw answers, in small batches. Stored market data stays.

What outlives a task (bars, corrections, findings, its retries, its plan) keeps the id of the deleted row. The
differences between sources that it found are deleted with it.
"""

from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import chains
from tasks_app.lifecycle.claims import RUNNING
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, Finding, TaskEvent
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import raw_answers

BATCH = 1000  # rows; a larger batch would make others wait


class DeletedRows(NamedTuple):
    """How many rows a batch deleted; zeros when there is nothing left to delete."""

    tasks: int = 0
    items: int = 0
    others: int = 0

    @property
    def total(self) -> int:
        return sum(self)


def expired(days: int) -> QuerySet[CollectionTask]:
    """Returns the tasks that ended more than `days` days ago, the oldest first; none for 0.

    Not those whose rest waits in the queue: its stocks are their items.

    A task starts before it ends: the condition on the start is for the index, which is in that order.
    """
    if not days:
        return CollectionTask.objects.none()
    since = Now() - timedelta(days=days)
    past = CollectionTask.objects.filter(~Q(status=RUNNING), start_time__lt=since, end_time__lt=since)
    needed = chains.waiting_rests().filter(continues=OuterRef("pk"))
    return past.filter(~Exists(needed)).order_by("start_time", "id")


def prune(days: int, batch: int = BATCH) -> DeletedRows:
    """Deletes up to `batch` rows of the oldest expired task in one short transaction, the task itself last.

    Of several hosts each takes another task, or none.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        oldest = expired(days).select_for_update(skip_locked=True).values_list("pk", flat=True).first()
        if oldest is None:
            return DeletedRows()
        counts: list[int] = []
        for rows in (
            CollectionItem.objects.filter(task_id=oldest).order_by("position"),
            TaskEvent.objects.filter(task_id=oldest).order_by("pk"),
            CollectionLane.objects.filter(task_id=oldest).order_by("number"),
        ):
            keys = list(rows.values_list("pk", flat=True)[: batch - sum(counts)])
            if rows.model is CollectionItem and keys:
                Finding.objects.filter(item_id__in=keys, kind=FindingKind.DIFFERS).delete()
            counts.append(rows.model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0)
        is_last = sum(counts) < batch  # else there may be more rows
        if is_last:
            CollectionTask.objects.filter(pk=oldest).delete()
        items, *others = counts
        return DeletedRows(int(is_last), items, sum(others))


def prune_raw_answers(megabytes: int, days: int) -> int:
    """Deletes a batch of raw answers that are too old or too many, in one short transaction.

    Returns how many.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        return raw_answers.delete_old(megabytes, days)


def is_being_deleted(task: CollectionTask) -> bool:
    """Whether a batch has deleted items of the ended task: it begins with the first."""
    return bool(task.end_time and task.total_stocks) and not task.items.filter(position=0).exists()
