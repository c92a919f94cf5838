"""Chains: a task that yielded and those that continue it, which are one run to whoever ordered it."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from tasks_app.models import CollectionTask, QueuedOrder
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.states import TaskStatus

COUNTERS = ("total_stocks", "success_count", "failed_count", "processed_stocks")
COLUMNS = ("pk", "first_part_id", "continues_id", "status", "error_code", *COUNTERS)


class Chain(NamedTuple):
    """The stocks of a whole chain, each counted once, and the task that continues this part, if any."""

    total: int
    completed: int
    failed: int
    parts: int
    continued_by: UUID | None

    @property
    def remaining(self) -> int:
        return self.total - self.completed - self.failed


def parts_of(task: CollectionTask) -> QuerySet[CollectionTask]:
    """Returns the tasks of the chain that a task belongs to, the first one first; itself without a chain."""
    of_chain = Q(pk=task.chain_id) | Q(first_part=task.chain_id)
    return CollectionTask.objects.filter(of_chain).order_by("start_time", "pk")


def is_part(task: CollectionTask) -> bool:
    """Whether the task belongs to a chain: it yielded, or continues one that did."""
    return task.has_yielded or task.continues_id is not None


def chains_of(tasks: Iterable[CollectionTask]) -> dict[UUID, Chain]:
    """Returns the chains of those tasks that belong to one, by the tasks' ids, with one query at most."""
    asked = [task for task in tasks if is_part(task)]
    if not asked:
        return {}
    firsts = {task.chain_id for task in asked}
    rows = CollectionTask.objects.filter(Q(pk__in=firsts) | Q(first_part__in=firsts)).only(*COLUMNS)
    parts: dict[UUID, list[CollectionTask]] = defaultdict(list)
    for row in rows.order_by("start_time", "pk"):
        parts[row.chain_id].append(row)
    return {task.pk: _sum(task, parts[task.chain_id]) for task in asked}


def _sum(task: CollectionTask, parts: list[CollectionTask]) -> Chain:
    """A part that was continued leaves its unprocessed stocks to the next: only the last one's count."""
    completed, failed = (sum(getattr(part, name) for part in parts) for name in COUNTERS[1:3])
    left = parts[-1].total_stocks - parts[-1].processed_stocks if parts else 0
    following = next((part.pk for part in parts if part.continues_id == task.pk), None)
    return Chain(completed + failed + left, completed, failed, len(parts), following)


def queued_rest(task: CollectionTask) -> QueuedOrder | None:
    """Returns the order for what a yielded task left, in whatever state; None if it was deleted."""
    return QueuedOrder.objects.filter(continues=task.pk).first() if task.has_yielded else None


def goes_on(task: CollectionTask) -> bool:
    """Whether what a task left is collected by itself: its continuation waits or was started."""
    if not task.has_yielded:
        return False
    order = QueuedOrder.objects.filter(continues=task.pk, state=QueuedOrderState.WAITING)
    return order.exists() or CollectionTask.objects.filter(continues=task.pk).exists()


def ends_chain(task: CollectionTask) -> bool:
    """Whether a task has ended and nothing follows it by itself."""
    return task.status != TaskStatus.RUNNING and not goes_on(task)
