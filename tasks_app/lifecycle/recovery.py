"""Keeps running tasks going: supplies them with slices, rescues them when workers are lost, fails them."""

import math
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import events, selectors
from tasks_app.lifecycle.claims import (
    CLAIMED,
    DUE,
    PENDING,
    RELEASED,
    Claim,
    Lane,
    Outcome,
    items_of,
    lease_end,
    lock_running_task,
)
from tasks_app.lifecycle.completion import end, end_if_done, record
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, TaskEvent
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.models.tasks import EventKind
from tasks_app.queue import dispatch

PLAN_ATTEMPTS = 10
OUT_OF_MEMORY = 71  # exit code of a worker process that reached COLLECTOR_WORKER_MEMORY
NOT_HERE = "source_not_here"  # the warning of a host that lacks the task's source


def rescue(task_id: UUID, watched: float = math.inf) -> None:
    """Ends a running task that is done, fails one that can't continue, and supplies any other with slices.

    `watched` is for how many seconds the caller itself has observed no activity: a task is not given up for a
    silence in which workers or database were down. A second call has no further effect. Raises `StaleClaim`
    when the task is not running.
    """
    with transaction.atomic():
        lock_running_task(task_id)
        if end_if_done(task_id):
            return
        if reason := _failure(task_id, watched):
            fail(task_id, *reason)
            return
        _release_lost_items(task_id, items_of(task_id).filter(state=CLAIMED, lease_until__lt=Now()))
        if not end_if_done(task_id):
            supply(task_id)


def rescue_lane(lane: Lane, exit_code: int) -> None:
    """Releases what a dead worker process held, without waiting for the leases, and supplies the task.

    Call it only for a process that its supervisor has reaped: then the slice of this generation has ended
    for certain, and no request of its own goes on. `exit_code` is negative for a signal. Raises `StaleClaim`
    when the lane was closed or given to another slice, or when the task is not running.
    """
    with transaction.atomic():
        lock_running_task(lane.task_id)
        expired = Now() - timedelta(seconds=1)
        if not lane.row.filter(begun=True, lease_until__isnull=False).update(lease_until=expired):
            raise errors.StaleClaim(what=str(lane))
        _release_lost_items(lane.task_id, lane.claimed_items, exit_code)
        if not end_if_done(lane.task_id):
            supply(lane.task_id)


def get_task(task_id: UUID) -> CollectionTask:
    """Returns the task as readers are to see it: `selectors.get_task`, after `abandon_if_unattended`.

    Raises `TaskNotFound`.
    """
    task = selectors.get_task(task_id)
    return selectors.get_task(task_id) if abandon_if_unattended(task) else task


def get_running_task() -> CollectionTask | None:
    """Returns the running task, after `abandon_if_unattended`; None without one. A list calls it first."""
    task = selectors.get_running_task()
    return None if task and abandon_if_unattended(task) else task


def abandon_if_unattended(task: CollectionTask) -> bool:
    """Fails a task that no worker has worked on for too long. Returns True if the task has ended.

    Every reader of tasks (API, pages, terminal) calls it before it shows a running one, because no watchdog
    may be alive. Does nothing while a cluster lives: its watchdog decides.
    """
    if not selectors.is_unattended(task) or dispatch.live_clusters():
        return False
    try:
        with sqlite_priority.interactive_write(), transaction.atomic():
            lock_running_task(task.pk)
            if reason := _silence(task.pk):
                fail(task.pk, *reason)
            return bool(reason)
    except errors.StaleClaim:
        return True


def fail(task_id: UUID, code: str, message: str) -> None:
    """Ends a running task that can't continue. Raises `StaleClaim` when it is not running."""
    with transaction.atomic():
        lock_running_task(task_id)
        end(task_id, TaskStatus.FAILED, code, message)
        events.record_event(task_id, EventKind.FAILED, WORKER, code=code)


def supply(task_id: UUID) -> None:
    """Queues a slice for every lane that is free or whose lease has expired, while there is work for it.

    Nothing else queues slices. The task's row must be locked.
    """
    lanes = CollectionLane.objects.filter(task_id=task_id)
    is_planned = CollectionTask.objects.filter(pk=task_id, planned_at__isnull=False).exists()
    if is_planned:  # a lane for each due item
        wanted = len(items_of(task_id).filter(DUE)[: settings.COLLECTOR.fan_out])
    else:  # one lane plans the items
        wanted = 0 if lanes.filter(lease_until__gt=Now()).exists() else 1
    free = lanes.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=Now())).order_by("number")
    for lane in free[:wanted]:
        if lane.begun and lane.lease_until and not is_planned:  # a slice that never began was not lost
            events.record_event(task_id, EventKind.RESCUED, WORKER, lane=lane.number)
        lanes.filter(pk=lane.pk).update(
            generation=F("generation") + 1, begun=False, lease_until=lease_end(), worker=""
        )
        dispatch.queue_slice(task_id, lane.number, lane.generation + 1)


def _failure(task_id: UUID, watched: float) -> tuple[str, str] | None:
    """Returns why the task can't continue, as a code and a sentence; None if it can."""
    if items_of(task_id).filter(state=PENDING, not_before__gt=Now()).exists():
        # Stocks wait for their next attempt, so no worker is expected.
        CollectionTask.objects.filter(pk=task_id).update(heartbeat_at=Now())
        return None
    if watched >= settings.COLLECTOR.abandon_after and (reason := _silence(task_id)):
        return reason
    lost = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.RESCUED)
    is_unplanned = CollectionTask.objects.filter(pk=task_id, planned_at__isnull=True).exists()
    if is_unplanned and lost.count() >= PLAN_ATTEMPTS:
        return "plan_lost", errors.stored_reason("plan_lost", times=PLAN_ATTEMPTS)
    return None


def _silence(task_id: UUID) -> tuple[str, str] | None:
    """Returns why no worker was active for COLLECTOR_ABANDON_AFTER: there is none, or none has the source.

    Returns None if a worker was active.
    """
    seconds = settings.COLLECTOR.abandon_after
    silent_since = Now() - timedelta(seconds=seconds)
    if not CollectionTask.objects.filter(pk=task_id, heartbeat_at__lt=silent_since).exists():
        return None
    declined = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.WARNED, params__code=NOT_HERE)
    if params := declined.values_list("params", flat=True).first():
        host, source = params["host"], params["source"]
        message = errors.stored_reason("source_missing", source=source, host=host, seconds=seconds)
        return "source_missing", message
    return "no_worker", errors.stored_reason("no_worker", seconds=seconds)


def _release_lost_items(task_id: UUID, lost: QuerySet[CollectionItem], exit_code: int | None = None) -> None:
    """Releases the items of lost workers. An item that was lost in isolation too often has failed."""
    rows = list(lost.values_list("pk", "code", "fence", "attempts", "losses"))
    if not rows:
        return
    events.record_event(task_id, EventKind.RESCUED, WORKER, codes=[code for _, code, *_ in rows])
    fallbacks = CollectionTask.objects.values_list("fallbacks", flat=True).get(pk=task_id)
    attempts_allowed = settings.COLLECTOR.max_attempts * (1 + len(fallbacks))
    for pk, code, fence, attempts, losses in rows:
        _count_loss(
            Claim(Lane(task_id, 0, 0), pk, code, fence, attempts, losses), attempts_allowed, exit_code
        )


def _count_loss(claim: Claim, attempts_allowed: int, exit_code: int | None) -> None:
    """Counts a lost worker. It costs an attempt only in isolation: otherwise a companion may be the cause.

    The first loss makes the stock a suspect. A stock fails with its last attempt, but never before it was
    lost in isolation COLLECTOR_MAX_ATTEMPTS times: a worker can also be killed from outside. Memory is not
    filled from outside: one loss in isolation is enough, unless another source may do better.
    """
    isolated = claim.losses  # each loss but the first was in isolation
    most = settings.COLLECTOR.max_attempts
    is_exhausted = claim.attempts >= attempts_allowed and isolated >= most
    code = "worker_lost"
    if exit_code == OUT_OF_MEMORY:
        code, is_exhausted = "memory_limit", is_exhausted or (isolated > 0 and attempts_allowed == most)
    error: dict[str, Any] = {"error_code": code, "error_message": _describe_losses(claim, exit_code)}
    if is_exhausted:
        claim.item.update(losses=isolated + 1)
        record(claim, Outcome(ItemState.FAILED, **error))
        return
    counts = isolated and claim.attempts < attempts_allowed
    delay = min(settings.COLLECTOR.backoff * 2 ** (isolated - 1), settings.COLLECTOR.backoff_max)
    claim.item.update(
        **RELEASED,
        **error,
        losses=isolated + 1,
        attempts=claim.attempts if counts else claim.attempts - 1,
        not_before=Now() + timedelta(seconds=delay) if isolated else None,
    )


def _describe_losses(claim: Claim, exit_code: int | None) -> str:
    """Returns how often workers were lost with this stock, and how the last one ended if that is known."""
    if exit_code == OUT_OF_MEMORY:
        return errors.stored_reason("memory_limit")
    if exit_code is None:
        end = "did not report until its lease expired"
    elif exit_code >= 0:
        end = f"exited with status {exit_code}"
    else:
        end = f"was killed by signal {-exit_code}"
        with suppress(ValueError):  # a signal without a name
            end = f"was killed by {signal.Signals(-exit_code).name}"
    return errors.stored_reason("worker_lost", losses=claim.losses + 1, isolated=claim.losses, end=end)
