"""Begins the runs of due plans and goes on with them. Every host's watchdog calls it; one succeeds."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, logs, reasons
from tasks_app.exports import errors as export_errors, jobs
from tasks_app.exports.errors import ExportError, ExportRunning
from tasks_app.exports.layouts import require_exportable
from tasks_app.exports.places import named_folder
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.lifecycle import plan_runs, selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.plan_runs import StaleRun
from tasks_app.models import CollectionPlan, Export, PlanRun, StepAttempt
from tasks_app.models.plan_runs import TASK_KINDS, AttemptState, RunState, StepKind
from tasks_app.models.tasks import Channel
from tasks_app.models.transfers import ExportState
from tasks_app.orders import plans

MAX_PLANS = 20  # per round
BY_EXPORT = {
    ExportState.COMPLETED: AttemptState.COMPLETED,
    ExportState.FAILED: AttemptState.FAILED,
    ExportState.CANCELLED: AttemptState.CANCELLED,
}
logger = logging.getLogger(__name__)


def start_due() -> None:
    """Begins a run of the first plan that is due. While a task or a run of the plan goes on, due plans wait.

    Raises `django.db.Error` when the database is unavailable.
    """
    due = CollectionPlan.objects.filter(enabled=True, next_at__lte=Now()).annotate(now=Now())
    for plan in due.select_related("created_by").order_by("next_at", "pk")[:MAX_PLANS]:
        if selectors.get_running_task():
            _mark_waiting(plan)
        else:
            with logs.bind(plan=plan.name, request_id=logs.new_request_id()):
                _start(plan, plan.now)


def continue_runs() -> None:
    """Ends the steps whose work has ended, and begins those that are due; one that can't begin is recorded.

    Raises `django.db.Error` when the database is unavailable.
    """
    for run in plan_runs.open_runs().select_related("user").annotate(now=Now())[:MAX_PLANS]:
        try:
            with logs.bind(plan=run.plan_name, request_id=logs.new_request_id()):
                _continue(run)
        except StaleRun:
            logger.debug("another host went on with the run %s", run)


def _continue(run: Any) -> None:
    if run.state == RunState.RUNNING:
        _settle(run)
        run.refresh_from_db()
    if run.state == RunState.WAITING and (run.not_before is None or run.not_before <= run.now):
        _start_step(run)


def _settle(run: PlanRun) -> None:
    attempt = plan_runs.current_attempt(run)
    if attempt.kind != StepKind.EXPORT:
        plan_runs.settle(run)
        return
    export = Export.objects.filter(pk=attempt.export_id or 0).first()
    if export is None:
        plan_runs.end_step(
            attempt, AttemptState.FAILED, "export_deleted", reasons.stored_reason("export_deleted")
        )
    elif export.state != ExportState.RUNNING:
        code = export.error["code"] if export.error else ""
        message = export_errors.describe(export.error) or ""
        plan_runs.end_step(attempt, BY_EXPORT[ExportState(export.state)], code, message)


def _start_step(run: PlanRun) -> None:
    """Begins the step that waits, or records why it waits on or can't begin. Raises `StaleRun`."""
    step = plan_runs.step_of(run)
    try:
        if step["kind"] == StepKind.STOCK_LIST:
            plan_runs.start_stock_list(run)
        elif step["kind"] == StepKind.EXPORT:
            _start_export(run)
        elif selectors.get_running_task():
            plan_runs.mark_waiting(run)
        else:
            task = plan_runs.start_task(run, plan_runs.actor_of(run))
            logger.info("plan %s started task %s, step %d", run.plan_name, task.pk, run.position)
    except (errors.TaskAlreadyRunning, ExportRunning):
        plan_runs.mark_waiting(run)
    except (errors.OrderError, errors.ImportUnfinished, ExportError) as error:
        logger.warning("step %d of plan %s was refused: %s", run.position, run.plan_name, error)
        plan_runs.refuse_step(run, error)


def _start_export(run: PlanRun) -> None:
    """Exports everything, or what the plan collects in a layout that holds one market and adjustment."""
    step = plan_runs.step_of(run)
    selection = Selection()
    if step["layout"] != PARQUET:
        selection = Selection(step["layout"], step["market"], step["adjust"], tuple(step["stock_codes"]))
    require_exportable(selection)
    folder = named_folder(step["folder"])
    with transaction.atomic():
        attempt = plan_runs.take_step(run)
        export = jobs.start(folder, selection, plan_runs.actor_of(run))
        StepAttempt.objects.filter(pk=attempt.pk).update(export_id=export.pk)


def _start(plan: CollectionPlan, now: datetime) -> None:
    """Begins a run, and its first step if that is a task, or records why not. One of the hosts succeeds."""
    next_at = plans.next_run(plan, now)  # before the write lock: a cold calendar asks a child process
    skipped = plans.skipped_runs(plan, now)
    actor = Actor(Channel.SCHEDULE, plan.created_by)
    due = {"due_at": plan.next_at, "is_late": plan.waiting_since is not None, "skipped": skipped}
    try:
        with transaction.atomic():
            if not _advance(plan, next_at):
                return
            run = plan_runs.begin(plan, actor, now, **due)
            if plan_runs.step_of(run)["kind"] in TASK_KINDS:
                task = plan_runs.start_task(run, actor)
                logger.info("plan %s started task %s", plan.name, task.pk)
    except (errors.TaskAlreadyRunning, errors.PlanRunning):
        _mark_waiting(plan)
    except (errors.OrderError, errors.ImportUnfinished) as error:  # tried again at the next time
        logger.warning("plan %s was refused: %s", plan.name, error)
        with transaction.atomic():
            if _advance(plan, next_at):
                plan_runs.record_refused(plan, actor, error, **due)
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
