"""The verbs of a slice. Each raises `StaleClaim` once the task has ended or the lane is another's."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import events
from tasks_app.lifecycle.claims import (
    CLAIMED,
    RELEASED,
    Claim,
    Lane,
    Outcome,
    add_items,
    claim_items,
    claimed,
    items,
    lanes_of,
    lease,
    lock_lane,
    lock_running_task,
    prolong,
)
from tasks_app.lifecycle.completion import finish_if_done, record
from tasks_app.lifecycle.events import WORKER
from tasks_app.lifecycle.recovery import supply
from tasks_app.models import CollectionTask, TaskEvent
from tasks_app.models.tasks import EventKind

MOST_JITTER = 1.5


def begin(task_id: UUID, number: int, generation: int, worker: str) -> Lane:
    """Take up the lane for a queued slice. Raises `StaleClaim` for a copy of a job or a stale one.

    It is no sign of work yet: a slice that dies at once each time must not keep its task alive.
    """
    lane = Lane(task_id, number, generation)
    with transaction.atomic():
        lock_running_task(task_id)
        begun = lanes_of(lane).filter(begun=False).update(begun=True, worker=worker, lease_until=lease())
        if not begun:
            raise errors.StaleClaim(what=str(lane))
    return lane


def decline(lane: Lane) -> None:
    """Leave the lane to others: the watchdog's next round queues it anew. Raises `StaleClaim`."""
    with transaction.atomic():
        lock_lane(lane)
        lanes_of(lane).update(lease_until=None, worker="")


def plan(lane: Lane, codes: Sequence[str]) -> None:
    """Give the task its items, and supply the other lanes. An empty plan ends the task at once."""
    with transaction.atomic():
        lock_lane(lane)
        add_items(lane.task_id, codes)
        events.record_event(lane.task_id, EventKind.PLANNED, WORKER, stocks=len(codes))
        supply(lane.task_id)
        finish_if_done(lane.task_id)


def claim(lane: Lane, limit: int) -> list[Claim]:
    """Up to `limit` due items for this lane; their attempts are counted before anything is tried."""
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        lock_lane(lane)
        return claim_items(lane, limit)


def record_and_claim(claim: Claim, outcome: Outcome, limit: int) -> list[Claim]:
    """Record a stock's end, and claim up to `limit` further ones in the same commit: one instead of two.

    As with `record`, call it last in the transaction that wrote the bars. Raises `StaleClaim`. A lane
    that was lost costs only the further ones.
    """
    if record(claim, outcome) or limit <= 0 or not prolong(claim.lane):
        return []
    return claim_items(claim.lane, limit)


def requeue(
    claim: Claim, error_code: str, error_message: str, delay: float, attempts: int | None = None
) -> None:
    """Put a claimed stock back for another try in `delay` seconds. Raises `StaleClaim`.

    It waits for COLLECTOR_BACKOFF_MAX and its jitter at most: as long as stocks wait, nobody expects a
    sign of a worker. `attempts` are then counted for it; as many as the claim says, when left out.
    """
    delay = min(delay, settings.COLLECTOR.backoff_max * MOST_JITTER)
    with transaction.atomic():
        lock_running_task(claim.lane.task_id)
        moved = claimed(claim).update(
            **RELEASED,
            not_before=Now() + timedelta(seconds=delay),
            attempts=claim.attempts if attempts is None else attempts,
            error_code=error_code,
            error_message=error_message,
        )
    if not moved:
        raise errors.StaleClaim(what=claim.code)


def beat(lane: Lane) -> None:
    """Prolong the lane's lease and those of its items. Raises `StaleClaim` once they are lost."""
    with transaction.atomic():
        lock_lane(lane)
        held = items(lane.task_id).filter(state=CLAIMED, lane=lane.number)
        held.update(lease_until=lease())
        CollectionTask.objects.filter(pk=lane.task_id).update(heartbeat_at=Now())


def warn(lane: Lane, code: str, **params: str) -> None:
    """Record something that people should know of the task, which goes on; of each code once.

    Raises `StaleClaim`.
    """
    with transaction.atomic():
        lock_lane(lane)  # its lock: another worker's warning is seen
        warnings = TaskEvent.objects.filter(task_id=lane.task_id, kind=EventKind.WARNED)
        if not warnings.filter(params__code=code).exists():
            events.record_event(lane.task_id, EventKind.WARNED, WORKER, code=code, **params)


def close(lane: Lane) -> None:
    """End the slice: hand back what it still holds, free the lane, queue the successors."""
    with transaction.atomic():
        lock_lane(lane)
        held = items(lane.task_id).filter(state=CLAIMED, lane=lane.number)
        held.update(**RELEASED, attempts=F("attempts") - 1)
        lanes_of(lane).update(lease_until=None, worker="")
        supply(lane.task_id)
