"""The overview's part below the current task: the last runs, workers and sources, what is stored, plans."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import VIEW_TARGETS
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import first_steps, notices, stored_data, system_status, targets
from tasks_app.admin.plans import columns as plan_columns
from tasks_app.admin.tasks import panels
from tasks_app.db import server
from tasks_app.lifecycle import durations, selectors
from tasks_app.market import synthetic
from tasks_app.models import CollectionPlan, CollectionTask
from tasks_app.models.states import TaskOutcome, TaskStatus, describe_result
from tasks_app.models.tasks import YIELDED
from tasks_app.orders import plans
from tasks_app.queue import dispatch
from tasks_app.quotes import coverage, sealed_days

RUNS, PLANS = 60, 5
MAX_HEIGHT, MIN_HEIGHT = 100, 6  # of a run's bar, in its own units; a lower one could not be seen
NOTCH = 9  # the mark of a run with failures


def build_overview_context(request: HttpRequest) -> dict[str, Any]:
    """Takes ten queries at most; what is stored is counted once a minute."""
    user = request.user
    context: dict[str, Any] = {
        **build_runs_context(),
        "legend": _legend(),
        "clusters": dispatch.live_clusters(),
        "limiters": system_status.source_limiters(),
        "limits_off": system_status.limits_off(),
        "waiting": formatting.number(dispatch.waiting_jobs()),
        "database": server.database_version(),
        **notices.build_notices_context(request),
    }
    if user.has_perm("tasks_app.view_series") or user.has_perm("tasks_app.view_dailybar"):
        rows = coverage.cached_coverage()
        context["coverage"] = stored_data.describe_coverage(rows, sealed_days.last_sealed())
        context["first_steps"] = first_steps.build_first_steps(user, rows)
    if user.has_perm("tasks_app.view_collectionplan"):
        context["plans"] = [_describe_plan(plan) for plan in plans.upcoming(PLANS)]
        context["plans_url"] = formatting.admin_url("collectionplan")
        context["may_plan"] = user.has_perm("tasks_app.add_collectionplan")
    if user.has_perm(VIEW_TARGETS):
        context["targets"] = targets.list_targets()
        context["targets_url"] = formatting.admin_url("target")
    return context


def build_runs_context() -> dict[str, Any]:
    """Returns the last sixty runs, the oldest first, and how long the longest ended one took.

    A bar's height goes with the run's duration.
    """
    newest = CollectionTask.objects.order_by("-start_time", "-id")
    tasks = list(newest.defer(*selectors.HEAVY_COLUMNS, "error_message")[:RUNS])
    ended = [durations.task_duration(task) for task in tasks if task.status != TaskStatus.RUNNING]
    longest = max(ended, default=timedelta())
    runs = [_describe_run(task, longest.total_seconds() or 1.0) for task in reversed(tasks)]
    return {"runs": runs, "longest_run": durations.format_duration(longest) if ended else ""}


def _legend() -> list[tuple[str, str]]:
    """Returns the states that a run may end in, with their names."""
    outcomes = [(outcome, describe_result(TaskStatus.COMPLETED, outcome)) for outcome in TaskOutcome.values]
    others = [(str(status), str(status.label)) for status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    return [*outcomes, *others, (YIELDED, _("yielded"))]


def _describe_run(task: CollectionTask, longest: float) -> dict[str, Any]:
    is_running = task.status == TaskStatus.RUNNING
    # A running task's duration grows all the time and would change the part at every refresh.
    scale = 0.5 if is_running else durations.task_duration(task).total_seconds() / longest
    is_thin = task.outcome == TaskOutcome.NOTHING_NEW  # each state has a shape of its own, too
    height = round(max(MIN_HEIGHT, MAX_HEIGHT * scale))
    return {
        "url": formatting.task_url(task.pk),
        "state": YIELDED if task.has_yielded else task.outcome or task.status,
        "name": task.get_result_display(),
        "x": 3 if is_thin else 1,
        "width": 4 if is_thin else 8,
        "height": height,
        "y": MAX_HEIGHT - height,
        "notch": min(NOTCH, height // 2),
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
