"""Deletes old tasks, each as a whole, and old raw answers, in small batches. Stored market data stays.

A chain of tasks is one run: it is kept until its last part has expired, and then deleted as one.

What outlives a task (bars, corrections, findings, its retries, its plan) keeps the id of the deleted row. The
differences between sources that it found are deleted with it.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, UUIDField
from django.db.models.functions import Coalesce, Now

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

    Of a chain all parts, if its last one ended so long ago and none of it waits in the queue.

    A task starts before it ends: the condition on the start is for the index, which is in that order.
    """
    if not days:
        return CollectionTask.objects.none()
    since = Now() - timedelta(days=days)
    past = CollectionTask.objects.filter(~Q(status=RUNNING), start_time__lt=since)
    # Only the last part of each: for an old chain that is kept, its parts would be read for each of them.
    last = CollectionTask.objects.filter(first_part=OuterRef("chain")).order_by("-start_time")
    end = Subquery(last.values(end=Coalesce("end_time", Now()))[:1])
    waiting = chains.waiting_rests().values(chain=_first_of("continues__first_part", "continues"))
    of_chains = past.annotate(chain=_first_of("first_part", "pk"), chain_end=Coalesce(end, "end_time"))
    return of_chains.filter(chain_end__lt=since).exclude(chain__in=waiting).order_by("start_time", "id")


def _first_of(first_part: str, task: str) -> Coalesce:
    return Coalesce(first_part, task, output_field=UUIDField())


def prune(days: int, batch: int = BATCH) -> DeletedRows:
    """Deletes up to `batch` rows of the oldest expired task in one short transaction, the task itself last.

    The parts of a chain go together, their tasks in the last of its transactions: until then its counters
    are whole. Of several hosts each takes another task or chain, or none.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        if not (parts := _lock_oldest(days)):
            return DeletedRows()
        items = others = 0
        for part in parts:
            rows_of_stocks = CollectionItem.objects.filter(task=part).order_by("position")
            items += _delete(rows_of_stocks, batch - items - others)
            for rows in (TaskEvent.objects.filter(task=part), CollectionLane.objects.filter(task=part)):
                others += _delete(rows.order_by("pk"), batch - items - others)
        is_last = items + others < batch  # else there may be more rows
        if is_last:
            CollectionTask.objects.filter(pk__in=parts).delete()
        return DeletedRows(len(parts) if is_last else 0, items, others)


def _lock_oldest(days: int) -> list[UUID]:
    """Returns the oldest expired task that no other host has locked, with all parts of its chain, locked.

    The first part that is left stands for its chain.
    """
    chain = Q(pk=OuterRef("first_part")) | Q(first_part=OuterRef("first_part"))
    earlier = CollectionTask.objects.filter(chain, start_time__lt=OuterRef("start_time"))
    oldest = expired(days).filter(~Exists(earlier)).select_for_update(skip_locked=True).first()
    if oldest is None:
        return []
    parts = chains.parts_of(oldest).select_for_update()
    return list(parts.values_list("pk", flat=True))


def _delete(rows: QuerySet[Any], limit: int) -> int:
    """Deletes the first `limit` rows; of items, the differences that were found in them, too."""
    keys = list(rows.values_list("pk", flat=True)[:limit])
    if not keys:
        return 0
    if rows.model is CollectionItem:
        Finding.objects.filter(item_id__in=keys, kind=FindingKind.DIFFERS).delete()
    deleted: int = rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return deleted


def prune_raw_answers(megabytes: int, days: int) -> int:
    """Deletes a batch of raw answers that are too old or too many, in one short transaction.

    Returns how many.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        return raw_answers.delete_old(megabytes, days)


def is_being_deleted(task: CollectionTask) -> bool:
    """Whether a batch has deleted items of the ended task, or of its chain: it begins with the first one."""
    if not chains.is_part(task):
        return bool(task.end_time and task.total_stocks) and not task.items.filter(position=0).exists()
    first_items = CollectionItem.objects.filter(task=OuterRef("pk"), position=0)
    parts = chains.parts_of(task).filter(end_time__isnull=False, total_stocks__gt=0)
    return parts.filter(~Exists(first_items)).exists()
