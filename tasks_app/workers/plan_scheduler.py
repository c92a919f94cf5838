"""Starts due plans. Every host's watchdog calls it, and each run of a plan is started by one of them."""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, lifecycle, logs
from tasks_app.exports import jobs
from tasks_app.exports.errors import ExportError, ExportRunning
from tasks_app.exports.layouts import require_exportable
from tasks_app.exports.places import named_folder
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.lifecycle import selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionPlan
from tasks_app.models.tasks import Channel
from tasks_app.orders import order, plans

MAX_PLANS = 20  # per round
logger = logging.getLogger(__name__)


def start_due() -> None:
    """Starts the first plan that is due. While a task runs, due plans wait; they stay due.

    Raises `django.db.Error` when the database is unavailable.
    """
    due = CollectionPlan.objects.filter(enabled=True, next_at__lte=Now()).annotate(now=Now())
    for plan in due.select_related("created_by").order_by("next_at", "pk")[:MAX_PLANS]:
        if selectors.get_running_task():
            _mark_waiting(plan)
        else:
            with logs.bind(plan=plan.name, request_id=logs.new_request_id()):
                _start(plan, plan.now)


def export_ended() -> None:
    """Starts the exports of plans whose task has ended, however it ended; one that can't start is recorded.

    Raises `django.db.Error` when the database is unavailable.
    """
    due = CollectionPlan.objects.filter(export_due=True, last_task__end_time__isnull=False)
    for plan in due.select_related("created_by").order_by("pk")[:MAX_PLANS]:
        try:
            with transaction.atomic():
                if _row(plan).filter(export_due=True).update(export_due=False):
                    _export(plan)
        except ExportRunning:  # it stays due until the folder is free
            logger.debug("plan %s waits to export", plan.name)
        except ExportError as error:
            logger.warning("plan %s did not export: %s", plan.name, error)
            _row(plan).update(export_due=False, error_code=error.code, error_message=str(error))


def _export(plan: CollectionPlan) -> None:
    """Exports everything, or what the plan collects in a layout that holds one market and adjustment."""
    selection = Selection()
    if plan.export_layout != PARQUET:
        codes = tuple(sorted(plan.stock_codes or ()))
        selection = Selection(plan.export_layout, plan.market, plan.adjust, codes)
    require_exportable(selection)
    jobs.start(named_folder(plan.export_to), selection, Actor(Channel.SCHEDULE, plan.created_by))


def _start(plan: CollectionPlan, now: datetime) -> None:
    """Starts the plan's task, or records why it can't be started. Only one of several hosts succeeds."""
    next_at = plans.next_run(plan, now)  # before the write lock: a cold calendar asks a child process
    try:
        with transaction.atomic():
            if not _advance(plan, next_at):
                return
            actor = Actor(Channel.SCHEDULE, plan.created_by)
            task = lifecycle.start(plans.build_order(plan, now), actor, today=order.latest_today())
            due = {"export_due": bool(plan.export_to)}
            _row(plan).update(last_task=task, error_code="", error_message="", **due)
            logger.info("plan %s started task %s", plan.name, task.pk)
    except errors.TaskAlreadyRunning:
        _mark_waiting(plan)
    except (errors.OrderError, errors.ImportUnfinished) as error:  # tried again at the next time
        logger.warning("plan %s was refused: %s", plan.name, error)
        if _advance(plan, next_at):
            _row(plan).update(error_code=error.code, error_message=str(error))


def _advance(plan: CollectionPlan, next_at: datetime) -> bool:
    """Moves the plan to its next time. Returns False if another host was first or a user changed the plan."""
    late = {"late_runs": F("late_runs") + 1} if plan.waiting_since else {}
    return bool(_unchanged_row(plan).update(next_at=next_at, last_at=Now(), waiting_since=None, **late))


def _mark_waiting(plan: CollectionPlan) -> None:
    """Records since when the plan has been waiting for another task's end."""
    _unchanged_row(plan).filter(waiting_since__isnull=True).update(waiting_since=Now())


def _row(plan: CollectionPlan) -> QuerySet[CollectionPlan]:
    return CollectionPlan.objects.filter(pk=plan.pk)


def _unchanged_row(plan: CollectionPlan) -> QuerySet[CollectionPlan]:
    return _row(plan).filter(enabled=True, next_at=plan.next_at)
