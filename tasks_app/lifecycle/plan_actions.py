"""The verbs of users on plans: make, change, switch, delete, run now. Each is recorded with who did it."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.db.functions import database_now
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.slot import locked_slot
from tasks_app.lifecycle.user_actions import digest_of, find_started, start
from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent
from tasks_app.models.plans import PlanEventKind
from tasks_app.orders import order as orders, plans

SWITCHES = {True: PlanEventKind.ENABLED, False: PlanEventKind.DISABLED}
COMPLETED_FIELDS = ("market", "source", "stock_codes")  # by the check


def create(values: Mapping[str, Any], actor: Actor) -> CollectionPlan:
    """Makes a plan. Raises `PlanNameTaken`, or the `OrderError` of a value or of what it orders."""
    plan = CollectionPlan(**values)
    plans.check(plan)
    return save(plan, actor, values)


def change(plan_id: int, values: Mapping[str, Any], actor: Actor) -> CollectionPlan:
    """Changes some values of a plan; one that is only switched off need not be valid any more.

    Raises `PlanNotFound`, and what `create` raises.
    """
    draft = _apply(plans.get_plan(str(plan_id)), values)
    if dict(values) != {"enabled": False}:
        plans.check(draft)
        values = {name: getattr(draft, name) for name in {*values, *COMPLETED_FIELDS}}
    plans.set_next_run(draft)  # before the write lock: a cold calendar asks a child process
    with sqlite_priority.interactive_write(), transaction.atomic():
        plan = CollectionPlan.objects.select_for_update().filter(pk=plan_id).first()
        if plan is None:
            raise errors.PlanNotFound(plan=plan_id)
        changed = [name for name, value in values.items() if getattr(plan, name) != value]
        return save(_apply(plan, values), actor, changed)


def save(plan: CollectionPlan, actor: Actor, changed: Collection[str]) -> CollectionPlan:
    """Saves a checked plan with its next run, and records which values changed.

    Its runs are recorded under the user who saved more than its switch last. Raises `PlanNameTaken`.
    """
    is_new, is_switched = plan.pk is None, set(changed) == {"enabled"}
    if not is_switched:
        plan.created_by = actor.user
    plans.set_next_run(plan)
    try:
        with transaction.atomic():
            plan.save()
            kind = PlanEventKind.CREATED if is_new else PlanEventKind.CHANGED
            if is_switched and not is_new:
                kind = SWITCHES[plan.enabled]
            values = {name: getattr(plan, name, None) for name in changed}
            _record(plan, kind, actor, json.loads(json.dumps(values, default=str)))
    except IntegrityError:
        if CollectionPlan.objects.filter(name=plan.name).exclude(pk=plan.pk).exists():
            raise errors.PlanNameTaken(name=plan.name) from None
        raise
    return plan


def delete(doomed: Iterable[CollectionPlan], actor: Actor) -> None:
    """Deletes plans; what they collected stays."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        for plan in doomed:
            _record(plan, PlanEventKind.DELETED, actor)
            plan.delete()


def run(plan_id: int, actor: Actor, idempotency_key: str | None = None) -> CollectionTask:
    """Starts what a plan orders now, as a user's own start, whether it is switched on or not.

    Its next time stays. The same idempotency key returns the task that it started, also when the plan has
    changed since or the day is over, which changes the order. Raises `PlanNotFound`, and what `start` raises.
    """
    plan = plans.get_plan(str(plan_id))
    order = plans.build_order(plan, database_now())
    orders.require_usable_source(order, settings.COLLECTOR)
    digest = digest_of({"plan": plan.pk})
    with locked_slot():
        if earlier := find_started(actor, idempotency_key, digest):
            return earlier
        today = orders.latest_today()
        task = start(order, actor, today=today, idempotency_key=idempotency_key, digest=digest)
        row = CollectionPlan.objects.filter(pk=plan.pk)
        due = {"export_due": bool(plan.export_to)}
        row.update(last_at=Now(), last_task=task, error_code="", error_message="", **due)
        _record(plan, PlanEventKind.RUN, actor, {"task": str(task.pk)})
    return task


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
