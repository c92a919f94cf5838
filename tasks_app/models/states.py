"""Statuses of tasks and items, and the only edges between those of tasks. No ORM in here."""

from enum import StrEnum


class TaskStatus(StrEnum):
    """The life of a task. Everything but `RUNNING` is final."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """The life of one stock within a task."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


TASK_EDGES: dict[tuple[TaskStatus, TaskStatus], str] = {
    (TaskStatus.RUNNING, TaskStatus.COMPLETED): "every item was processed and at least one succeeded",
    (TaskStatus.RUNNING, TaskStatus.FAILED): "no item succeeded, or the task can't go on",
    (TaskStatus.RUNNING, TaskStatus.CANCELLED): "somebody cancelled it",
}

FINAL_STATUSES = frozenset(TaskStatus) - {TaskStatus.RUNNING}
OPEN_STATES = frozenset({ItemState.PENDING, ItemState.CLAIMED})
FINAL_STATES = frozenset(ItemState) - OPEN_STATES
