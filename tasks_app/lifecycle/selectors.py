"""Read queries on tasks: one task, its failures, its shares per source, its errors by code."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Window
from django.db.models.functions import Now, RowNumber
from django.utils import timezone

from tasks_app import errors, reasons
from tasks_app.db.compiled_queries import CompiledQuery
from tasks_app.lifecycle.events import LIST_REPEATED
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskStatus

Shares = dict[str, dict[str, int]]
DETAILS = 100
SAMPLES = 5
NEWEST_TASKS = 20  # of a market, in which a stock's item is looked for
HEAVY_COLUMNS = ("stock_codes", "unknown_codes")  # up to 10,000 codes each, and rarely displayed
_FIELDS = CollectionTask._meta.concrete_fields
LIGHT_COLUMNS = [field.attname for field in _FIELDS if field.name not in HEAVY_COLUMNS]
_BY_ID = CompiledQuery(lambda key: CollectionTask.objects.filter(pk=key), LIGHT_COLUMNS, uuid4())
_BY_STATUS = CompiledQuery(
    lambda key: CollectionTask.objects.filter(status=key), LIGHT_COLUMNS, TaskStatus.RUNNING.value
)


def get_task(task_id: UUID) -> CollectionTask:
    """Returns the task with `HEAVY_COLUMNS` deferred. Raises `TaskNotFound`."""
    if (task := _BY_ID.instance(task_id)) is None:
        raise errors.TaskNotFound(task_id=task_id)
    return task


def get_running_task() -> CollectionTask | None:
    """Returns the one running task, with `HEAVY_COLUMNS` deferred."""
    return _BY_STATUS.instance(TaskStatus.RUNNING.value)


def id_range(prefix: str) -> tuple[UUID, UUID] | None:
    """Returns the first and the last id that begin with 4 to 32 hex digits; None for any other text."""
    digits = prefix.strip().replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{4,32}", digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def is_unattended(task: CollectionTask) -> bool:
    """Whether a running task, unless it is paused, has seen no worker activity for COLLECTOR_NO_WORKER_AFTER.

    For display: the heartbeat is compared with this host's clock, not with the database's.
    """
    if task.status != TaskStatus.RUNNING or task.paused_at:
        return False
    silence = timezone.now() - task.heartbeat_at
    return bool(silence.total_seconds() > settings.COLLECTOR.no_worker_after)


def failed_details(tasks: Iterable[CollectionTask]) -> dict[UUID, list[str]]:
    """Returns the first 100 failures of each task as "code: reason", in one query for all tasks."""
    failing = [task.pk for task in tasks if task.failed_count]
    details: dict[UUID, list[str]] = defaultdict(list)
    if not failing:
        return details
    items = CollectionItem.objects.filter(task_id__in=failing, state=ItemState.FAILED)
    if len(failing) == 1:  # PostgreSQL before version 15 would number all failures of the task
        first = items.order_by("position")[:DETAILS]
    else:
        nth = Window(RowNumber(), partition_by="task_id", order_by="position")
        first = items.annotate(nth=nth).filter(nth__lte=DETAILS).order_by("task_id", "position")
    for task_id, code, message in first.values_list("task_id", "code", "error_message"):
        details[task_id].append(f"{code}: {message}")
    return details


def newest_item(market: str, code: str) -> CollectionItem | None:
    """Returns the item of a stock in the newest of the market's last tasks that has it."""
    tasks = CollectionTask.objects.filter(market=market).order_by("-start_time", "-id")
    newest = list(tasks.values_list("pk", flat=True)[:NEWEST_TASKS])
    items = CollectionItem.objects.filter(task__in=newest, code=code).defer("attempt_log")
    return items.order_by("-task__start_time", "-task_id").first()


def shares_by_source(tasks: Iterable[CollectionTask]) -> dict[UUID, Shares]:
    """Returns for each task with fallbacks how many stocks and bars came from which source, largest first.

    Only the running task is counted; an ended task has stored its shares.
    """
    shares: dict[UUID, Shares] = defaultdict(dict)
    for task in tasks:
        if task.fallbacks:
            unsorted = count_shares(task.pk) if task.shares is None else task.shares
            shares[task.pk] = dict(sorted(unsorted.items(), key=lambda item: (-item[1]["stocks"], item[0])))
    return shares


def count_shares(task_id: UUID) -> Shares:
    """Counts over the task's items how many stocks and bars came from which source."""
    done = CollectionItem.objects.filter(task_id=task_id, state=ItemState.SUCCEEDED).exclude(source="")
    bars = Sum(F("rows_collected") + F("rows_corrected"))
    rows = done.values_list("source").annotate(stocks=Count("pk"), bars=bars)
    return {source: {"stocks": stocks, "bars": bars} for source, stocks, bars in rows}


class LaneCounts(NamedTuple):
    """A task's lanes; a worker runs the slice of a `busy` one."""

    all: int
    busy: int


def count_lanes(task_id: UUID) -> LaneCounts:
    """Counts the lanes of a task, by the database's clock."""
    is_busy = Q(begun=True, lease_until__gt=Now())
    lanes = CollectionLane.objects.filter(task_id=task_id)
    return LaneCounts(**lanes.aggregate(all=Count("pk"), busy=Count("pk", filter=is_busy)))


def warnings(task_id: UUID) -> list[dict[str, Any]]:
    """Returns the parameters of a task's warnings, oldest first; only failed stock lists occur repeatedly."""
    warned = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.WARNED)
    return list(warned.order_by("pk").values_list("params", flat=True))


def repeated_stock_list(task: CollectionTask) -> str:
    """Returns why the stock list that a running task is reading is requested again; "" if it is not."""
    if task.status != TaskStatus.RUNNING or task.planned_at is not None:
        return ""
    repeated = TaskEvent.objects.filter(task_id=task.pk, params__code=LIST_REPEATED).order_by("-pk")
    params = repeated.values_list("params", flat=True).first()
    return reasons.translated_warning(params) if params else ""


def error_groups(task_id: UUID) -> list[dict[str, Any]]:
    """Returns the task's failures by error code, most frequent first, each with a few codes as samples."""
    return group_errors(CollectionItem.objects.filter(task_id=task_id))


def group_errors(
    items: QuerySet[CollectionItem], ordering: Sequence[str] = ("position",)
) -> list[dict[str, Any]]:
    """Returns the failures among items, likewise; the samples are the first ones in this order."""
    failed = items.filter(state=ItemState.FAILED)
    groups = failed.values("error_code").annotate(
        message=Min("error_message"),
        count=Count("pk"),
        first_seen=Min("finished_at"),
        last_seen=Max("finished_at"),
    )
    codes = failed.order_by(*ordering).values_list("code", flat=True)
    return [
        {**group, "sample_codes": list(codes.filter(error_code=group["error_code"])[:SAMPLES])}
        for group in groups.order_by("-count", "error_code")
    ]
