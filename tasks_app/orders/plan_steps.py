"""What the steps of a plan order: each one's values, completed by the plan's own, as a run keeps them.

A run keeps its steps as they were when it began, as JSON:
`{"kind", "retries", "retry_wait", "on_failure"}`, and with `order` for a task, `market`, `source` and `of`
for a stock list, `folder`, `layout`, `market`, `adjust` and `stock_codes` for an export.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.db.functions import database_now
from tasks_app.models import CollectionPlan, PlanStep
from tasks_app.models.plan_runs import MAX_STEPS, TASK_KINDS, OnFailure, StepKind
from tasks_app.orders import order as orders, plans
from tasks_app.orders.order import Order
from tasks_app.sources import registry

# The fields that count for a step of each kind, beside those of every step.
FIELDS_BY_KIND = {
    StepKind.STOCK_LIST: ("source",),
    StepKind.BARS: ("source", "days"),
    StepKind.FACTORS: ("source", "days"),
    StepKind.VERIFICATION: ("source", "days", "verify_with", "verify_sample"),
    StepKind.EXPORT: ("export_to", "export_layout"),
}
LISTS = ("stock_codes", "fallbacks")
COMMON_FIELDS = ("kind", "retries", "retry_wait", "on_failure")
OWN_FIELDS = ("source", "days", "verify_with", "verify_sample", "export_to", "export_layout")


def steps_of(plan: CollectionPlan) -> list[PlanStep]:
    """Returns a saved plan's steps; of a plan without any, what it orders and the export that follows.

    That export follows however its task ended.
    """
    if steps := list(plan.steps.order_by("position")):
        return steps
    bars = PlanStep(plan=plan, position=1, on_failure=OnFailure.CONTINUE)
    if not plan.export_to:
        return [bars]
    export = PlanStep(plan=plan, position=2, kind=StepKind.EXPORT)
    export.export_to, export.export_layout = plan.export_to, plan.export_layout
    return [bars, export]


def export_folders(plan: CollectionPlan) -> list[str]:
    """Returns the names of the folders into which a run of the plan exports."""
    return [step.export_to for step in steps_of(plan) if step.kind == StepKind.EXPORT]


def build_order(plan: CollectionPlan, step: PlanStep, now: datetime) -> Order:
    """Returns the order of a step that is a task, for a run that begins at `now` (aware)."""
    order = plans.build_order(plan, now, step.days)
    if step.source:
        order = replace(order, source=step.source)
    if step.kind == StepKind.FACTORS:
        return replace(order, adjust="", force_update=True, verify_with="", full_collection_mode=False)
    if step.kind == StepKind.VERIFICATION:
        order = replace(order, verify_with=step.verify_with, verify_sample=step.verify_sample)
        return replace(order, force_update=True, full_collection_mode=False)
    return order


def snapshot(plan: CollectionPlan, now: datetime) -> list[dict[str, Any]]:
    """Returns the plan's steps for a run that begins at `now` (aware), as JSON values."""
    return [_describe(plan, step, now) for step in steps_of(plan)]


def read_order(values: Mapping[str, Any]) -> Order:
    """Returns the order that a run keeps of a step."""
    days = {name: date.fromisoformat(values[name]) for name in ("start_date", "end_date")}
    lists = {name: None if values[name] is None else tuple(values[name]) for name in LISTS}
    return Order(**{**values, **days, **lists})


def check_steps(plan: CollectionPlan, steps: Sequence[PlanStep]) -> None:
    """Checks that each step of a checked plan is valid today; clears the values that its kind has not.

    Raises `InvalidStep` for the first one that is not, `TooManySteps` or `ExportIsAStep`.
    """
    if len(steps) > MAX_STEPS:
        raise errors.TooManySteps(limit=MAX_STEPS)
    if steps and plan.export_to:
        raise errors.ExportIsAStep
    for number, step in enumerate(steps, 1):
        step.position = number
        try:
            check_step(plan, step)
        except errors.OrderError as error:
            raise errors.InvalidStep(step=number, reason=str(error)) from error


def find_problem(plan: CollectionPlan) -> str:
    """Returns why a saved plan is not valid any more, as its form would say; "" if it is."""
    draft = copy(plan)
    try:
        plans.check_order(draft)
        check_steps(draft, list(plan.steps.order_by("position")))
    except errors.OrderError as error:
        return str(error)
    return ""


def check_step(plan: CollectionPlan, step: PlanStep) -> None:
    """Checks a step, as `check_steps` does. Raises `OrderError`; its `field` is mostly one of the step's."""
    if step.kind in StepKind.values:
        clear_foreign_values(step)
    try:
        step.clean_fields(exclude=["plan", "id"])
    except ValidationError as error:
        field, sentences = next(iter(error.message_dict.items()))
        name = getattr(PlanStep._meta.get_field(field), "verbose_name", field)
        raise errors.InvalidPlan(field=field, name=name, reason=sentences[0]) from error
    needed = {StepKind.VERIFICATION: "verify_with", StepKind.EXPORT: "export_to"}.get(StepKind(step.kind))
    if needed and not getattr(step, needed):
        name = getattr(PlanStep._meta.get_field(needed), "verbose_name", needed)
        raise errors.InvalidPlan(field=needed, name=name, reason=_("This field is required."))
    if step.kind in TASK_KINDS:
        _check_order(plan, step)
    elif step.kind == StepKind.STOCK_LIST:
        _check_list(plan, step.source or plan.source)


def values_of(step: PlanStep) -> dict[str, Any]:
    """Returns the values of a step, as the API shows and takes them."""
    return {name: getattr(step, name) for name in (*COMMON_FIELDS, *OWN_FIELDS)}


def clear_foreign_values(step: PlanStep) -> None:
    """Sets the values that the step's kind has not to their defaults."""
    for name in set(OWN_FIELDS) - set(FIELDS_BY_KIND[StepKind(step.kind)]):
        field: Any = PlanStep._meta.get_field(name)
        setattr(step, name, field.get_default())


def _check_order(plan: CollectionPlan, step: PlanStep) -> None:
    order = build_order(plan, step, database_now())
    resolved = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
    orders.require_market(order, resolved)
    orders.require_usable_source(resolved, settings.COLLECTOR)
    if step.kind == StepKind.FACTORS:
        traits = registry.traits(resolved.source, settings.COLLECTOR)
        offers = settings.COLLECTOR.adjustment_data and resolved.market in (
            *traits.factor_markets,
            *traits.action_markets,
        )
        if not offers:
            raise errors.FactorsNotServed(source=resolved.source, market=resolved.market)


def _check_list(plan: CollectionPlan, source: str) -> None:
    conf = settings.COLLECTOR
    orders.check_market(plan.market, orders.get_source(source, conf))
    if not registry.traits(source, conf).serves_kind(plan.market, plan.kind):
        raise errors.KindNotServed(source=source, market=plan.market, kind=plan.get_kind_display())


def _describe(plan: CollectionPlan, step: PlanStep, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(step, name) for name in COMMON_FIELDS}
    if step.kind == StepKind.STOCK_LIST:
        return {**values, "market": plan.market, "source": step.source or plan.source, "of": plan.kind}
    if step.kind == StepKind.EXPORT:
        own = {"folder": step.export_to, "layout": step.export_layout, "market": plan.market}
        return {**values, **own, "adjust": plan.adjust, "stock_codes": sorted(plan.stock_codes or ())}
    order = asdict(build_order(plan, step, now))
    days = {name: order[name].isoformat() for name in ("start_date", "end_date")}
    return {**values, "order": {**order, **days}}
