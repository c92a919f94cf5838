"""Bringing running tasks forward: supplied with slices, ended when done, rescued when workers are lost."""

import math
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
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
    claimed,
    items,
    lease,
    lock_running_task,
)
from tasks_app.lifecycle.completion import end, finish_if_done, record
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionLane, CollectionTask, TaskEvent
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.models.tasks import EventKind
from tasks_app.queue import dispatch

PLAN_TRIES = 10
NOT_HERE = "source_not_here"  # the warning of a host that lacks the task's source


def rescue(task_id: UUID, watched: float = math.inf) -> None:
    """Bring a running task forward, whatever was lost: ended, abandoned, or supplied with slices.

    `watched` is for how many seconds the caller has seen no sign of work on it: a silence from before,
    when workers or the database were away, is no reason to give up now. Calling it twice does nothing
    more. Raises `StaleClaim` when the task is not running.
    """
    with transaction.atomic():
        lock_running_task(task_id)
        if finish_if_done(task_id):
            return
        reason = _hopeless(task_id, watched)
        if reason:
            _fail(task_id, *reason)
            return
        _reclaim(task_id)
        if not finish_if_done(task_id):
            supply(task_id)


def abandon_if_unattended(task: CollectionTask) -> bool:
    """End a task that nobody has worked on for too long, for whoever looks at it; whether it has ended.

    Nothing happens while a worker lives: its watchdog decides.
    """
    if not selectors.is_unattended(task) or dispatch.clusters():
        return False
    try:
        with sqlite_priority.interactive_write(), transaction.atomic():
            lock_running_task(task.pk)
            if reason := _abandoned(task.pk):
                _fail(task.pk, *reason)
            return bool(reason)
    except errors.StaleClaim:
        return True


def fail(task_id: UUID, code: str, message: str) -> None:
    """End a running task that can't go on. Raises `StaleClaim` when it is not running."""
    with transaction.atomic():
        lock_running_task(task_id)
        _fail(task_id, code, message)


def supply(task_id: UUID) -> None:
    """Queue a slice for every free or lapsed lane that has work. The only way a slice comes to be."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
    lanes = CollectionLane.objects.filter(free, task_id=task_id).order_by("number")
    for lane in lanes[: _work(task_id)]:
        lost = lane.begun and lane.lease_until  # one that never began was nobody's to lose
        if lost and not CollectionTask.objects.filter(pk=task_id, planned_at__isnull=False):
            events.record_event(task_id, EventKind.RESCUED, WORKER, lane=lane.number)
        CollectionLane.objects.filter(pk=lane.pk).update(
            generation=F("generation") + 1, begun=False, lease_until=lease(), worker=""
        )
        dispatch.queue_slice(task_id, lane.number, lane.generation + 1)


def _work(task_id: UUID) -> int:
    """How many lanes could work now: one to plan, then one for each due item."""
    if CollectionTask.objects.filter(pk=task_id, planned_at__isnull=True).exists():
        return 0 if CollectionLane.objects.filter(task_id=task_id, lease_until__gt=Now()).exists() else 1
    return len(items(task_id).filter(DUE)[: settings.COLLECTOR.fan_out])


def _fail(task_id: UUID, code: str, message: str) -> None:
    end(task_id, TaskStatus.FAILED, code, message)
    events.record_event(task_id, EventKind.FAILED, WORKER, code=code)


def _hopeless(task_id: UUID, watched: float) -> tuple[str, str] | None:
    """Why the task can't go on, as a code and a sentence; None when it can."""
    task = CollectionTask.objects.filter(pk=task_id)
    if items(task_id).filter(state=PENDING, not_before__gt=Now()).exists():
        task.update(heartbeat_at=Now())  # nobody is lost: the source asked for a pause
        return None
    if watched >= settings.COLLECTOR.abandon_after and (reason := _abandoned(task_id)):
        return reason
    lost = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.RESCUED)
    if task.filter(planned_at__isnull=True).exists() and lost.count() >= PLAN_TRIES:
        return "plan_lost", errors.stored_reason("plan_lost", times=PLAN_TRIES)
    return None


def _abandoned(task_id: UUID) -> tuple[str, str] | None:
    """Why nobody has worked on it for too long: no workers, or none that can use its source. Else None."""
    seconds = settings.COLLECTOR.abandon_after
    silent = Now() - timedelta(seconds=seconds)
    if not CollectionTask.objects.filter(pk=task_id, heartbeat_at__lt=silent).exists():
        return None
    declined = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.WARNED, params__code=NOT_HERE)
    if params := declined.values_list("params", flat=True).first():
        return "source_missing", errors.stored_reason(
            "source_missing", source=params["source"], host=params["host"], seconds=seconds
        )
    return "no_worker", errors.stored_reason("no_worker", seconds=seconds)


def _reclaim(task_id: UUID) -> None:
    """Take lapsed items back from lost workers; one that was lost too often has failed."""
    lapsed = items(task_id).filter(state=CLAIMED, lease_until__lt=Now())
    rows = list(lapsed.values_list("pk", "code", "fence", "attempts"))
    if not rows:
        return
    events.record_event(task_id, EventKind.RESCUED, WORKER, codes=[code for _, code, *_ in rows])
    sources = 1 + len(CollectionTask.objects.values_list("fallbacks", flat=True).get(pk=task_id))
    reason: dict[str, Any] = {
        "error_code": "worker_lost",
        "error_message": errors.stored_reason("worker_lost"),
    }
    for pk, code, fence, attempts in rows:
        claim = Claim(Lane(task_id, 0, 0), pk, code, fence, attempts)
        if attempts >= settings.COLLECTOR.max_attempts * sources:
            record(claim, Outcome(ItemState.FAILED, **reason))
        else:
            claimed(claim).update(**RELEASED, **reason)
