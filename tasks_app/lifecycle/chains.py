"""Chains: a task that yielded and those that continue it, which are one run to whoever ordered it."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from tasks_app.lifecycle import selectors
from tasks_app.models import CollectionItem, CollectionTask, QueuedOrder
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.states import FINAL_STATES, ItemState, TaskStatus

DONE = Q(state__in=[ItemState.SUCCEEDED, ItemState.SKIPPED])
COUNTERS = ("total_stocks", "success_count", "failed_count", "processed_stocks")
COLUMNS = ("pk", "first_part_id", "continues_id", "status", "error_code", *COUNTERS)


class Chain(NamedTuple):
    """The stocks of a whole chain, each counted once; `goes_on` while its last part runs or is to come.

    Of the kept parts, this task is that of the `number`, from 1 on. `previous` and `continued_by` are the
    tasks before and after it, if there are any.
    """

    total: int
    completed: int
    failed: int
    parts: int
    goes_on: bool
    number: int
    previous: UUID | None
    continued_by: UUID | None
    is_continuing: bool  # whether that task still runs

    @property
    def remaining(self) -> int:
        return self.total - self.processed

    @property
    def processed(self) -> int:
        return self.completed + self.failed

    @property
    def percent(self) -> int:
        """The share of the stocks that are done, rounded down."""
        return 100 * self.processed // max(1, self.total)


def parts_of_chains(firsts: Collection[UUID]) -> QuerySet[CollectionTask]:
    """Returns the tasks of the chains that begin with these tasks, those that started earlier first."""
    of_chains = Q(pk__in=firsts) | Q(first_part__in=firsts)
    return CollectionTask.objects.filter(of_chains).order_by("start_time", "pk")


def parts_of(task: CollectionTask) -> QuerySet[CollectionTask]:
    """Returns the tasks of the chain that a task belongs to, the first one first; itself without a chain."""
    return parts_of_chains([task.chain_id])


def waiting_rests() -> QuerySet[QueuedOrder]:
    """Returns the orders in the queue that continue a yielded task."""
    return QueuedOrder.objects.filter(continues__isnull=False, state=QueuedOrderState.WAITING)


def is_part(task: CollectionTask) -> bool:
    """Whether the task belongs to a chain: it yielded, or continues one that did."""
    return task.has_yielded or task.continues_id is not None


def chains_of(tasks: Iterable[CollectionTask]) -> dict[UUID, Chain]:
    """Returns the chains of those tasks that belong to one, by the tasks' ids.

    With one query at most: between two of them a rest could leave the queue and start, and be in neither.
    """
    asked = [task for task in tasks if is_part(task)]
    if not asked:
        return {}
    parts: dict[UUID, list[Any]] = defaultdict(list)
    has_rest = Exists(waiting_rests().filter(continues=OuterRef("pk")))
    for row in parts_of_chains({task.chain_id for task in asked}).only(*COLUMNS).annotate(has_rest=has_rest):
        parts[row.chain_id].append(row)
    return {task.pk: _sum(task, parts[task.chain_id]) for task in asked}


def _sum(task: CollectionTask, parts: list[Any]) -> Chain:
    """A part that was continued leaves its unprocessed stocks to the next: only the last one's count."""
    completed, failed = (sum(getattr(part, name) for part in parts) for name in COUNTERS[1:3])
    last: Any = parts[-1] if parts else task
    left = last.total_stocks - last.processed_stocks
    ids = [part.pk for part in parts]
    rest = next((part for part in parts if part.continues_id == task.pk), None)
    return Chain(
        completed + failed + left,
        completed,
        failed,
        len(parts),
        goes_on=last.status == TaskStatus.RUNNING or bool(parts and last.has_rest),
        number=ids.index(task.pk) + 1 if task.pk in ids else len(parts),
        previous=task.continues_id if task.continues_id in ids else None,
        continued_by=rest.pk if rest else None,
        is_continuing=rest is not None and rest.status == TaskStatus.RUNNING,
    )


def items_of(task: CollectionTask) -> QuerySet[CollectionItem]:
    """Returns the stocks of the whole chain, each once: a part that was continued leaves some to the next."""
    parts = list(parts_of(task).values_list("pk", flat=True)) or [task.pk]
    is_own = Q(task=parts[-1]) | Q(state__in=FINAL_STATES)
    return CollectionItem.objects.filter(is_own, task__in=parts)


def error_groups(task: CollectionTask) -> list[dict[str, Any]]:
    """Returns the failures of the whole chain as `selectors.error_groups` does, each with its `task_ids`."""
    items, tasks = items_of(task), defaultdict(list)
    failed = items.filter(state=ItemState.FAILED).order_by("task__start_time", "task")
    for code, task_id in failed.values_list("error_code", "task").distinct():
        tasks[code].append(str(task_id))
    groups = selectors.group_errors(items, ("task__start_time", "position"))
    return [{**group, "task_ids": tasks[group["error_code"]]} for group in groups]


def items_to_retry(task: CollectionTask, error_code: str = "") -> QuerySet[CollectionItem]:
    """Returns the stocks that a retry collects: those that failed in the chain, and those that the task left.

    With a code only those that failed with it. None of a task that was not planned: it has half of its items.
    """
    own = task.items if task.planned_at else task.items.none()
    failed = Q(state=ItemState.FAILED, error_code=error_code) if error_code else Q(state=ItemState.FAILED)
    if not is_part(task):
        return own.filter(failed if error_code else ~DONE).order_by("position")
    of_chain = CollectionItem.objects.filter(failed, task__in=parts_of(task).filter(planned_at__isnull=False))
    keys = of_chain.values("pk").union((own.none() if error_code else own.filter(~DONE)).values("pk"))
    return CollectionItem.objects.filter(pk__in=keys).order_by("task__start_time", "position")


def queued_rest(task: CollectionTask) -> QueuedOrder | None:
    """Returns the order for what a yielded task left, in whatever state; None if it was deleted."""
    return QueuedOrder.objects.filter(continues=task.pk).first() if task.has_yielded else None


def goes_on(task: CollectionTask) -> bool:
    """Whether what a task left is collected by itself: its continuation waits or was started."""
    if not task.has_yielded:
        return False
    is_waiting = waiting_rests().filter(continues=task.pk).exists()
    return is_waiting or CollectionTask.objects.filter(continues=task.pk).exists()
