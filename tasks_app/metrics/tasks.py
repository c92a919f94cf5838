"""Metrics of tasks: those that have ended and the running one, with its items and lanes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Now
from prometheus_client.core import Metric

from tasks_app.lifecycle import selectors
from tasks_app.metrics.families import Row, counter, epoch, gauge
from tasks_app.models import CollectionItem, CollectionTask, TaskTotals
from tasks_app.models.states import FINAL_STATUSES, ItemState, TaskOutcome, TaskStatus
from tasks_app.models.tasks import YIELDED

ENDINGS = [(TaskStatus.COMPLETED.value, outcome) for outcome in TaskOutcome.values]
ENDINGS += [(status.value, "") for status in sorted(FINAL_STATUSES - {TaskStatus.COMPLETED})]
ENDINGS += [(TaskStatus.CANCELLED.value, YIELDED)]
SUMS = ("success_count", "failed_count")
BARS = {
    "collected": "Bars that were new and are stored.",
    "corrected": "Stored bars that a source had changed.",
    "skipped": "Bars that were stored before and did not change.",
    "refused": "Bars that validation refused; they are not stored.",
    "flagged": "Bars that are stored and doubtful.",
    "compared": "Bars that were compared with a second source's.",
    "differing": "Bars that differ from a second source's.",
}
SCOPE = ("market", "source")
COLUMNS = (*SUMS, *(f"{name}_count" for name in BARS))


def collect() -> Iterator[Metric]:
    """Yields the metrics of tasks. Takes four queries at most, none of which reads an ended task."""
    yield from _totals()
    running = CollectionTask.objects.filter(status=TaskStatus.RUNNING).annotate(now=Now())
    task = running.values(
        *("pk", "now", "start_time", "heartbeat_at", "paused_at", "yielding_at"),
        *("total_stocks", "success_count", "failed_count"),
    ).first()
    is_paused = bool(task and task["paused_at"])
    yield gauge("task_running", "Whether a task is running, or paused.", [((), bool(task))])
    yield gauge("task_paused", "Whether the running task is paused.", [((), is_paused)])
    is_yielding = bool(task and task["yielding_at"])
    yield gauge("task_yielding", "Whether the running task makes way for a plan.", [((), is_yielding)])
    is_expected = task and not is_paused
    silence = [((), (task["now"] - task["heartbeat_at"]).total_seconds())] if is_expected else []
    yield gauge(
        "task_heartbeat_age_seconds",
        "Time since the running task's last heartbeat; none while it is paused.",
        silence,
    )
    started = [((), epoch(task["start_time"]))] if task else []
    yield gauge("task_start_timestamp_seconds", "When the running task was started.", started)
    yield gauge("task_items", "Items (stocks) of the running task.", _items(task), "state")
    yield gauge("lanes", "Lanes of the running task; each runs one slice at a time.", _lanes(task), "state")


def _totals() -> Iterator[Metric]:
    """Yields what has been counted since ever, deleted tasks included.

    One statement reads the sums of the ended tasks and the running one, so that none is counted twice or
    missed while it ends.
    """
    ended = TaskTotals.objects.values_list(*SCOPE, "status", "outcome", "tasks", "last_end_time", *COLUMNS)
    running = CollectionTask.objects.filter(status=TaskStatus.RUNNING).values_list(
        *SCOPE, "status", Value(""), Value(0), F("start_time"), *COLUMNS
    )
    tasks: dict[tuple[str, ...], int] = {}
    ends: list[Row] = []
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(COLUMNS))
    for market, source, status, outcome, count, end, *numbers in ended.union(running, all=True):
        for ending in ENDINGS:  # zeros first: a counter that begins with one shows no increase
            tasks.setdefault((market, source, *ending), 0)
        known = sums[market, source]
        known[:] = [before + number for before, number in zip(known, numbers, strict=True)]
        if count:
            tasks[market, source, status, outcome] = count
            ends.append(((market, source, status, outcome), epoch(end)))
    labels = (*SCOPE, "status", "outcome")
    yield counter("tasks", "Tasks that have ended.", tasks.items(), *labels)
    yield gauge("last_task_end_timestamp_seconds", "When the last such task ended.", ends, *labels)
    items = [
        ((*scope, result), number)
        for scope, numbers in sums.items()
        for result, number in zip(("succeeded", "failed"), numbers, strict=False)
    ]
    yield counter("items", "Items (stocks of a task) that were processed.", items, *SCOPE, "result")
    for at, (name, text) in enumerate(BARS.items(), start=len(SUMS)):
        yield counter(f"bars_{name}", text, [(scope, numbers[at]) for scope, numbers in sums.items()], *SCOPE)


def _items(task: Mapping[str, Any] | None) -> list[Row]:
    """Returns the running task's items by state, zeros without one; only the claimed ones are counted."""
    if task is None:
        states = (ItemState.PENDING, ItemState.CLAIMED, ItemState.SUCCEEDED, ItemState.FAILED)
        return [((state.value,), 0) for state in states]
    claimed = CollectionItem.objects.filter(task_id=task["pk"], state=ItemState.CLAIMED).count()
    succeeded, failed = task["success_count"], task["failed_count"]
    pending = max(task["total_stocks"] - succeeded - failed - claimed, 0)
    counts = {"pending": pending, "claimed": claimed, "succeeded": succeeded, "failed": failed}
    return [((state,), count) for state, count in counts.items()]


def _lanes(task: Mapping[str, Any] | None) -> list[Row]:
    """Returns the running task's lanes: a worker runs the slice of a `busy` one, `waiting` ones have none."""
    if task is None:
        return [(("busy",), 0), (("waiting",), 0)]
    counts = selectors.count_lanes(task["pk"])
    return [(("busy",), counts.busy), (("waiting",), counts.all - counts.busy)]
