"""What the steps of a plan order, and which are refused."""

from dataclasses import replace
from datetime import date

import pytest
from django.utils import timezone

from tasks_app import errors
from tasks_app.models import PlanStep
from tasks_app.orders import plan_steps, plans
from tests.factories import make_plan

pytestmark = pytest.mark.django_db


def us_plan(**fields):
    codes = {"market": "US", "source": "sample", "stock_codes": ["AAPL"]}
    return make_plan(**{**codes, "adjust": "", "days": 30, **fields})


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        ({}, {}),
        ({"days": 1}, {"start_date": date.today}),
        ({"source": "csv"}, {"source": "csv"}),
        ({"kind": "factors"}, {"force_update": True, "verify_with": "", "full_collection_mode": False}),
        (
            {"kind": "verification", "verify_with": "csv", "verify_sample": 7},
            {
                "force_update": True,
                "verify_with": "csv",
                "verify_sample": 7,
                "full_collection_mode": False,
            },
        ),
    ],
)
def test_step_orders_what_the_plan_does_but_for_its_own_values(step, changed):
    plan, now = us_plan(full_collection_mode=True, verify_with="csv"), timezone.now()
    order = plan_steps.build_order(plan, PlanStep(plan=plan, **step), now)
    base = plans.build_order(plan, now)
    if "start_date" in changed:
        assert (order.end_date - base.start_date).days == 29 + (order.end_date - order.start_date).days
        changed = {"start_date": order.start_date}
    assert order == replace(base, **changed)


def test_run_keeps_orders_as_they_were():
    plan, now = us_plan(fallbacks=["csv"], export_to="nightly", export_layout="qlib"), timezone.now()
    bars, export = plan_steps.snapshot(plan, now)
    assert plan_steps.read_order(bars["order"]) == plans.build_order(plan, now)
    assert (bars["on_failure"], export["folder"], export["layout"]) == ("continue", "nightly", "qlib")
    assert plan_steps.export_folders(plan) == ["nightly"]


@pytest.mark.parametrize(
    ("step", "field", "code"),
    [
        ({"kind": "odd"}, "kind", "invalid_plan"),
        ({"days": 0}, "days", "invalid_plan"),
        ({"retries": 11}, "retries", "invalid_plan"),
        ({"source": "gone"}, "source", "unknown_source"),
        ({"kind": "verification"}, "verify_with", "invalid_plan"),
        ({"kind": "verification", "verify_with": "sample"}, "verify_with", "same_source"),
        ({"kind": "export"}, "export_to", "invalid_plan"),
        ({"kind": "stock_list", "source": "simulated"}, "market", "market_not_served"),
    ],
)
def test_step_that_can_not_be_done_is_refused(step, field, code):
    plan = us_plan()
    with pytest.raises(errors.InvalidStep) as caught:
        plan_steps.check_steps(plan, [PlanStep(plan=plan), PlanStep(plan=plan, **step)])
    assert (caught.value.params["step"], caught.value.field) == (2, "steps")
    cause = caught.value.__cause__
    assert (cause.field, cause.code) == (field, code)
    assert str(cause) in str(caught.value)


def test_factors_are_a_step_only_where_they_are_collected(settings):
    plan = us_plan()
    plan_steps.check_steps(plan, [PlanStep(kind="factors")])  # the sample has corporate actions
    settings.COLLECTOR = replace(settings.COLLECTOR, adjustment_data=False)
    with pytest.raises(errors.InvalidStep, match="sends no adjustment factors"):
        plan_steps.check_steps(plan, [PlanStep(kind="factors")])


def test_values_of_another_kind_are_cleared():
    step = PlanStep(kind="stock_list", days=3, export_to="x", verify_with="csv", verify_sample=5)
    plan_steps.check_steps(us_plan(), [step])
    assert (step.days, step.export_to, step.verify_with, step.verify_sample) == (None, "", "", 100)


def test_plan_has_either_steps_or_an_export_of_its_own():
    plan = us_plan(export_to="nightly")
    with pytest.raises(errors.ExportIsAStep):
        plan_steps.check_steps(plan, [PlanStep(plan=plan)])
    with pytest.raises(errors.TooManySteps):
        plan_steps.check_steps(plan, [PlanStep(plan=plan) for _ in range(21)])
