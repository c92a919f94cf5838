"""The verbs of a slice. Each raises `StaleClaim` once the task has ended or the lane or claim was lost."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import events
from tasks_app.lifecycle.claims import (
    RELEASED,
    Claim,
    Lane,
    Outcome,
    add_items,
    claim_items,
    claim_suspect,
    complete_plan,
    drop_items,
    extend_lease,
    lease_end,
    lock_lane,
    lock_running_task,
)
from tasks_app.lifecycle.completion import end_if_done, record
from tasks_app.lifecycle.events import LIST_REPEATED, WORKER
from tasks_app.lifecycle.recovery import fail, supply
from tasks_app.models import CollectionTask, TaskEvent
from tasks_app.models.events import EventKind

MOST_JITTER = 1.5
PLAN_BATCH = 5000  # items per transaction: some tens of milliseconds, for which a cancel may have to wait


def begin(task_id: UUID, number: int, generation: int, worker: str) -> Lane:
    """Takes the lane for a queued slice. Raises `StaleClaim` for a copy of a job or a stale job.

    This does not count as activity: a slice that dies at once every time must not keep its task alive.
    """
    lane = Lane(task_id, number, generation)
    with transaction.atomic():
        lock_running_task(task_id)
        if not lane.row.filter(begun=False).update(begun=True, worker=worker, lease_until=lease_end()):
            raise errors.StaleClaim(what=str(lane))
    return lane


def decline(lane: Lane) -> None:
    """Gives the lane back without work: the watchdog's next round queues it for another worker."""
    with transaction.atomic():
        lock_lane(lane)
        lane.row.update(lease_until=None, worker="")


def plan(lane: Lane, codes: Sequence[str], after_batch: Callable[[], None] = lambda: None) -> None:
    """Creates the task's items, a batch per transaction, and supplies the other lanes.

    No item can be claimed before the last batch, whose transaction marks the task as planned. Items that an
    interrupted plan has left are deleted first: its stock list may have been another one. `after_batch` is
    called outside of any transaction; what it raises leaves the plan to the next slice. A plan without codes
    ends the task at once.
    """
    while _drop_unplanned(lane):
        after_batch()
    for first in range(0, max(len(codes), 1), PLAN_BATCH):
        is_last = first + PLAN_BATCH >= len(codes)
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            lock_lane(lane)
            add_items(lane.task_id, codes[first : first + PLAN_BATCH], first)
            if is_last:
                complete_plan(lane.task_id)
                events.record_event(lane.task_id, EventKind.PLANNED, WORKER, stocks=len(codes))
                supply(lane.task_id)
                end_if_done(lane.task_id)
        if not is_last:
            after_batch()


def _drop_unplanned(lane: Lane) -> int:
    """Deletes a batch of an interrupted plan's items. Returns how many."""
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        lock_lane(lane)
        return drop_items(lane.task_id, PLAN_BATCH)


def claim(lane: Lane, limit: int, *, may_isolate: bool = True) -> list[Claim]:
    """Claims up to `limit` due items for this lane. Their attempts are counted before anything is tried.

    A suspect is claimed by itself, and only if `may_isolate`: while the worker makes no request.
    """
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        lock_lane(lane)
        held = list(lane.claimed_items.values_list("losses", flat=True))
        if any(held):  # a suspect, which is held alone
            return []
        suspect = claim_suspect(lane) if may_isolate and not held else []
        return suspect or claim_items(lane, limit)


def record_and_claim(claim: Claim, outcome: Outcome, limit: int) -> list[Claim]:
    """Records a stock's end and claims up to `limit` further stocks in the same commit: one instead of two.

    As with `record`, call it last in the transaction that wrote the bars. If only the lane was lost, the
    stock is recorded and nothing is claimed. Suspects are claimed by `claim` only. The lane holds none now:
    it held this stock, so no other stock that it holds is a suspect.
    """
    if record(claim, outcome) or limit <= 0 or not extend_lease(claim.lane):
        return []
    return claim_items(claim.lane, limit)


def requeue(
    claim: Claim, error_code: str, error_message: str, delay: float, attempts: int | None = None
) -> None:
    """Releases a claimed stock for another attempt in `delay` seconds.

    The delay is capped at COLLECTOR_BACKOFF_MAX plus its jitter, because no worker activity is expected
    while stocks wait. `attempts` replaces the item's number of attempts; by default this one counts.
    """
    delay = min(delay, settings.COLLECTOR.backoff_max * MOST_JITTER)
    _release(
        claim,
        not_before=Now() + timedelta(seconds=delay),
        attempts=claim.attempts if attempts is None else attempts,
        error_code=error_code,
        error_message=error_message,
    )


def suspect(claim: Claim, error_code: str, error_message: str) -> None:
    """Releases a claimed stock that may be what has harmed its worker: it is tried again in isolation.

    It costs no attempt, because another request of the worker may be the cause. It counts as the stock's
    first loss although the worker lives; see `CollectionItem`.
    """
    _release(
        claim,
        losses=claim.losses + 1,
        attempts=claim.attempts - 1,
        error_code=error_code,
        error_message=error_message,
    )


def _release(claim: Claim, **fields: Any) -> None:
    """Releases a claimed stock and sets these columns of its item."""
    with transaction.atomic():
        lock_running_task(claim.lane.task_id)
        is_released = claim.item.update(**RELEASED, **claim.attempts_to_store(), **fields)
    if not is_released:
        raise errors.StaleClaim(what=claim.code)


def keep(claim: Claim) -> None:
    """Makes sure that the stock is still claimed: what the transaction wrote for it may be committed.

    Call it last in a transaction that writes while the stock goes on.
    """
    lock_running_task(claim.lane.task_id)
    if not claim.item.update(lease_until=lease_end()):
        raise errors.StaleClaim(what=claim.code)


class Halt(Enum):
    """Why a slice is to end before its time."""

    PAUSED = auto()  # at once: its task is paused
    YIELDING = auto()  # once the requests under way have ended: nothing is to be requested twice


def beat(lane: Lane) -> Halt | None:
    """Extends the leases of the lane and its items, and counts as activity on the task.

    Returns why the slice is to end now, if it is.
    """
    with transaction.atomic():
        lock_lane(lane)
        lane.claimed_items.update(lease_until=lease_end())
        task = CollectionTask.objects.filter(pk=lane.task_id)
        task.update(heartbeat_at=Now())
        paused_at, yielding_at = task.values_list("paused_at", "yielding_at").get()
        if paused_at:
            return Halt.PAUSED
        return Halt.YIELDING if yielding_at else None


def note_days(lane: Lane, *, in_flight: bool) -> None:
    """Records whether the slice requests whole days: if its worker is lost, one of them may be the cause."""
    with transaction.atomic():
        lock_lane(lane)
        lane.row.update(fetches_day=in_flight)


def warn(lane: Lane, code: str, **params: str) -> None:
    """Records a warning about the task, which continues. Each code is recorded once per task."""
    with transaction.atomic():
        lock_lane(lane)  # serialises warnings, so that another worker's is seen
        warnings = TaskEvent.objects.filter(task_id=lane.task_id, kind=EventKind.WARNED)
        if not warnings.filter(params__code=code).exists():
            events.record_event(lane.task_id, EventKind.WARNED, WORKER, code=code, **params)


def repeat_stock_list(lane: Lane, attempts: int, message: str) -> int:
    """Records that the stock list could not be read, and returns the attempt's number.

    Returns 0, and records nothing, if that was the last of so many `attempts`.
    """
    with transaction.atomic():
        lock_lane(lane)
        failures = TaskEvent.objects.filter(task_id=lane.task_id, params__code=LIST_REPEATED)
        if (attempt := failures.count() + 1) >= attempts:
            return 0
        params = {"attempt": str(attempt), "attempts": str(attempts), "message": message}
        events.record_event(lane.task_id, EventKind.WARNED, WORKER, code=LIST_REPEATED, **params)
        return attempt


def fail_by(lane: Lane, code: str, message: str) -> None:
    """Ends the lane's task, which can't continue, as `fail` does."""
    with transaction.atomic():
        lock_lane(lane)
        fail(lane.task_id, code, message)


def close(lane: Lane) -> None:
    """Ends the slice: releases what it still holds without counting the attempt, and queues successors."""
    with transaction.atomic():
        lock_lane(lane)
        lane.claimed_items.update(**RELEASED, attempts=F("attempts") - 1)
        lane.row.update(lease_until=None, worker="")
        supply(lane.task_id)
