"""How a running task makes way for a plan of a higher priority.

A plan that is due asks it to yield: from then on no further stock of it is claimed, while what is under way
ends and is stored. Once no worker holds any of it, the transaction that starts the plan's task ends it first,
as cancelled with the code `yielded`, and queues its rest: so the slot is never free in between, and the rest
starts after the plan's task. A task that is paused by hand keeps the slot.
"""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from tasks_app import errors, reasons
from tasks_app.db.functions import Clock
from tasks_app.lifecycle import events, order_queue
from tasks_app.lifecycle.claims import CLAIMED, RUNNING, items_of, lock_running_task, withdraw_queued_slices
from tasks_app.lifecycle.completion import NOT_YIELDING, end
from tasks_app.lifecycle.events import WORKER, Actor
from tasks_app.lifecycle.recovery import rescue, supply
from tasks_app.models import CollectionLane, CollectionPlan, CollectionTask
from tasks_app.models.events import EventKind
from tasks_app.models.states import TaskStatus
from tasks_app.models.tasks import YIELDED

PATIENCE = timedelta(seconds=60)  # after which a plan counts as waiting for the requests under way


def may_overtake(plan: CollectionPlan, task: CollectionTask) -> bool:
    """Whether the running task has to make way for a plan that is due."""
    return plan.priority > task.priority and not task.paused_at


def make_way(task: CollectionTask, plan: CollectionPlan, actor: Actor) -> bool:
    """Asks the running task to yield unless it does. Returns whether nobody holds any of its stocks."""
    if task.yielding_at is None and not ask(task.pk, plan, actor):
        return False
    return not is_held(task.pk)


def ask(task_id: UUID, plan: CollectionPlan, actor: Actor) -> bool:
    """Makes a running task of a lower priority yield to the plan. False if it is paused or yields already."""
    with transaction.atomic():
        lower = CollectionTask.objects.filter(pk=task_id, status=RUNNING, priority__lt=plan.priority)
        free = lower.filter(paused_at__isnull=True, yielding_at__isnull=True)
        if not free.update(yielding_at=Now(), yields_to=plan, yields_to_name=plan.name):
            return False
        withdraw_queued_slices(task_id)
        events.record_event(task_id, EventKind.YIELDING, actor, plan=plan.name)
        return True


def is_held(task_id: UUID) -> bool:
    """Whether a worker holds stocks of the task, or a lane of it: not those whose leases have expired."""
    claimed = items_of(task_id).filter(state=CLAIMED, lease_until__gte=Now())
    busy = CollectionLane.objects.filter(task_id=task_id, begun=True, lease_until__gte=Now())
    return claimed.exists() or busy.exists()


def count_held(task_id: UUID) -> int:
    """Returns how many stocks of the task are under way."""
    return items_of(task_id).filter(state=CLAIMED).count()


def is_about_to_end(task: CollectionTask, plan: CollectionPlan) -> bool:
    """Whether a plan starts as soon as the running task's requests have ended, and that is no long wait."""
    recent = Clock() - PATIENCE
    yields = CollectionTask.objects.filter(pk=task.pk, yielding_at__gt=recent, priority__lt=plan.priority)
    return yields.exists()


def end_for(plan: CollectionPlan, actor: Actor) -> CollectionTask | None:
    """Ends the running task, if it yields to this plan's priority and nobody holds any of its stocks.

    Queues its rest. Call it with the slot locked, in the transaction that starts the plan's task. Returns the
    ended task; None if there is none: also when it turns out that it was done.
    """
    yielding = CollectionTask.objects.filter(
        status=RUNNING, yielding_at__isnull=False, priority__lt=plan.priority
    )
    task = yielding.select_for_update(no_key=True).first()
    if task is None:
        return None
    rescue(task.pk)  # lost workers hold nothing any more
    if is_held(task.pk) or not yielding.filter(pk=task.pk).exists():
        return None
    message = reasons.stored_reason("yielded", plan=plan.name)
    end(task.pk, TaskStatus.CANCELLED, YIELDED, message, yields_to=plan, yields_to_name=plan.name)
    events.record_event(task.pk, EventKind.YIELDED, actor, plan=plan.name)
    task.refresh_from_db()
    order_queue.queue_rest(task, actor)
    return task


def resume(task_id: UUID) -> bool:
    """Lets a task that yields go on, because no plan waits for it any more. False if it does not yield."""
    try:
        with transaction.atomic():
            lock_running_task(task_id)
            yielding = CollectionTask.objects.filter(pk=task_id, yielding_at__isnull=False)
            if not yielding.update(**NOT_YIELDING, heartbeat_at=Now()):
                return False
            events.record_event(task_id, EventKind.RESUMED, WORKER)
            supply(task_id)
            return True
    except errors.StaleClaim:
        return False
