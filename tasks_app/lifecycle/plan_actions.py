"""The verbs of users on plans: make, change, switch, delete, run now. Each is recorded with who did it."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.db.functions import database_now
from tasks_app.lifecycle import plan_runs, run_order
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.slot import locked_plan, locked_slot, require_free_slot
from tasks_app.lifecycle.user_actions import digest_of, find_started
from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent, PlanRun, PlanStep, StepAttempt
from tasks_app.models.plan_runs import TASK_KINDS
from tasks_app.models.plans import PlanEventKind
from tasks_app.models.priorities import Priority
from tasks_app.orders import order as orders, plan_steps, plans

SWITCHES = {True: PlanEventKind.ENABLED, False: PlanEventKind.DISABLED}
COMPLETED_FIELDS = ("market", "source", "stock_codes")  # by the check


class StartedRun(NamedTuple):
    """A run that a user began, and the task of its first step; None if that is no task."""

    run: PlanRun | None
    task: CollectionTask | None


def create(values: Mapping[str, Any], actor: Actor) -> CollectionPlan:
    """Makes a plan. Raises `PlanNameTaken`, or the `OrderError` of a value or of what it orders."""
    steps = _steps(values.get("steps", ()))
    plan = CollectionPlan(**{name: value for name, value in values.items() if name != "steps"})
    plans.check(plan)
    plan_steps.check_steps(plan, steps)
    return save(plan, actor, values, steps)


def change(plan_id: int, values: Mapping[str, Any], actor: Actor) -> CollectionPlan:
    """Changes some values of a plan; one that is only switched off need not be valid any more.

    Raises `PlanNotFound`, and what `create` raises.
    """
    draft = plans.get_plan(str(plan_id))
    steps = _steps(values["steps"]) if "steps" in values else None
    values = {name: value for name, value in values.items() if name != "steps"}
    _apply(draft, values)
    if values != {"enabled": False} or steps is not None:
        plans.check(draft)
        plan_steps.check_steps(draft, list(draft.steps.all()) if steps is None else steps)
        values = {name: getattr(draft, name) for name in {*values, *COMPLETED_FIELDS}}
    plans.set_next_run(draft)  # before the write lock: a cold calendar asks a child process
    with sqlite_priority.interactive_write(), transaction.atomic():
        plan = CollectionPlan.objects.select_for_update().filter(pk=plan_id).first()
        if plan is None:
            raise errors.PlanNotFound(plan=plan_id)
        changed = [name for name, value in values.items() if getattr(plan, name) != value]
        return save(_apply(plan, values), actor, changed, steps)


def save(
    plan: CollectionPlan, actor: Actor, changed: Collection[str], steps: Sequence[PlanStep] | None = None
) -> CollectionPlan:
    """Saves a checked plan with its next run, and records which values changed; None leaves its steps.

    Its runs are recorded under the user who saved more than its switch last. Raises `PlanNameTaken`.
    """
    is_new, is_switched = plan.pk is None, set(changed) == {"enabled"} and steps is None
    if not is_switched:
        plan.created_by = actor.user
    plans.set_next_run(plan)
    try:
        with transaction.atomic():
            plan.save()
            kind = PlanEventKind.CREATED if is_new else PlanEventKind.CHANGED
            if is_switched and not is_new:
                kind = SWITCHES[plan.enabled]
            values = {name: getattr(plan, name, None) for name in changed if name != "steps"}
            if "priority" in values:
                values["priority"] = Priority.name_of(plan.priority)
            if steps or (steps is not None and not is_new):
                values["steps"] = save_steps(plan, steps)
            _record(plan, kind, actor, json.loads(json.dumps(values, default=str)))
    except IntegrityError:
        if CollectionPlan.objects.filter(name=plan.name).exclude(pk=plan.pk).exists():
            raise errors.PlanNameTaken(name=plan.name) from None
        raise
    return plan


def set_steps(plan: CollectionPlan, steps: Sequence[PlanStep], actor: Actor) -> None:
    """Replaces the steps of a saved plan by checked ones, and records them."""
    with transaction.atomic():
        _record(plan, PlanEventKind.CHANGED, actor, {"steps": save_steps(plan, steps)})


def save_steps(plan: CollectionPlan, steps: Sequence[PlanStep]) -> list[dict[str, Any]]:
    """Replaces the steps of a plan by checked ones, in their order. Returns their values."""
    plan.steps.all().delete()
    rows = [
        PlanStep(plan=plan, position=number, **plan_steps.values_of(step))
        for number, step in enumerate(steps, 1)
    ]
    PlanStep.objects.bulk_create(rows)
    return [plan_steps.values_of(row) for row in rows]


def delete(doomed: Iterable[CollectionPlan], actor: Actor) -> None:
    """Deletes plans; what they collected stays."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        for plan in doomed:
            with locked_plan(plan.pk):
                plan_runs.drop(plan)
                _record(plan, PlanEventKind.DELETED, actor)
                plan.delete()


def run(plan_id: int, actor: Actor, idempotency_key: str | None = None) -> StartedRun:
    """Begins a run of a plan now, as a user's own start, whether it is switched on or not.

    Its next time stays. The first step begins at once if it is a task; a watchdog begins any other one. The
    same idempotency key returns the run that it began, also when the plan has changed since or the day is
    over, which changes the order. Raises `PlanNotFound`, `PlanRunning`, and what `start` raises.
    """
    plan = plans.get_plan(str(plan_id))
    now, digest = database_now(), digest_of({"plan": plan.pk})
    first = plan_steps.snapshot(plan, now)[0]
    if first["kind"] in TASK_KINDS:  # before the lock: it runs a source's own code
        orders.require_usable_source(plan_steps.read_order(first["order"]), settings.COLLECTOR)
    with sqlite_priority.interactive_write(), locked_plan(plan.pk), locked_slot():
        if earlier := find_started(actor, idempotency_key, digest):
            return StartedRun(_run_of(earlier), earlier)
        require_free_slot()
        CollectionPlan.objects.filter(pk=plan.pk).update(last_at=Now())
        begun = plan_runs.begin(plan, actor, now)
        task = None
        if run_order.step_of(begun)["kind"] in TASK_KINDS:
            task = plan_runs.start_task(begun, actor, idempotency_key=idempotency_key, digest=digest)
        params = {"run": begun.pk, **({"task": str(task.pk)} if task else {})}
        _record(plan, PlanEventKind.RUN, actor, params)
    return StartedRun(begun, task)


def _run_of(task: CollectionTask) -> PlanRun | None:
    """Returns the run that began with this task; None for one from before there were runs."""
    attempt = StepAttempt.objects.select_related("run").filter(task=task).first()
    return attempt.run if attempt else None


def _steps(rows: Iterable[Mapping[str, Any]]) -> list[PlanStep]:
    return [PlanStep(**row) for row in rows]


def _apply(plan: CollectionPlan, values: Mapping[str, Any]) -> CollectionPlan:
    for name, value in values.items():
        setattr(plan, name, value)
    return plan


def _record(plan: CollectionPlan, kind: PlanEventKind, actor: Actor, params: Any = None) -> None:
    PlanEvent.objects.create(
        plan_id=plan.pk,
        plan_name=plan.name,
        kind=kind,
        user_name=actor.name,
        channel=actor.channel,
        params=params or {},
    )
