"""What stands above the form of a plan: its state, its next runs and its verbs."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from tasks_app import time_zones
from tasks_app.admin.access.permissions import CHANGE_PLAN, RUN_PLAN, START_TASK
from tasks_app.admin.plans import columns, runs
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.models import CollectionPlan
from tasks_app.orders import plan_steps, plans


def describe(plan: CollectionPlan, user: User | AnonymousUser) -> dict[str, Any]:
    """Returns the head's context; a button only of what the user may do."""
    now = timezone.now()
    may_switch = user.has_perm(CHANGE_PLAN) and user.has_perm(START_TASK)
    return {
        "state": columns.state(plan),
        "problem": columns.invalid_badge(problem) if (problem := plan_steps.find_problem(plan)) else "",
        "wait": runs.describe_wait(plan) if plan.waiting_since else "",
        "time_zone": time_zones.name_of(MARKET_TIME_ZONES[plan.market]),
        "runs": [columns.run_time(run, plan.market, now) for run in plans.following_runs(plan, now)],
        "run": columns.run_button(plan) if user.has_perm(RUN_PLAN) else "",
        "switch": columns.switch_button(plan) if may_switch else "",
    }
