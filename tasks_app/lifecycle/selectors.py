"""Reads: tasks, their state as the API and the terminal tell it, failures, errors by kind."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import Count, F, Max, Min, QuerySet, Sum, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from tasks_app import errors
from tasks_app.db.compiled_queries import Prepared
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.models.tasks import ItemState, TaskStatus
from tasks_app.throttle import status

Shares = dict[str, dict[str, int]]
DETAILS = 100
SAMPLES = 5
HEAVY = ("stock_codes", "unknown_codes")  # up to ten thousand codes each, and seldom looked at
_LIGHT = [field.attname for field in CollectionTask._meta.concrete_fields if field.name not in HEAVY]
_BY_ID = Prepared(lambda key: CollectionTask.objects.filter(pk=key), _LIGHT, uuid4())
_BY_STATUS = Prepared(lambda key: CollectionTask.objects.filter(status=key), _LIGHT, TaskStatus.RUNNING.value)


def get(task_id: UUID) -> CollectionTask:
    """The task, its lists of codes deferred. Raises `TaskNotFound`."""
    if (task := _BY_ID.instance(task_id)) is None:
        raise errors.TaskNotFound(task_id=task_id)
    return task


def current() -> CollectionTask | None:
    """The one running task, its lists of codes deferred."""
    return _BY_STATUS.instance(TaskStatus.RUNNING.value)


def current_answer(task: CollectionTask | None) -> dict[str, Any]:
    """What runs now, in the contract's three keys."""
    told = task and {"task_id": str(task.pk), "status": task.status, "start_time": task.start_time}
    return {"current_task": told}


def is_unattended(task: CollectionTask) -> bool:
    """A running task that no worker has given a sign of for too long. For display: by this host's clock."""
    if task.status != TaskStatus.RUNNING:
        return False
    silence = timezone.now() - task.heartbeat_at
    return bool(silence.total_seconds() > settings.COLLECTOR.no_worker_after)


def failed_details(tasks: Iterable[CollectionTask]) -> dict[UUID, list[str]]:
    """The first 100 failures of each task as "code: reason", in two queries at most, however many tasks."""
    failing = [task.pk for task in tasks if task.failed_count]
    details: dict[UUID, list[str]] = defaultdict(list)
    if not failing:
        return details
    items = CollectionItem.objects.filter(task_id__in=failing, state=ItemState.FAILED)
    if len(failing) == 1:  # a database before PostgreSQL 15 would number all its failures
        first = items.order_by("position")[:DETAILS]
    else:
        nth = Window(RowNumber(), partition_by="task_id", order_by="position")
        first = items.annotate(nth=nth).filter(nth__lte=DETAILS).order_by("task_id", "position")
    for task_id, code, message in first.values_list("task_id", "code", "error_message"):
        details[task_id].append(f"{code}: {message}")
    return details


def answered_by(tasks: Iterable[CollectionTask]) -> dict[UUID, Shares]:
    """Of each task that has more than one source: how many stocks and bars came from which.

    Counted of the one that runs; those that have ended carry it.
    """
    shares: dict[UUID, Shares] = defaultdict(dict)
    for task in tasks:
        if task.fallbacks:
            found = shares_of(task.pk) if task.shares is None else task.shares
            shares[task.pk] = dict(sorted(found.items(), key=lambda share: (-share[1]["stocks"], share[0])))
    return shares


def shares_of(task_id: UUID) -> Shares:
    """How many stocks and bars of a task came from which source, counted over its items."""
    done = CollectionItem.objects.filter(task_id=task_id, state=ItemState.SUCCEEDED).exclude(source="")
    bars = Sum(F("rows_collected") + F("rows_corrected"))
    counted = done.values_list("source").annotate(stocks=Count("pk"), bars=bars)
    return {source: {"stocks": stocks, "bars": bars} for source, stocks, bars in counted}


def _pause(task: CollectionTask) -> dict[str, Any]:
    """Until when a running task's source takes no requests, and why; nulls when it does."""
    gate = status.status_of(task.source) if task.status == TaskStatus.RUNNING else None
    if gate is None or not gate.shut:
        return {"source_paused_until": None, "source_message": None}
    return {"source_paused_until": gate.paused_until, "source_message": gate.reason}


def status_of(
    task: CollectionTask, details: list[str], shares: Mapping[str, dict[str, int]] | None = None
) -> dict[str, Any]:
    """A task as the contract's status answer, plus keys of ours."""
    return {
        "task_id": str(task.pk),
        "status": task.status,
        "progress": task.progress,
        "total_stocks": task.total_stocks,
        "processed_stocks": task.processed_stocks,
        "success_count": task.success_count,
        "failed_count": task.failed_count,
        "collected_count": task.collected_count,
        "skipped_count": task.skipped_count,
        "start_time": task.start_time,
        "end_time": task.end_time,
        "error_message": task.error_message,
        "failed_details": details,
        "corrected_count": task.corrected_count,
        "refused_count": task.refused_count,
        "flagged_count": task.flagged_count,
        "error_code": task.error_code,
        "market": task.market,
        "source": task.source,
        "adjust": task.adjust,
        "start_date": task.start_date,
        "end_date": task.end_date,
        "test_mode": task.test_mode,
        "full_collection_mode": task.full_collection_mode,
        "force_update": task.force_update,
        "heartbeat_at": task.heartbeat_at,
        "unattended": is_unattended(task),
        **_pause(task),
        "fallbacks": task.fallbacks,
        "sources": dict(shares or {}),
        "retry_of": str(task.retry_of_id) if task.retry_of_id else None,
    }


def outline(task: CollectionTask) -> dict[str, Any]:
    """The status answer without what costs queries of its own.

    What is left out changes only together with the counters, so an equal outline is an equal answer.
    """
    return status_of(task, [])


def complete(outline: dict[str, Any], task: CollectionTask) -> dict[str, Any]:
    """The whole answer of an outline."""
    details, shares = failed_details([task])[task.pk], answered_by([task])[task.pk]
    return outline | {"failed_details": details, "sources": dict(shares)}


def statuses(tasks: Iterable[CollectionTask]) -> list[dict[str, Any]]:
    """`status_of` for many tasks, without a query for each."""
    tasks = list(tasks)
    details, shares = failed_details(tasks), answered_by(tasks)
    return [status_of(task, details[task.pk], shares[task.pk]) for task in tasks]


def error_groups(task_id: UUID) -> list[dict[str, Any]]:
    """The task's failures by code, most frequent first, with a few codes as samples."""
    failed = CollectionItem.objects.filter(task_id=task_id, state=ItemState.FAILED)
    groups = failed.values("error_code").annotate(
        message=Min("error_message"),
        count=Count("pk"),
        first_seen=Min("finished_at"),
        last_seen=Max("finished_at"),
    )
    return [
        {**group, "sample_codes": _samples(failed, group["error_code"])}
        for group in groups.order_by("-count", "error_code")
    ]


def _samples(failed: QuerySet[CollectionItem], error_code: str) -> list[str]:
    codes = failed.filter(error_code=error_code).order_by("position").values_list("code", flat=True)
    return list(codes[:SAMPLES])
