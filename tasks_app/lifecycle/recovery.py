"""Keeps running tasks going: supplies them with slices, rescues them when workers are lost, fails them."""

import math
import signal
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, reasons
from tasks_app.db import sqlite_priority
from tasks_app.db.functions import database_now
from tasks_app.lifecycle import events, selectors
from tasks_app.lifecycle.attempts import Attempt
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
    may_claim,
)
from tasks_app.lifecycle.completion import end, end_if_done, record
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.queue import dispatch

PLAN_ATTEMPTS = 10
PLAN_MEMORY_ATTEMPTS = 2  # the first worker may have been large before
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
        _release_lost_planner(task_id)
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
        _release_lane(lane, exit_code)
        if reason := _plan_failure(lane.task_id):
            fail(lane.task_id, *reason)
            return
        if not end_if_done(lane.task_id):
            supply(lane.task_id)


def abort(lane: Lane, error: str) -> None:
    """Ends a slice that fails with an unexpected error, named by its type.

    For the stocks that it holds, or the plan that it makes, that is a lost worker. A slice that fails before
    either counts nowhere, and the task is given up after COLLECTOR_ABANDON_AFTER. The watchdog's next round
    supplies the task: a slice that fails at once would otherwise fail hundreds of times a second. Does
    nothing if the lane was lost or the task has ended.
    """
    with suppress(errors.StaleClaim), transaction.atomic():
        _release_lane(lane, error)
        end_if_done(lane.task_id)


def _release_lane(lane: Lane, end: int | str) -> None:
    """Lets the lane's lease expire and releases its items. Raises `StaleClaim` when the lane was lost."""
    lock_running_task(lane.task_id)
    expired = Now() - timedelta(seconds=1)
    if not lane.row.filter(begun=True, lease_until__isnull=False).update(lease_until=expired):
        raise errors.StaleClaim(what=str(lane))
    _release_lost_planner(lane.task_id, end)
    _release_lost_items(lane.task_id, lane.claimed_items, end)


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

    Nothing else queues slices; a task that is paused or yields gets none. The task's row must be locked.
    """
    if not CollectionTask.objects.filter(may_claim(task_id), pk=task_id).exists():
        return
    lanes = CollectionLane.objects.filter(task_id=task_id)
    if _is_unplanned(task_id):  # one lane plans the items
        wanted = 0 if lanes.filter(lease_until__gt=Now()).exists() else 1
    else:  # a lane for each due item
        wanted = len(items_of(task_id).filter(DUE)[: settings.COLLECTOR.fan_out])
    free = lanes.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=Now())).order_by("number")
    for lane in free[:wanted]:
        lanes.filter(pk=lane.pk).update(
            generation=F("generation") + 1,
            begun=False,
            lease_until=lease_end(),
            worker="",
            fetches_day=False,
        )
        dispatch.queue_slice(task_id, lane.number, lane.generation + 1)


def _failure(task_id: UUID, watched: float) -> tuple[str, str] | None:
    """Returns why the task can't continue, as a code and a sentence; None if it can, or is paused."""
    if _is_paused(task_id):
        return None
    if items_of(task_id).filter(state=PENDING, not_before__gt=Now()).exists():
        # Stocks wait for their next attempt, so no worker is expected.
        CollectionTask.objects.filter(pk=task_id).update(heartbeat_at=Now())
        return None
    if watched >= settings.COLLECTOR.abandon_after and (reason := _silence(task_id)):
        return reason
    return _plan_failure(task_id)


def _plan_failure(task_id: UUID) -> tuple[str, str] | None:
    """Returns why the task's items can't be planned; None if they can, are planned, or the task is paused."""
    if not _is_unplanned(task_id) or _is_paused(task_id):
        return None
    lost = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.RESCUED)
    if lost.filter(params__exit_code=OUT_OF_MEMORY).count() >= PLAN_MEMORY_ATTEMPTS:
        reason = reasons.stored_reason("memory_limit")
        return "memory_limit", f"The stock list could not be read. {reason}"
    if lost.count() >= PLAN_ATTEMPTS:
        last = lost.order_by("-pk").values_list("params", flat=True)[0]
        end = _describe_end(last.get("error", last.get("exit_code")))
        return "plan_lost", reasons.stored_reason("plan_lost", times=PLAN_ATTEMPTS, end=end)
    return None


def _is_unplanned(task_id: UUID) -> bool:
    return CollectionTask.objects.filter(pk=task_id, planned_at__isnull=True).exists()


def _is_paused(task_id: UUID) -> bool:
    return CollectionTask.objects.filter(pk=task_id, paused_at__isnull=False).exists()


def _silence(task_id: UUID) -> tuple[str, str] | None:
    """Returns why no worker was active for COLLECTOR_ABANDON_AFTER: there is none, or none has the source.

    Returns None if a worker was active, or none is expected because the task is paused.
    """
    seconds = settings.COLLECTOR.abandon_after
    silent_since = Now() - timedelta(seconds=seconds)
    silent = CollectionTask.objects.filter(pk=task_id, heartbeat_at__lt=silent_since, paused_at__isnull=True)
    if not silent.exists():
        return None
    declined = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.WARNED, params__code=NOT_HERE)
    if params := declined.values_list("params", flat=True).first():
        host, source = params["host"], params["source"]
        message = reasons.stored_reason("source_missing", source=source, host=host, seconds=seconds)
        return "source_missing", message
    return "no_worker", reasons.stored_reason("no_worker", seconds=seconds)


def _release_lost_planner(task_id: UUID, end: int | str | None = None) -> None:
    """Frees the lane of a worker that was lost while it planned the task; `end` as in `_release_lost_items`.

    A slice that never began was not lost.
    """
    if not _is_unplanned(task_id):
        return
    begun = CollectionLane.objects.filter(task_id=task_id, begun=True, lease_until__lt=Now())
    known = {} if end is None else {"exit_code" if isinstance(end, int) else "error": end}
    for number in begun.values_list("number", flat=True):
        events.record_event(task_id, EventKind.RESCUED, WORKER, lane=number, **known)
    begun.update(lease_until=None)


def _release_lost_items(task_id: UUID, lost: QuerySet[CollectionItem], end: int | str | None = None) -> None:
    """Releases the items of lost workers. An item that was lost in isolation too often has failed.

    `end` is the exit code of the worker's process, or the error that ended its slice; None if not known.
    The event's `by_day` says whether one of the workers requested a whole day of the market.
    """
    rows = list(lost.values_list("pk", "code", "fence", "attempts", "losses", "attempt_log"))
    if not rows:
        return
    lanes = CollectionLane.objects.filter(task_id=task_id, number__in=lost.values("lane"))
    by_day = {"by_day": True} if lanes.filter(fetches_day=True).exists() else {}
    codes = [code for _, code, *_ in rows]
    events.record_event(task_id, EventKind.RESCUED, WORKER, codes=codes, **by_day)
    fallbacks = CollectionTask.objects.values_list("fallbacks", flat=True).get(pk=task_id)
    attempts_allowed = settings.COLLECTOR.max_attempts * (1 + len(fallbacks))
    at = database_now().astimezone(UTC).isoformat(timespec="seconds")
    for pk, code, fence, attempts, losses, log in rows:
        claim = Claim(Lane(task_id, 0, 0), pk, code, fence, attempts, losses, log or [])
        claim.add_attempt(Attempt(at, error_code=_loss_code(end), error_message=_describe_end(end)))
        _count_loss(claim, attempts_allowed, end)


def _count_loss(claim: Claim, attempts_allowed: int, end: int | str | None) -> None:
    """Counts a lost worker. It costs an attempt only in isolation: otherwise a companion may be the cause.

    The first loss makes the stock a suspect. A stock fails with its last attempt, but never before it was
    lost in isolation COLLECTOR_MAX_ATTEMPTS times: a worker can also be killed from outside. Memory is not
    filled from outside: one loss in isolation is enough, unless another source may do better.
    """
    isolated = claim.losses  # with this one: all but the first were in isolation
    most = settings.COLLECTOR.max_attempts
    is_exhausted = claim.attempts >= attempts_allowed and isolated >= most
    if end == OUT_OF_MEMORY:
        is_exhausted |= isolated > 0 and attempts_allowed == most
    error: dict[str, Any] = {"error_code": _loss_code(end), "error_message": _describe_losses(claim, end)}
    if is_exhausted:
        claim.item.update(losses=isolated + 1)
        record(claim, Outcome(ItemState.FAILED, **error))
        return
    counts = isolated and claim.attempts < attempts_allowed
    delay = min(settings.COLLECTOR.backoff * 2 ** (isolated - 1), settings.COLLECTOR.backoff_max)
    claim.item.update(
        **RELEASED,
        **error,
        **claim.attempts_to_store(),
        losses=isolated + 1,
        attempts=claim.attempts if counts else claim.attempts - 1,
        not_before=Now() + timedelta(seconds=delay) if isolated else None,
    )


def _loss_code(end: int | str | None) -> str:
    return "memory_limit" if end == OUT_OF_MEMORY else "worker_lost"


def _describe_losses(claim: Claim, end: int | str | None) -> str:
    """Returns how often workers were lost with this stock alone, and how the last one ended if known."""
    if end == OUT_OF_MEMORY:
        return reasons.stored_reason("memory_limit")
    return reasons.stored_reason("worker_lost", isolated=claim.losses, end=_describe_end(end))


def _describe_end(end: int | str | None) -> str:
    """Returns what a lost worker did; `end` as in `_release_lost_items`."""
    if end is None:
        return "did not report until its lease expired"
    if isinstance(end, str):
        return f"failed with {end}"
    if end >= 0:
        return f"exited with status {end}"
    try:
        return f"was killed by {signal.Signals(-end).name}"
    except ValueError:  # a signal without a name
        return f"was killed by signal {-end}"
