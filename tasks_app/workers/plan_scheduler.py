"""Starting the plans that are due. Runs beside the watchdog, on every host; each run starts once."""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionPlan
from tasks_app.models.tasks import Channel
from tasks_app.orders import order, plans

AT_ONCE = 20
WELL = {"error_code": "", "error_message": ""}
logger = logging.getLogger(__name__)


def start_due() -> None:
    """Start the plan that is due, one at a time; those that can't begin yet wait and are not forgotten.

    Raises `django.db.Error` with the database away.
    """
    due = CollectionPlan.objects.filter(enabled=True, next_at__lte=Now()).annotate(now=Now())
    for plan in due.select_related("created_by").order_by("next_at", "pk")[:AT_ONCE]:
        if selectors.get_running_task():
            _wait(plan)
        else:
            _start(plan, plan.now)


def _start(plan: CollectionPlan, now: datetime) -> None:
    """Start it, or note why it can't be. Of several hosts that try, one does."""
    following = plans.next_run(plan, now)  # before the write lock: a cold calendar asks a child process
    try:
        with transaction.atomic():
            if not _take(plan, following):
                return
            actor = Actor(Channel.SCHEDULE, plan.created_by)
            task = lifecycle.start(plans.build_order(plan, now), actor, today=order.latest_today())
            _row(plan).update(last_task=task, **WELL)
            logger.info("plan %s started task %s", plan.name, task.pk)
    except errors.TaskAlreadyRunning:
        _wait(plan)
    except errors.OrderError as error:
        _note_refusal(plan, following, error)


def _take(plan: CollectionPlan, following: datetime) -> bool:
    """Move the plan on to its following time; False when another host was first, or somebody changed it."""
    late = {"late_runs": F("late_runs") + 1} if plan.waiting_since else {}
    return bool(_as_seen(plan).update(next_at=following, last_at=Now(), waiting_since=None, **late))


def _wait(plan: CollectionPlan) -> None:
    """Note since when it could not begin. It stays due."""
    _as_seen(plan).filter(waiting_since__isnull=True).update(waiting_since=Now())


def _note_refusal(plan: CollectionPlan, following: datetime, error: errors.OrderError) -> None:
    """Its order makes no sense any more: say so on the plan, and try again the next time."""
    logger.warning("plan %s was refused: %s", plan.name, error)
    if _take(plan, following):
        _row(plan).update(error_code=error.code, error_message=str(error))


def _row(plan: CollectionPlan) -> QuerySet[CollectionPlan]:
    return CollectionPlan.objects.filter(pk=plan.pk)


def _as_seen(plan: CollectionPlan) -> QuerySet[CollectionPlan]:
    return _row(plan).filter(enabled=True, next_at=plan.next_at)
