"""Statuses and outcomes of tasks, states of items, and the legal transitions between them.

These tables are the only place that says which transitions exist: `lifecycle.completion` takes from them
the statuses that a task may end from, `db.triggers` the SQL that refuses any change of what is final.
"""

from django.db import models
from django.db.models import Case, Q, Value, When
from django.utils.translation import gettext_lazy as _


class TaskStatus(models.TextChoices):
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class TaskOutcome(models.TextChoices):
    """What a completed task brought. A task with any other status has no outcome."""

    COMPLETE = "complete", _("complete")
    WITH_FAILURES = "with_failures", _("with failures")
    NOTHING_NEW = "nothing_new", _("nothing new")
    NO_BARS = "no_bars", _("no bars in these days")


class ItemState(models.TextChoices):
    """The state of one stock within a task."""

    PENDING = "pending", _("pending")
    CLAIMED = "claimed", _("collecting")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    SKIPPED = "skipped", _("skipped")


TASK_EDGES: dict[tuple[TaskStatus, TaskStatus], str] = {
    (TaskStatus.RUNNING, TaskStatus.COMPLETED): "all stocks are processed and at least one succeeded",
    (TaskStatus.RUNNING, TaskStatus.FAILED): "no stock succeeded, or the task can't continue",
    (TaskStatus.RUNNING, TaskStatus.CANCELLED): "a user cancelled it",
}
ITEM_EDGES: dict[tuple[ItemState, ItemState], str] = {
    (ItemState.PENDING, ItemState.CLAIMED): "a worker claimed the stock",
    (ItemState.CLAIMED, ItemState.PENDING): "it needs another attempt, or its worker, slice or task ended",
    (ItemState.CLAIMED, ItemState.SUCCEEDED): "its bars are stored",
    (ItemState.CLAIMED, ItemState.FAILED): "its last attempt failed",
    (ItemState.CLAIMED, ItemState.SKIPPED): "nothing was missing",
}

OPEN_STATES = frozenset(old for old, _new in ITEM_EDGES)
FINAL_STATES = frozenset(ItemState) - OPEN_STATES
FINAL_STATUSES = frozenset(TaskStatus) - {old for old, _new in TASK_EDGES}

# The outcome by a task's own columns: the database generates `CollectionTask.outcome` from it. The first
# condition that is met counts. `complete` promises that everything ordered is stored, so a code that was left
# out and a bar that was refused count as failures, like a stock that failed.
OUTCOME = Case(
    When(~Q(status=TaskStatus.COMPLETED), then=None),
    When(
        Q(failed_count__gt=0) | Q(refused_count__gt=0) | ~Q(unknown_codes=[]),
        then=Value(TaskOutcome.WITH_FAILURES.value),
    ),
    When(Q(collected_count__gt=0) | Q(corrected_count__gt=0), then=Value(TaskOutcome.COMPLETE.value)),
    # Bars of these days were stored before; or there was no stock to ask for, which says nothing about bars.
    When(Q(skipped_count__gt=0) | Q(total_stocks=0), then=Value(TaskOutcome.NOTHING_NEW.value)),
    default=Value(TaskOutcome.NO_BARS.value),
)


def statuses_before(status: TaskStatus) -> list[TaskStatus]:
    """Returns the statuses from which a task may move to `status`."""
    return [old for old, new in TASK_EDGES if new == status]


def describe_result(status: str, outcome: str | None) -> str:
    """Returns a task's status in the reader's language, with its outcome unless everything was brought."""
    name = str(TaskStatus(status).label)
    if outcome in (None, TaskOutcome.COMPLETE):
        return name
    return f"{name} · {TaskOutcome(outcome).label}"
