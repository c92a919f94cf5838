"""Runs of plans: their steps begin one after another, each attempt at a step once.

Every change of a run is a conditional update of its row, which names the step and the attempt that the caller
saw: of many hosts one succeeds, and a killed process leaves the run as it was before or after. A run goes on
by `continue_run`, which the watchdogs call in each round.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F, Prefetch, Q, QuerySet
from django.db.models.functions import Now

from tasks_app import errors, reasons
from tasks_app.db.functions import Clock
from tasks_app.lifecycle import chains, order_queue, run_order, user_actions, yielding
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.slot import locked_plan, locked_slot
from tasks_app.models import CollectionPlan, CollectionTask, PlanRun, StepAttempt
from tasks_app.models.events import Channel
from tasks_app.models.plan_runs import OPEN_RUNS, TASK_KINDS, AttemptState, OnFailure, RunState, StepKind
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.orders import order as orders, plan_steps
from tasks_app.queue import dispatch

QUEUED_SECONDS = 600.0  # that a job waits for a worker, before it is queued again
MAX_LOSSES = 3  # workers that end with the job of a step
FAILED = (AttemptState.FAILED, AttemptState.REFUSED)
BY_TASK = {TaskStatus.FAILED: AttemptState.FAILED, TaskStatus.CANCELLED: AttemptState.CANCELLED}


class StaleRun(Exception):
    """The step was begun or ended by another process."""


class NotNext(Exception):
    """The rest of a task that yielded, or another run's next step, starts before the step."""


def open_runs() -> QuerySet[PlanRun]:
    """Returns the runs that have not ended, the oldest first."""
    return PlanRun.objects.filter(state__in=OPEN_RUNS).order_by("pk")


def begin(plan: CollectionPlan, actor: Actor, now: datetime, **fields: Any) -> PlanRun:
    """Creates a run of the plan, whose first step waits. Raises `PlanRunning` while another one is open.

    The caller holds the lock of the plan's row.
    """
    if open_runs().filter(plan=plan).exists():
        raise errors.PlanRunning(name=plan.name)
    run = PlanRun.objects.create(
        plan=plan,
        plan_name=plan.name,
        steps=plan_steps.snapshot(plan, now),
        user=actor.user,
        user_name=actor.name,
        channel=actor.channel,
        **fields,
    )
    CollectionPlan.objects.filter(pk=plan.pk).update(error_code="", error_message="")
    return run


def record_refused(plan: CollectionPlan, actor: Actor, error: errors.CollectorError, **fields: Any) -> None:
    """Records a run that could not begin at the plan's time, and why."""
    PlanRun.objects.create(
        plan=plan,
        plan_name=plan.name,
        state=RunState.REFUSED,
        ended_at=Now(),
        user=actor.user,
        user_name=actor.name,
        channel=actor.channel,
        error_code=error.code,
        error_message=str(error),
        **fields,
    )


def start_task(run: PlanRun, actor: Actor, *, in_turn: bool = False, **key: Any) -> CollectionTask:
    """Begins the step that the run is at, a task: its order, or in a retry what the attempt before left.

    A task that yields to the plan ends first, in the same transaction. `key` is the idempotency key of a
    user's start, with its digest. Raises `StaleRun`, and what `start` and `retry` raise; `NotNext` if it
    is to begin `in_turn` and something waits that goes before it. Then nothing has changed.
    """
    with locked_plan(run.plan_id), locked_slot():
        attempt = take_step(run)
        plan = CollectionPlan.objects.get(runs=run)
        overtaken = yielding.end_for(plan, actor)
        if in_turn and overtaken is None:
            _require_turn(run, plan)
        task = _start_or_retry(run, actor, **key)
        named = {"plan_id": run.plan_id, "plan_name": run.plan_name, "priority": plan.priority}
        CollectionTask.objects.filter(pk=task.pk).update(**named)
        StepAttempt.objects.filter(pk=attempt.pk).update(task=task, overtook=overtaken)
        CollectionPlan.objects.filter(runs=run).update(last_task=task)
    task.refresh_from_db()
    return task


def _require_turn(run: PlanRun, plan: CollectionPlan) -> None:
    """Raises `NotNext`. What this run has overtaken goes on after all of its steps."""
    rest = order_queue.rest_ahead_of(plan.priority)
    if rest and not run.attempts.filter(overtook=rest.continues_id).exists():
        raise NotNext
    if run_order.goes_before_run(run, plan.priority):
        raise NotNext


def _start_or_retry(run: PlanRun, actor: Actor, **key: Any) -> CollectionTask:
    before = (
        run.attempts.filter(position=run.position, attempt=run.attempt - 1).select_related("task").first()
    )
    if before is not None and before.task is not None:
        try:
            return user_actions.retry(before.task.pk, actor)
        except (errors.TaskNotFound, errors.NothingToRetry):  # it was deleted, or ended before its plan
            pass
    order = plan_steps.read_order(run_order.step_of(run)["order"])
    return user_actions.start(order, actor, today=orders.latest_today(), **key)


def start_stock_list(run: PlanRun) -> None:
    """Begins the step that the run is at, a job that refreshes a stock list. Raises `StaleRun`."""
    with locked_plan(run.plan_id):
        attempt = take_step(run)
        until = Clock() + timedelta(seconds=QUEUED_SECONDS)
        StepAttempt.objects.filter(pk=attempt.pk).update(alive_until=until)
        dispatch.queue_stock_list(attempt.pk, attempt.generation)


def take_step(run: PlanRun) -> StepAttempt:
    """Makes the step that waits the running one, in the caller's transaction. Raises `StaleRun`."""
    if not _waiting(run).update(state=RunState.RUNNING, waiting_since=None, not_before=None):
        raise StaleRun
    kind = run_order.step_of(run)["kind"]
    return StepAttempt.objects.create(run=run, position=run.position, attempt=run.attempt, kind=kind)


def mark_waiting(run: PlanRun) -> None:
    """Records since when the run waits for a task or an export; ends it after COLLECTOR_PLAN_WAIT.

    Raises `StaleRun`.
    """
    _waiting(run).filter(waiting_since__isnull=True).update(waiting_since=Now())
    latest = Clock() - timedelta(seconds=settings.COLLECTOR.plan_wait)
    if not _waiting(run).filter(waiting_since__lte=latest).exists():
        return
    with locked_plan(run.plan_id):
        attempt = take_step(run)
        message = reasons.stored_reason("step_waited")
        _end_attempt(attempt, AttemptState.REFUSED, "step_waited", message)
        _end_run(run)


def refuse_step(run: PlanRun, error: errors.CollectorError) -> None:
    """Records that the step that the run waits with could not begin, and goes on. Raises `StaleRun`."""
    with locked_plan(run.plan_id):
        attempt = take_step(run)
        end_step(attempt, AttemptState.REFUSED, error.code, str(error))


def end_step(
    attempt: StepAttempt, state: AttemptState, code: str = "", message: str = "", **more: Any
) -> None:
    """Ends an attempt, and makes its run wait with the retry or the next step, or end. Raises `StaleRun`."""
    with locked_plan(attempt.run.plan_id):
        _end_attempt(attempt, state, code, message, **more)
        run = PlanRun.objects.get(pk=attempt.run_id)
        step = run.steps[attempt.position - 1]
        is_left = state in FAILED or state == AttemptState.WITH_FAILURES
        if is_left and attempt.attempt <= step["retries"]:
            wait = Clock() + timedelta(minutes=step["retry_wait"]) if step["retry_wait"] else None
            _go_on(run, attempt=run.attempt + 1, not_before=wait)
            return
        outcome = outcomes_by_step(run)[attempt.position]
        is_stopped = outcome in (*FAILED, AttemptState.CANCELLED) and step["on_failure"] == OnFailure.STOP
        if is_stopped or attempt.position == len(run.steps):
            _end_run(run)
        else:
            _go_on(run, position=run.position + 1, attempt=1)


def settle(run: PlanRun) -> None:
    """Ends the step that runs if its task has ended or its job was lost. Raises `StaleRun`.

    An export is settled by the caller, who knows exports.
    """
    attempt = current_attempt(run)
    if attempt.kind in TASK_KINDS:
        _settle_task(attempt)
    elif attempt.kind == StepKind.STOCK_LIST:
        _recover_job(attempt)


def current_attempt(run: PlanRun) -> StepAttempt:
    """Returns the attempt that the run is at. Raises `StaleRun` if there is none."""
    found = run.attempts.select_related("task").filter(position=run.position, attempt=run.attempt).first()
    if found is None:
        raise StaleRun
    return found


def outcomes_by_step(run: PlanRun) -> dict[int, AttemptState]:
    """Returns how each step ended, by its number: as its last attempt.

    A retry of a task concerns its failed stocks only: if they fail again, the others stay collected.
    """
    outcomes: dict[int, AttemptState] = {}
    for attempt in sorted(run.attempts.all(), key=lambda row: (row.position, row.attempt)):
        before, state = outcomes.get(attempt.position), AttemptState(attempt.state)
        is_part = before == AttemptState.WITH_FAILURES and state in FAILED
        outcomes[attempt.position] = AttemptState.WITH_FAILURES if is_part else state
    return outcomes


class RunStep(NamedTuple):
    """A step of a run: its state; before it begins "pending" or "waiting", or "skipped" as the run ended."""

    position: int
    kind: str
    state: str
    attempts: list[StepAttempt]


def run_steps(run: PlanRun) -> list[RunStep]:
    """Returns the steps of a run in their order, with the attempts at them; without a query if prefetched."""
    outcomes, attempts = outcomes_by_step(run), sorted(run.attempts.all(), key=lambda row: row.attempt)
    steps = []
    for position, step in enumerate(run.steps, 1):
        state: str = outcomes.get(position, "skipped" if run.ended_at else "pending")
        if run.state == RunState.WAITING and position == run.position:
            state = RunState.WAITING
        own = [attempt for attempt in attempts if attempt.position == position]
        steps.append(RunStep(position, step["kind"], str(state), own))
    return steps


def history(plan_id: int) -> QuerySet[PlanRun]:
    """Returns the runs of a plan with their attempts, the newest first."""
    runs = PlanRun.objects.filter(plan=plan_id).order_by("-pk")
    return runs.prefetch_related(Prefetch("attempts", StepAttempt.objects.select_related("task")))


def drop(plan: CollectionPlan) -> None:
    """Ends the open run of a plan that is deleted; a task that runs goes on. The caller holds its lock."""
    attempts = StepAttempt.objects.filter(run__plan=plan, state=AttemptState.RUNNING)
    attempts.update(state=AttemptState.CANCELLED, ended_at=Clock())
    open_runs().filter(plan=plan).update(state=RunState.CANCELLED, ended_at=Clock())


def begin_job(attempt_id: int, generation: int, seconds: float) -> StepAttempt | None:
    """Takes a queued job for so many seconds; None if it was taken before, or is over."""
    queued = StepAttempt.objects.filter(pk=attempt_id, generation=generation, begun=False)
    alive = Clock() + timedelta(seconds=seconds)
    if not queued.filter(state=AttemptState.RUNNING).update(begun=True, alive_until=alive):
        return None
    return StepAttempt.objects.select_related("run").get(pk=attempt_id)


def require_job(attempt: StepAttempt) -> None:
    """Raises `StaleRun` if the job was given to another worker, or its step is over.

    For the transactions in which the job writes: it locks the attempt until they end.
    """
    if not _own(attempt).update(begun=True):
        raise StaleRun


def _settle_task(attempt: StepAttempt) -> None:
    task = attempt.task
    if task is None:  # deleted since
        end_step(attempt, AttemptState.FAILED, "task_deleted", reasons.stored_reason("task_deleted"))
    elif chains.goes_on(task):
        return  # the attempt is given the task that continues it once that starts
    elif task.status == TaskStatus.COMPLETED:
        chain = chains.chains_of([task]).get(task.pk)
        is_incomplete = task.outcome == TaskOutcome.WITH_FAILURES and task.failed_count
        has_failures = chain.failed if chain else is_incomplete
        end_step(attempt, AttemptState.WITH_FAILURES if has_failures else AttemptState.COMPLETED)
    elif task.has_yielded:
        _settle_rest(attempt, task)
    elif task.status != TaskStatus.RUNNING:
        end_step(attempt, BY_TASK[TaskStatus(task.status)], task.error_code, task.error_message)


def _settle_rest(attempt: StepAttempt, task: CollectionTask) -> None:
    """Ends a step whose task yielded and does not go on: its rest was refused, or withdrawn by a user."""
    rest = chains.queued_rest(task)
    if rest and rest.state == QueuedOrderState.REFUSED:
        end_step(attempt, AttemptState.REFUSED, rest.error_code, rest.error_message)
    else:  # orders that left the queue are deleted after a while: the refusal of a rest is settled before
        end_step(attempt, AttemptState.CANCELLED, "rest_withdrawn", reasons.stored_reason("rest_withdrawn"))


def _recover_job(attempt: StepAttempt) -> None:
    """Queues a job again whose worker is lost, or that nobody began; fails it after MAX_LOSSES."""
    lost = StepAttempt.objects.filter(
        pk=attempt.pk, generation=attempt.generation, state=AttemptState.RUNNING, alive_until__lte=Clock()
    )
    if attempt.generation + 1 >= MAX_LOSSES and lost.exists():
        end_step(attempt, AttemptState.FAILED, "list_job_lost", reasons.stored_reason("list_job_lost"))
        return
    with transaction.atomic():
        until = Clock() + timedelta(seconds=QUEUED_SECONDS)
        if lost.update(generation=F("generation") + 1, begun=False, alive_until=until):
            dispatch.queue_stock_list(attempt.pk, attempt.generation + 1)


def _go_on(run: PlanRun, **place: Any) -> None:
    """Makes the run wait with a step or an attempt."""
    values = {"state": RunState.WAITING, "waiting_since": None, "not_before": None, **place}
    if not open_runs().filter(pk=run.pk).update(**values):
        raise StaleRun


def _end_attempt(attempt: StepAttempt, state: AttemptState, code: str, message: str, **more: Any) -> None:
    values = {"state": state, "error_code": code, "error_message": message, "ended_at": Clock(), **more}
    if not _own(attempt).update(**values):
        raise StaleRun


def _end_run(run: PlanRun) -> None:
    """Ends the run by how its steps ended; the plan keeps why, unless its last task tells it."""
    outcomes = outcomes_by_step(run)
    by_step = {
        AttemptState.FAILED: RunState.FAILED,
        AttemptState.REFUSED: RunState.REFUSED,
        AttemptState.CANCELLED: RunState.CANCELLED,
    }
    state = next((by_step[each] for each in by_step if each in outcomes.values()), RunState.COMPLETED)
    causes = (AttemptState.CANCELLED,) if state == RunState.CANCELLED else FAILED
    failed = [position for position, outcome in outcomes.items() if outcome in causes]
    bad = run.attempts.filter(position__in=failed).order_by("position", "-attempt").first()
    why = {"error_code": bad.error_code, "error_message": bad.error_message} if bad else {}
    if not open_runs().filter(pk=run.pk).update(state=state, ended_at=Now(), waiting_since=None, **why):
        raise StaleRun
    plan = CollectionPlan.objects.filter(runs=run)
    if bad and bad.task_id:
        plan = plan.filter(~Q(last_task=bad.task_id))
    if any(why.values()) and state != RunState.CANCELLED:  # whoever cancels knows it
        plan.update(**why)


def _waiting(run: PlanRun) -> QuerySet[PlanRun]:
    """Returns the run, if it still waits with the attempt that the caller saw, and may begin it."""
    return run_order.due_runs().filter(pk=run.pk, position=run.position, attempt=run.attempt)


def _own(attempt: StepAttempt) -> QuerySet[StepAttempt]:
    running = StepAttempt.objects.filter(state=AttemptState.RUNNING, generation=attempt.generation)
    return running.filter(pk=attempt.pk)


def actor_of(run: PlanRun) -> Actor:
    """Returns on whose behalf the schedule goes on with a run."""
    return Actor(Channel.SCHEDULE, run.user)
