"""Runs of plans whose next task is about to start: what has to wait for it does not take its place."""

from django.db.models import Q

from tasks_app.db.functions import Clock
from tasks_app.lifecycle import chains
from tasks_app.models import PlanRun, QueuedOrder
from tasks_app.models.plan_runs import TASK_KINDS, RunState
from tasks_app.models.states import TaskStatus


def goes_before_order(row: QueuedOrder) -> bool:
    """Whether the next task of a run starts before a waiting order. The slot must be locked.

    Those of a higher priority do, and those of its own, unless it is the rest of a task that yielded; before
    the rest of a task that the run overtook they do, too, to whatever priority that has been moved.
    """
    if row.continues_id is None:
        return _is_between_tasks(Q(plan__priority__gte=row.priority))
    overtook = Q(attempts__overtook=row.continues_id)
    return _is_between_tasks(Q(plan__priority__gt=row.priority) | overtook)


def goes_before_run(run: PlanRun, priority: int) -> bool:
    """Whether another run's next task starts before this one's. The slot must be locked.

    Those of a higher priority do, and the older ones of the same.
    """
    return _is_between_tasks(Q(plan__priority__gt=priority) | Q(plan__priority=priority, pk__lt=run.pk))


def _is_between_tasks(runs: Q) -> bool:
    """Whether one of the runs has ended a task, or may begin one, and no watchdog has gone on with it yet."""
    found = PlanRun.objects.filter(runs, state__in=[RunState.RUNNING, RunState.WAITING]).distinct()
    return any(_has_ended_its_task(run) or _may_begin_a_task(run) for run in found)


def _may_begin_a_task(run: PlanRun) -> bool:
    if run.state != RunState.WAITING or run.steps[run.position - 1]["kind"] not in TASK_KINDS:
        return False
    is_due = Q(not_before__isnull=True) | Q(not_before__lte=Clock())
    return PlanRun.objects.filter(is_due, pk=run.pk).exists()


def _has_ended_its_task(run: PlanRun) -> bool:
    attempt = run.attempts.select_related("task").filter(position=run.position, attempt=run.attempt).first()
    task = attempt.task if attempt and run.state == RunState.RUNNING else None
    return task is not None and task.status != TaskStatus.RUNNING and not chains.goes_on(task)
