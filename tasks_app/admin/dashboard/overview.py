"""The overview's part below the current task: the last runs, workers and sources, what is stored, plans."""

from math import sqrt
from typing import Any

from django.http import HttpRequest

from tasks_app.admin.access.permissions import VIEW_TARGETS
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import notices, stored_data, system_status, targets
from tasks_app.admin.plans import columns as plan_columns
from tasks_app.admin.tasks import panels
from tasks_app.db import server
from tasks_app.lifecycle import durations, selectors
from tasks_app.market import synthetic
from tasks_app.models import CollectionPlan, CollectionTask
from tasks_app.models.states import TaskOutcome, TaskStatus, describe_result
from tasks_app.orders import plans
from tasks_app.queue import dispatch
from tasks_app.quotes import coverage, sealed_days

RUNS, PLANS = 60, 5
MAX_HEIGHT, MIN_HEIGHT = 100, 12  # of a run's bar, in its own units


def build_overview_context(request: HttpRequest) -> dict[str, Any]:
    """Takes ten queries at most; what is stored is counted once a minute."""
    user = request.user
    context: dict[str, Any] = {
        "runs": list_runs(),
        "legend": _legend(),
        "clusters": dispatch.live_clusters(),
        "limiters": system_status.source_limiters(),
        "waiting": formatting.number(dispatch.waiting_jobs()),
        "database": server.database_version(),
        **notices.build_notices_context(request),
    }
    if user.has_perm("tasks_app.view_series") or user.has_perm("tasks_app.view_dailybar"):
        context["coverage"] = stored_data.describe_coverage(
            coverage.cached_coverage(), sealed_days.last_sealed()
        )
    if user.has_perm("tasks_app.view_collectionplan"):
        context["plans"] = [_describe_plan(plan) for plan in plans.upcoming(PLANS)]
        context["plans_url"] = formatting.admin_url("collectionplan")
        context["may_plan"] = user.has_perm("tasks_app.add_collectionplan")
    if user.has_perm(VIEW_TARGETS):
        context["targets"] = targets.list_targets()
        context["targets_url"] = formatting.admin_url("target")
    return context


def list_runs() -> list[dict[str, Any]]:
    """Returns the last sixty runs, the oldest first. A bar's height goes with the root of its duration."""
    newest = CollectionTask.objects.order_by("-start_time", "-id")
    tasks = list(newest.defer(*selectors.HEAVY_COLUMNS, "error_message")[:RUNS])
    longest = max((_seconds(task) for task in tasks), default=1.0)
    return [_describe_run(task, longest) for task in reversed(tasks)]


def _legend() -> list[tuple[str, str]]:
    """Returns the states that a run may end in, with their names."""
    outcomes = [(outcome, describe_result(TaskStatus.COMPLETED, outcome)) for outcome in TaskOutcome.values]
    others = [(str(status), str(status.label)) for status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    return outcomes + others


def _seconds(task: CollectionTask) -> float:
    return max(1.0, durations.task_duration(task).total_seconds())


def _describe_run(task: CollectionTask, longest: float) -> dict[str, Any]:
    is_running = task.status == TaskStatus.RUNNING
    # A running task's duration grows all the time and would change the part at every refresh.
    scale = 0.5 if is_running else sqrt(_seconds(task) / longest)
    is_thin = task.outcome == TaskOutcome.NOTHING_NEW  # each state has a shape of its own, too
    height = round(max(MIN_HEIGHT, MAX_HEIGHT * scale))
    return {
        "url": formatting.task_url(task.pk),
        "state": task.outcome or task.status,
        "name": task.get_result_display(),
        "x": 3 if is_thin else 1,
        "width": 4 if is_thin else 8,
        "height": height,
        "y": MAX_HEIGHT - height,
        "when": formatting.timestamp(task.start_time, seconds=False),
        "what": f"{synthetic.mark(task.market)} · {task.source}",
        "stocks": "" if is_running else panels.progress_sentence(task),
        "duration": "" if is_running else durations.format_duration(durations.task_duration(task)),
    }


def _describe_plan(plan: CollectionPlan) -> dict[str, Any]:
    plan_url = formatting.admin_url("collectionplan", "change", plan.pk)
    return {
        "name": formatting.two_lines(
            formatting.link(plan_url, plan.name), f"{synthetic.mark(plan.market)} · {plan.source}"
        ),
        "schedule": plan_columns.schedule(plan),
        "next": plan_columns.state(plan)
        if plan.waiting_since
        else formatting.timestamp(plan.next_at, seconds=False),
    }
