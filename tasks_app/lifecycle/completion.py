"""How stocks and tasks end: the only writers of a task's counters and of its final status."""

from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.lifecycle import events, selectors
from tasks_app.lifecycle.claims import (
    CLAIMED,
    RELEASED,
    RUNNING,
    Claim,
    Outcome,
    claimed,
    items,
    release,
)
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionLane, CollectionTask
from tasks_app.models.states import ItemState, TaskStatus, statuses_before
from tasks_app.models.tasks import EventKind


def record(claim: Claim, outcome: Outcome) -> bool:
    """Write one stock's end and the task's counters; the last stock ends the task: then True.

    Call it last in the transaction that wrote the bars. Raises `StaleClaim` when the task is no
    longer running or the claim is no longer held: that transaction must roll back.
    """
    task_id = claim.lane.task_id
    succeeded = outcome.state != ItemState.FAILED
    more = {
        "processed_stocks": 1,
        "success_count": int(succeeded),
        "failed_count": int(not succeeded),
        "collected_count": outcome.collected,
        "corrected_count": outcome.corrected,
        "skipped_count": outcome.skipped,
        "refused_count": outcome.refused,
        "flagged_count": outcome.flagged,
    }
    counted = CollectionTask.objects.filter(pk=task_id, status=RUNNING).update(
        **{name: F(name) + number for name, number in more.items() if number},
        heartbeat_at=Now(),
    )
    if not counted or not release(claimed(claim), outcome):
        raise errors.StaleClaim(what=claim.code)
    return finish_if_done(task_id)


def finish_if_done(task_id: UUID) -> bool:
    """End a task whose stocks are all processed: completed, or failed when not one succeeded."""
    task = CollectionTask.objects.filter(
        pk=task_id, status=RUNNING, planned_at__isnull=False, processed_stocks=F("total_stocks")
    )
    counts = list(task.values_list("success_count", "total_stocks"))
    if not counts:
        return False
    succeeded, total = counts[0]
    if succeeded or not total:
        end(task_id, TaskStatus.COMPLETED)
        events.record_event(task_id, EventKind.COMPLETED, WORKER)
        return True
    first = items(task_id).order_by("position").values_list("code", "error_message").first()
    message = errors.stored_reason("all_failed", total=total, first=": ".join(first or ()))
    end(task_id, TaskStatus.FAILED, "all_failed", message)
    events.record_event(task_id, EventKind.FAILED, WORKER, code="all_failed")
    return True


def end(task_id: UUID, status: TaskStatus, code: str = "", message: str = "") -> None:
    """The one way out of `running`. Claimed items go back first: a final task's items are frozen."""
    items(task_id).filter(state=CLAIMED).update(**RELEASED)
    moved = CollectionTask.objects.filter(pk=task_id, status__in=statuses_before(status)).update(
        status=status, end_time=Now(), error_code=code, error_message=message, shares=_shares(task_id)
    )
    if not moved:
        raise errors.StaleClaim(what=f"task {task_id}")
    CollectionLane.objects.filter(task_id=task_id).update(lease_until=None, begun=False, worker="")


def _shares(task_id: UUID) -> dict[str, Any] | None:
    """What came from which source, where there were several. The task's row must be locked."""
    fallbacks = CollectionTask.objects.values_list("fallbacks", flat=True).get(pk=task_id)
    return selectors.count_shares(task_id) if fallbacks else None
