"""Whose turn it is: what waits does not take the place of a run's next task, which is about to start."""

from typing import Any

from django.db.models import Q, QuerySet

from tasks_app.db.functions import Clock
from tasks_app.lifecycle import chains
from tasks_app.models import PlanRun, QueuedOrder, StepAttempt
from tasks_app.models.plan_runs import TASK_KINDS, AttemptState, RunState
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


def due_runs() -> QuerySet[PlanRun]:
    """Returns the runs whose next step or attempt may begin."""
    is_due = Q(not_before__isnull=True) | Q(not_before__lte=Clock())
    return PlanRun.objects.filter(is_due, state=RunState.WAITING)


def step_of(run: PlanRun) -> dict[str, Any]:
    """Returns the values of the step that the run is at."""
    step: dict[str, Any] = run.steps[run.position - 1]
    return step


def may_begin_a_task(runs: Q) -> bool:
    """Whether the step that one of these runs waits with is a task, and due."""
    return any(step_of(run)["kind"] in TASK_KINDS for run in due_runs().filter(runs))


def _is_between_tasks(runs: Q) -> bool:
    """Whether one of the runs has ended a task, or may begin one, and no watchdog has gone on with it yet."""
    attempts = StepAttempt.objects.filter(run__in=PlanRun.objects.filter(runs), state=AttemptState.RUNNING)
    ended = attempts.filter(task__isnull=False).exclude(task__status=TaskStatus.RUNNING)
    return may_begin_a_task(runs) or any(
        attempt.task and not chains.goes_on(attempt.task) for attempt in ended.select_related("task")
    )
