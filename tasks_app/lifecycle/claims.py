"""What the life cycle's verbs share: what a worker holds, the locks, and the moves of an item."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from tasks_app import errors
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask
from tasks_app.models.states import ItemState, TaskStatus

RUNNING = TaskStatus.RUNNING
PENDING, CLAIMED = ItemState.PENDING, ItemState.CLAIMED
DUE = Q(state=PENDING) & (Q(not_before__isnull=True) | Q(not_before__lte=Now()))
RELEASED: dict[str, Any] = {"state": PENDING, "lane": None, "lease_until": None, "fence": F("fence") + 1}
_BLANK = {  # what an item begins with, column by column
    **dict.fromkeys(("attempts", "fence"), "0"),
    **{f"rows_{what}": "0" for what in ("collected", "corrected", "skipped", "refused", "flagged")},
    **dict.fromkeys(("source", "error_code", "error_message"), "''"),
}
_ADD = (
    f"INSERT INTO {CollectionItem._meta.db_table} (task_id, position, code, state, {', '.join(_BLANK)})"
    f" SELECT %%s, position, code, '{PENDING}', {', '.join(_BLANK.values())} FROM (%s) AS given"
)
_NUMBERED = {
    "sqlite": "SELECT key AS position, value AS code FROM json_each(%s)",
    "postgresql": "SELECT n - 1 AS position, code"
    " FROM json_array_elements_text(%s::json) WITH ORDINALITY AS numbered(code, n)",
}


@dataclass(frozen=True)
class Lane:
    """What a slice holds: its right to write lasts while `generation` is the lane's."""

    task_id: UUID
    number: int
    generation: int


@dataclass(frozen=True)
class Claim:
    """One stock in a slice's hands; `fence` is the number its writes must still find."""

    lane: Lane
    item_id: int
    code: str
    fence: int
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """How one stock ended: state, bars (new, corrected, there already, refused, flagged), source, error."""

    state: ItemState
    collected: int = 0
    corrected: int = 0
    skipped: int = 0
    refused: int = 0
    flagged: int = 0
    source: str = ""
    error_code: str = ""
    error_message: str = ""


def lease() -> Any:
    return Now() + timedelta(seconds=settings.COLLECTOR.lease)


def items(task_id: UUID) -> QuerySet[CollectionItem]:
    return CollectionItem.objects.filter(task_id=task_id)


def lanes_of(lane: Lane) -> QuerySet[CollectionLane]:
    return CollectionLane.objects.filter(task_id=lane.task_id, number=lane.number, generation=lane.generation)


def claimed(claim: Claim) -> QuerySet[CollectionItem]:
    return CollectionItem.objects.filter(pk=claim.item_id, fence=claim.fence, state=CLAIMED)


def locked(task_id: UUID) -> CollectionTask:
    """The task, its row locked. Not FOR UPDATE in full: that would block inserts that point to it."""
    try:
        return CollectionTask.objects.select_for_update(no_key=True).get(pk=task_id)
    except CollectionTask.DoesNotExist:
        raise errors.TaskNotFound(task_id=task_id) from None


def lock_running_task(task_id: UUID) -> None:
    task = CollectionTask.objects.select_for_update(no_key=True).filter(pk=task_id)
    if list(task.values_list("status", flat=True)) != [RUNNING]:
        raise errors.StaleClaim(what=f"task {task_id}")


def lock_lane(lane: Lane) -> None:
    """Lock the task, then prove that the lane is still ours and prolong it."""
    lock_running_task(lane.task_id)
    if not prolong(lane):
        raise errors.StaleClaim(what=str(lane))


def prolong(lane: Lane) -> bool:
    """Prolong the lane; False when it is no longer ours. The task's row must be locked."""
    return bool(lanes_of(lane).filter(begun=True).update(lease_until=lease()))


def claim_items(lane: Lane, limit: int) -> list[Claim]:
    """Claim up to `limit` due items for a lane that was just prolonged."""
    due = items(lane.task_id).filter(DUE).order_by("position")[:limit]
    rows = list(due.values_list("pk", "code", "fence", "attempts"))
    CollectionItem.objects.filter(pk__in=[pk for pk, *_ in rows]).update(
        state=CLAIMED,
        lane=lane.number,
        lease_until=lease(),
        attempts=F("attempts") + 1,
        fence=F("fence") + 1,
        started_at=Coalesce("started_at", Now()),
        not_before=None,
    )
    return [Claim(lane, pk, code, fence + 1, attempts + 1) for pk, code, fence, attempts in rows]


def add_items(task_id: UUID, codes: Sequence[str]) -> None:
    """One statement: an object for each stock of a market would be a third of the wait for its first bar."""
    with connection.cursor() as cursor:
        key = CollectionTask._meta.pk.get_db_prep_value(task_id, connection)
        cursor.execute(_ADD % _NUMBERED[connection.vendor], [key, json.dumps(list(codes))])
    CollectionTask.objects.filter(pk=task_id).update(total_stocks=len(codes), planned_at=Now())


def release(claimed: QuerySet[CollectionItem], outcome: Outcome) -> bool:
    """Move a claimed item to its end; False when it is no longer held."""
    return bool(
        claimed.update(
            state=outcome.state,
            lane=None,
            lease_until=None,
            finished_at=Now(),
            rows_collected=outcome.collected,
            rows_corrected=outcome.corrected,
            rows_skipped=outcome.skipped,
            rows_refused=outcome.refused,
            rows_flagged=outcome.flagged,
            source=outcome.source,
            error_code=outcome.error_code,
            error_message=outcome.error_message,
        )
    )
