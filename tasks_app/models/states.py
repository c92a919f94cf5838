"""Statuses of tasks, states of items, and the legal transitions between them.

These tables are the only place that says which transitions exist: `lifecycle.completion` takes from them
the statuses that a task may end from, `db.triggers` the SQL that refuses any change of what is final.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskStatus(models.TextChoices):
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


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


def statuses_before(status: TaskStatus) -> list[TaskStatus]:
    """Returns the statuses from which a task may move to `status`."""
    return [old for old, new in TASK_EDGES if new == status]
