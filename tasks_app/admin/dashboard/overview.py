"""The piece of the overview below the live one: the last runs, the machinery, what is stored."""

from math import sqrt
from typing import Any

from django.http import HttpRequest

from tasks_app.admin import planwords
from tasks_app.admin.common import formatting
from tasks_app.admin.dashboard import system_status
from tasks_app.admin.tasks import panels
from tasks_app.lifecycle import durations
from tasks_app.models import CollectionPlan, CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.orders import plans
from tasks_app.quotes import coverage

RUNS, PLANS = 60, 5
HEIGHT, LEAST = 100, 12  # of a bar, in its own units


def build_overview_context(request: HttpRequest) -> dict[str, Any]:
    """At most six queries; what is stored is counted once a minute."""
    shown: dict[str, Any] = {
        "runs": runs(),
        "clusters": system_status.clusters(),
        "gates": system_status.source_limiters(),
        **system_status.queue_and_database(),
    }
    if request.user.has_perm("tasks_app.view_series") or request.user.has_perm("tasks_app.view_dailybar"):
        shown["coverage"] = [_covered(row) for row in coverage.cached_coverage()]
    if request.user.has_perm("tasks_app.view_collectionplan"):
        shown["plans"] = [_plan(plan) for plan in plans.upcoming(PLANS)]
        shown["plans_url"] = formatting.admin_url("collectionplan")
        shown["may_plan"] = request.user.has_perm("tasks_app.add_collectionplan")
    return shown


def runs() -> list[dict[str, Any]]:
    """The last sixty runs, the oldest first. Heights go with the root of how long each took."""
    newest = CollectionTask.objects.order_by("-start_time", "-id")
    tasks = list(newest.defer("stock_codes", "unknown_codes", "error_message")[:RUNS])
    longest = max((_seconds(task) for task in tasks), default=1.0)
    return [_run(task, longest) for task in reversed(tasks)]


def _seconds(task: CollectionTask) -> float:
    return max(1.0, durations.task_duration(task).total_seconds())


def _run(task: CollectionTask, longest: float) -> dict[str, Any]:
    running = task.status == TaskStatus.RUNNING
    height = round(max(LEAST, HEIGHT * sqrt(_seconds(task) / longest)))
    height = HEIGHT // 2 if running else height  # it grows all the time, and would change the piece
    return {
        "url": formatting.task_url(task.pk),
        "status": task.status,
        "tone": formatting.STATUS_STYLES[task.status][0],
        "name": task.get_status_display(),
        "partly": task.status == TaskStatus.COMPLETED and task.failed_count > 0,
        "height": height,
        "top": HEIGHT - height,
        "when": formatting.timestamp(task.start_time, seconds=False),
        "what": f"{task.market} · {task.source}",
        "stocks": "" if running else panels.sentence(task),
        "took": "" if running else durations.format_duration(durations.task_duration(task)),
    }


def _covered(row: coverage.MarketCoverage) -> dict[str, Any]:
    return {
        "market": row.market_name,
        "adjust": row.adjust_name,
        "stocks": formatting.number(row.stocks),
        "listed": formatting.number(row.listed) if row.listed else "",
        "bars": formatting.number(row.bars),
        "days": formatting.date_range(row.first, row.latest)
        if row.first and row.latest
        else formatting.EMPTY,
        "latest": row.latest.isoformat() if row.latest else formatting.EMPTY,
        "behind": formatting.number(row.behind),
        "is_behind": row.behind > 0,
        "session": row.session.isoformat(),
        "url": formatting.admin_url("stock", market__exact=row.market),
    }


def _plan(plan: CollectionPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "url": formatting.admin_url("collectionplan", "change", plan.pk),
        "next": formatting.timestamp(plan.next_at, seconds=False),
        "what": f"{plan.market} · {plan.source}",
        "often": planwords.rhythm(plan),
        "state": planwords.state(plan) if plan.waiting_since else "",
    }
