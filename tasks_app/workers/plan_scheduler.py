"""Begins the runs of due plans and goes on with them. Every host's watchdog calls it; one succeeds."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, logs, reasons
from tasks_app.exports import errors as export_errors, jobs
from tasks_app.exports.errors import ExportError, ExportRunning
from tasks_app.exports.layouts import require_exportable
from tasks_app.exports.places import named_folder
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.lifecycle import plan_runs, run_order, selectors, yielding
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.plan_runs import NotNext, StaleRun
from tasks_app.models import CollectionPlan, CollectionTask, Export, PlanRun, StepAttempt
from tasks_app.models.events import Channel
from tasks_app.models.plan_runs import TASK_KINDS, AttemptState, RunState, StepKind
from tasks_app.models.priorities import Priority
from tasks_app.models.transfers import ExportState
from tasks_app.orders import plan_steps, plans

MAX_PLANS = 20  # per round
BY_EXPORT = {
    ExportState.COMPLETED: AttemptState.COMPLETED,
    ExportState.FAILED: AttemptState.FAILED,
    ExportState.CANCELLED: AttemptState.CANCELLED,
}
logger = logging.getLogger(__name__)


def start_due(*priorities: Priority) -> None:
    """Begins a run of the first plan that is due, of these priorities, by default of all.

    While a task or a run of the plan goes on, due plans wait; but a task of a lower priority is asked to
    yield. They also wait for the rest of one that yielded, if it is of their priority or a higher one.
    Raises `django.db.Error` when the database is unavailable.
    """
    due = _with_runs(due_plans()).filter(priority__in=priorities or Priority.values)
    for plan in due.select_related("created_by").order_by("-priority", "next_at", "pk")[:MAX_PLANS]:
        with logs.bind(plan=plan.name, request_id=logs.new_request_id()):
            task = selectors.get_running_task()
            if task is None or _may_begin(plan, task):
                _start(plan, plan.now)
            elif plan.has_run or not yielding.is_about_to_end(task, plan):
                _mark_waiting(plan)


def due_plans() -> QuerySet[CollectionPlan]:
    """Returns the plans that are due by the database's clock."""
    return CollectionPlan.objects.filter(enabled=True, next_at__lte=Now())


def _with_runs(due: QuerySet[CollectionPlan]) -> QuerySet[Any]:
    """Adds the database's `now` to the plans and whether a run of theirs is open."""
    return due.annotate(now=Now(), has_run=Exists(plan_runs.open_runs().filter(plan=OuterRef("pk"))))


def _may_begin(plan: Any, task: CollectionTask) -> bool:
    """Whether a due plan need not wait for the running task, which is asked to yield if that may be.

    What does not begin with a task begins beside one.
    """
    if plan.has_run or not yielding.may_overtake(plan, task):
        return False
    if plan_steps.steps_of(plan)[0].kind not in TASK_KINDS:
        return True
    return yielding.make_way(task, plan, Actor(Channel.SCHEDULE, plan.created_by))


def end_needless_yield() -> None:
    """Lets a task that yields go on if no plan waits for that any more: it was switched off, or refused.

    A plan that becomes due meanwhile asks again. Raises `django.db.Error` when the database is unavailable.
    """
    task = selectors.get_running_task()
    if task is None or task.yielding_at is None:
        return
    if _with_runs(due_plans()).filter(priority__gt=task.priority, has_run=False).exists():
        return
    if run_order.may_begin_a_task(Q(plan__priority__gt=task.priority)):
        return
    if yielding.resume(task.pk):
        logger.info("task %s goes on: no plan waits for it any more", task.pk)


def continue_runs() -> None:
    """Ends the steps whose work has ended, and begins those that are due; one that can't begin is recorded.

    Runs of a higher priority go first, then the older ones, as `run_order` has it. Raises `django.db.Error`
    when the database is unavailable.
    """
    runs = plan_runs.open_runs().select_related("user", "plan").annotate(now=Now())
    for run in runs.order_by("-plan__priority", "pk")[:MAX_PLANS]:
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
    step = run_order.step_of(run)
    try:
        if step["kind"] == StepKind.STOCK_LIST:
            plan_runs.start_stock_list(run)
        elif step["kind"] == StepKind.EXPORT:
            _start_export(run)
        elif (running := selectors.get_running_task()) and not _may_overtake(run, running):
            plan_runs.mark_waiting(run)
        else:
            task = plan_runs.start_task(run, plan_runs.actor_of(run), in_turn=True)
            logger.info("plan %s started task %s, step %d", run.plan_name, task.pk, run.position)
    except (errors.TaskAlreadyRunning, ExportRunning, NotNext):
        plan_runs.mark_waiting(run)
    except (errors.OrderError, errors.ImportUnfinished, ExportError) as error:
        logger.warning("step %d of plan %s was refused: %s", run.position, run.plan_name, error)
        plan_runs.refuse_step(run, error)


def _may_overtake(run: PlanRun, task: CollectionTask) -> bool:
    """Whether the run's next step need not wait for the running task, which is asked to yield."""
    plan = run.plan
    if plan is None or not yielding.may_overtake(plan, task):
        return False
    return yielding.make_way(task, plan, plan_runs.actor_of(run))


def _start_export(run: PlanRun) -> None:
    """Exports everything, or what the plan collects in a layout that holds one market and adjustment."""
    step = run_order.step_of(run)
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
            if run_order.step_of(run)["kind"] in TASK_KINDS:
                task = plan_runs.start_task(run, actor, in_turn=True)
                logger.info("plan %s started task %s", plan.name, task.pk)
    except (errors.TaskAlreadyRunning, errors.PlanRunning, NotNext):
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
