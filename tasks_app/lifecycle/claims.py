"""Lanes, claims and outcomes, with the locks and item updates that several verbs share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from tasks_app import errors
from tasks_app.lifecycle import attempts
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask
from tasks_app.models.states import ItemState, TaskStatus

RUNNING = TaskStatus.RUNNING
PENDING, CLAIMED = ItemState.PENDING, ItemState.CLAIMED
DUE = Q(state=PENDING) & (Q(not_before__isnull=True) | Q(not_before__lte=Now()))
RELEASED: dict[str, Any] = {"state": PENDING, "lane": None, "lease_until": None, "fence": F("fence") + 1}
SUSPECTS_WITHIN = 20  # of the next due items
BAR_COUNTS = ("collected", "corrected", "skipped", "refused", "flagged")

_INITIAL = {  # SQL values of a new item's columns
    **dict.fromkeys(("attempts", "fence", *(f"rows_{name}" for name in BAR_COUNTS)), "0"),
    **dict.fromkeys(("source", "error_code", "error_message"), "''"),
}
_INSERT = (
    f"INSERT INTO {CollectionItem._meta.db_table} (task_id, position, code, state, {', '.join(_INITIAL)})"
    f" SELECT %%s, position + %%s, code, '{PENDING}', {', '.join(_INITIAL.values())} FROM (%s) AS codes"
)
_CODES = {
    "sqlite": "SELECT key AS position, value AS code FROM json_each(%s)",
    "postgresql": "SELECT n - 1 AS position, code"
    " FROM json_array_elements_text(%s::json) WITH ORDINALITY AS numbered(code, n)",
}
_KEPT = ("attempts", "losses", "not_before", "error_code", "error_message", "attempt_log")
_OWN = {name: value for name, value in _INITIAL.items() if name not in _KEPT}
_COPY = (
    f"INSERT INTO {CollectionItem._meta.db_table}"
    f" (task_id, position, code, state, {', '.join((*_OWN, *_KEPT))})"
    f" SELECT %s, ROW_NUMBER() OVER (ORDER BY position) - 1, code, state, {', '.join(_OWN.values())},"
    f" {', '.join(_KEPT)} FROM {CollectionItem._meta.db_table} WHERE task_id = %s AND state = '{PENDING}'"
)


@dataclass(frozen=True)
class Lane:
    """A slice's right to write, which lasts while `generation` is that of the lane's row."""

    task_id: UUID
    number: int
    generation: int

    @property
    def row(self) -> QuerySet[CollectionLane]:
        """The lane's row; empty once another slice has the lane."""
        return CollectionLane.objects.filter(
            task_id=self.task_id, number=self.number, generation=self.generation
        )

    @property
    def claimed_items(self) -> QuerySet[CollectionItem]:
        return CollectionItem.objects.filter(task_id=self.task_id, lane=self.number, state=CLAIMED)


@dataclass(frozen=True)
class Claim:
    """One stock claimed by a slice. Its writes must find the item with this `fence`.

    `losses` are those of the item before this claim. `attempt_log` is the item's, to which the claim's own
    attempts are added until they are written with its end.
    """

    lane: Lane
    item_id: int
    code: str
    fence: int
    attempts: int
    losses: int = 0
    attempt_log: list[Any] = field(default_factory=list, compare=False)

    def add_attempt(self, attempt: Attempt) -> None:
        """Adds an attempt to what `attempts_to_store` returns."""
        self.attempt_log[:] = attempts.added(self.attempt_log, attempt)

    def attempts_to_store(self) -> dict[str, Any]:
        """Returns the column to write; none if there was no attempt."""
        return {"attempt_log": self.attempt_log} if self.attempt_log else {}

    @property
    def is_isolated(self) -> bool:
        """Whether the worker must hold no other stock and make no other request meanwhile."""
        return self.losses > 0

    @property
    def item(self) -> QuerySet[CollectionItem]:
        """The item; empty once the claim is no longer valid."""
        return CollectionItem.objects.filter(pk=self.item_id, fence=self.fence, state=CLAIMED)


@dataclass(frozen=True)
class Outcome:
    """How one stock ended: its final state, numbers of bars, the source that answered, and the error.

    `note` is what the source left out or changed, in English.

    Bars are newly stored (`collected`), changed by the source (`corrected`), stored before (`skipped`),
    not stored because a check failed (`refused`), or stored although doubtful (`flagged`). So many were
    `compared` with those of the task's second source (None: that was not asked), of which some are
    `differing`; `not_compared` says why it could not be asked.
    """

    state: ItemState
    collected: int = 0
    corrected: int = 0
    skipped: int = 0
    refused: int = 0
    flagged: int = 0
    source: str = ""
    error_code: str = ""
    error_message: str = ""
    note: str = ""
    compared: int | None = None
    differing: int = 0
    not_compared: str = ""


def lease_end() -> Any:
    return Now() + timedelta(seconds=settings.COLLECTOR.lease)


def may_claim(task_id: UUID) -> Exists:
    """A condition of queries on a task's rows: it is neither paused nor yields. Its row must be locked."""
    worked_on = CollectionTask.objects.filter(pk=task_id, paused_at__isnull=True, yielding_at__isnull=True)
    return Exists(worked_on)


def items_of(task_id: UUID) -> QuerySet[CollectionItem]:
    return CollectionItem.objects.filter(task_id=task_id)


def lock_task(task_id: UUID) -> CollectionTask:
    """Returns the task with its row locked. Raises `TaskNotFound`.

    The lock is FOR NO KEY UPDATE: FOR UPDATE would block inserts of rows that refer to the task.
    """
    try:
        return CollectionTask.objects.select_for_update(no_key=True).get(pk=task_id)
    except CollectionTask.DoesNotExist:
        raise errors.TaskNotFound(task_id=task_id) from None


def lock_running_task(task_id: UUID) -> None:
    """Locks the task's row. Raises `StaleClaim` unless the task is running."""
    task = CollectionTask.objects.select_for_update(no_key=True).filter(pk=task_id)
    if list(task.values_list("status", flat=True)) != [RUNNING]:
        raise errors.StaleClaim(what=f"task {task_id}")


def lock_lane(lane: Lane) -> None:
    """Locks the task, then extends the lane's lease. Raises `StaleClaim` when the lane was lost."""
    lock_running_task(lane.task_id)
    if not extend_lease(lane):
        raise errors.StaleClaim(what=str(lane))


def extend_lease(lane: Lane) -> bool:
    """Extends the lane's lease; False when the lane was lost. The task's row must be locked."""
    return bool(lane.row.filter(begun=True).update(lease_until=lease_end()))


def claim_items(lane: Lane, limit: int) -> list[Claim]:
    """Claims up to `limit` due items, but no suspects, for a lane whose lease was just extended.

    None of a task that is paused or yields. The lane must not hold a suspect.
    """
    due = items_of(lane.task_id).filter(DUE, may_claim(lane.task_id), losses=0)
    return _claim(lane, due.order_by("position")[:limit])


def claim_suspect(lane: Lane) -> list[Claim]:
    """Claims one suspect for a lane that holds nothing and whose lease was just extended.

    While other stocks are due, one lane at a time takes suspects and the others continue at full speed.
    Looks at the next due items only: suspects were claimed before, so they are among the first.
    """
    items = items_of(lane.task_id).filter(may_claim(lane.task_id))
    next_due = items.filter(DUE).order_by("position").values_list("pk", "losses")[:SUSPECTS_WITHIN]
    suspects = [pk for pk, losses in next_due if losses]
    if not suspects:
        return []
    another_is_held = items.filter(state=CLAIMED, losses__gt=0).exists()
    if another_is_held and items.filter(DUE, losses=0).exists():
        return []
    return _claim(lane, items.filter(pk=suspects[0]))


def _claim(lane: Lane, due: QuerySet[CollectionItem]) -> list[Claim]:
    """Claims these items. The task's row must be locked."""
    rows = list(due.values_list("pk", "code", "fence", "attempts", "losses", "attempt_log"))
    CollectionItem.objects.filter(pk__in=[pk for pk, *_ in rows]).update(
        state=CLAIMED,
        lane=lane.number,
        lease_until=lease_end(),
        attempts=F("attempts") + 1,
        fence=F("fence") + 1,
        started_at=Coalesce("started_at", Now()),
        not_before=None,
    )
    return [
        Claim(lane, pk, code, fence + 1, number + 1, losses, log or [])
        for pk, code, fence, number, losses, log in rows
    ]


def add_items(task_id: UUID, codes: Sequence[str], first: int = 0) -> None:
    """Creates items from the position `first` on with one statement.

    Creating model instances for a whole market took a third of the time until its first bar.
    """
    with connection.cursor() as cursor:
        key = CollectionTask._meta.pk.get_db_prep_value(task_id, connection)
        cursor.execute(_INSERT % _CODES[connection.vendor], [key, first, json.dumps(list(codes))])
    total = F("total_stocks") + len(codes)
    CollectionTask.objects.filter(pk=task_id).update(total_stocks=total, heartbeat_at=Now())


def copy_rest(old_id: UUID, new_id: UUID) -> None:
    """Creates items of the pending ones of another task, in their order, with the attempts that they had."""
    with connection.cursor() as cursor:
        keys = [CollectionTask._meta.pk.get_db_prep_value(key, connection) for key in (new_id, old_id)]
        cursor.execute(_COPY, keys)
    total = CollectionItem.objects.filter(task_id=new_id).count()
    CollectionTask.objects.filter(pk=new_id).update(total_stocks=total, heartbeat_at=Now())


def withdraw_queued_slices(task_id: UUID) -> None:
    """Makes the jobs of slices that have not begun stale. The task's row must be locked."""
    unbegun = CollectionLane.objects.filter(task_id=task_id, begun=False, lease_until__isnull=False)
    unbegun.update(generation=F("generation") + 1, lease_until=None)


def drop_items(task_id: UUID, most: int) -> int:
    """Deletes up to `most` items, the last ones, of a task that is not planned yet. Returns how many."""
    last = items_of(task_id).order_by("-position").values_list("pk", flat=True)[:most]
    dropped, _ = items_of(task_id).filter(pk__in=list(last)).delete()
    CollectionTask.objects.filter(pk=task_id).update(total_stocks=F("total_stocks") - dropped)
    return dropped


def complete_plan(task_id: UUID) -> None:
    """Marks the task as planned: from now on its items may be claimed."""
    CollectionTask.objects.filter(pk=task_id).update(planned_at=Now(), paused_seconds=0)
