"""The refresh of the task page: which parts changed since the reader's version, at little cost.

A refresh reads the session, the user, and one row with everything that makes a version: the task, its last
event and its stocks in flight; two more queries read the permissions of a reader who is not a superuser.
The heartbeat alone, which moves every second, is a response of two hundred bytes. Each web process renders
a version once for all readers, and at most once a second. What changes with time alone (a rate, a source's
pause, a lost lane) shows within ten seconds.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from tasks_app import lifecycle
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.tasks import grid, panels
from tasks_app.db.compiled_queries import CompiledQuery
from tasks_app.http.conditional import conditional_response, etag_for
from tasks_app.lifecycle import chains, selectors
from tasks_app.models import CollectionItem, CollectionTask, TaskEvent
from tasks_app.models.states import ItemState, TaskStatus

MIN_RENDER_INTERVAL = 1.0  # seconds
BUCKET_SECONDS = 10
EXACT_TIME_FOR = timedelta(minutes=1)  # after the plan; later, times are rounded down to the bucket
MAX_SNAPSHOTS = 64
IMMEDIATE_FIELDS = ("status", "planned_at", "end_time", "error_code", "last_event")
COUNTER_FIELDS = (
    *("total_stocks", "processed_stocks", "success_count", "failed_count", "collected_count"),
    *("corrected_count", "skipped_count", "refused_count", "flagged_count", "in_flight"),
)


@dataclass(frozen=True)
class Snapshot:
    """The rendered parts of a page: name → (digest, HTML), and the encoded states of its stocks.

    `version` and `immediate` describe the row that was rendered; `rendered_at` is in monotonic seconds.
    """

    version: str
    immediate: tuple[Any, ...]
    rendered_at: float
    time_bucket: datetime
    parts: Mapping[str, tuple[str, str]]
    cells: tuple[str, str]

    def is_current(self, task: CollectionTask, version: str, immediate: tuple[Any, ...]) -> bool:
        """Whether it still shows the row, apart from counters that moved within the last second."""
        if self.version == version:
            return task.status != TaskStatus.RUNNING or self.time_bucket == _time_bucket()
        return self.immediate == immediate and time.monotonic() - self.rendered_at < MIN_RENDER_INTERVAL

    def etag(self, task: CollectionTask) -> str:
        digests = [digest for digest, _ in (*self.parts.values(), self.cells)]
        return etag_for(repr((digests, task.heartbeat_at)))


class SnapshotCache:
    """The snapshots of this process; the one rendered longest ago is dropped first."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.snapshots: dict[tuple[Any, ...], Snapshot] = {}

    def get(self, task: CollectionTask, may: TaskPermissions) -> Snapshot:
        """Returns the task's parts as of now, or up to a second old if only counters moved since."""
        key = (task.pk, get_language(), get_current_timezone_name(), may)
        immediate = (*(getattr(task, name) for name in IMMEDIATE_FIELDS), selectors.is_unattended(task))
        counters = *(getattr(task, name) for name in COUNTER_FIELDS), chains.chains_of([task]).get(task.pk)
        version = _digest(repr((immediate, counters, may, get_language(), get_current_timezone_name())))
        with self.lock:
            snapshot = self.snapshots.get(key)
            if snapshot is None or not snapshot.is_current(task, version, immediate):
                self.snapshots.pop(key, None)
                snapshot = self.snapshots[key] = _render_snapshot(task, may, version, immediate)
                while len(self.snapshots) > MAX_SNAPSHOTS:
                    del self.snapshots[next(iter(self.snapshots))]
            return snapshot


snapshots = SnapshotCache()


def page_tasks() -> QuerySet[CollectionTask]:
    """Returns tasks with everything that makes a version of their page."""
    events = TaskEvent.objects.filter(task=OuterRef("pk")).order_by("-id")
    claimed = CollectionItem.objects.filter(task=OuterRef("pk"), state=ItemState.CLAIMED)
    return CollectionTask.objects.defer(*selectors.HEAVY_COLUMNS).annotate(
        last_event=Subquery(events.values("id")[:1]),
        in_flight=Subquery(claimed.values("task").annotate(sum=Sum("position")).values("sum")),
    )


_TASK_QUERY = CompiledQuery(
    lambda task_id: page_tasks().filter(pk=task_id),
    selectors.LIGHT_COLUMNS,
    uuid4(),
    annotations=("last_event", "in_flight"),
)


def respond(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Returns 304 while nothing changed; else JSON with the live fields and the parts that the reader lacks.

    `?have=head.1a2b3c,…` names the parts that the reader has. 404 for a deleted task, 403 without the
    permission to view tasks.
    """
    task = _TASK_QUERY.instance(task_id)
    if task and lifecycle.abandon_if_unattended(task):
        task = _TASK_QUERY.instance(task_id)
    if task is None:
        return JsonResponse({}, status=404)
    may = TaskPermissions.for_user(request.user)
    if not may.view:
        return JsonResponse({}, status=403)
    snapshot = snapshots.get(task, may)

    def build() -> HttpResponse:
        have = set(request.GET.get("have", "").split(","))
        parts = {name: part for name, part in snapshot.parts.items() if f"{name}.{part[0]}" not in have}
        body: dict[str, Any] = {**live_fields(task), "parts": parts}
        if f"cells.{snapshot.cells[0]}" not in have:
            body["cells"] = snapshot.cells
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return HttpResponse(text, content_type="application/json")

    return conditional_response(request, snapshot.etag(task), build)


def build_parts_context(task: CollectionTask, may: TaskPermissions) -> dict[str, Any]:
    """Returns what the page begins with: the same parts, rendered as for a refresh."""
    snapshot = snapshots.get(task, may)
    have = [f"{name}.{digest}" for name, (digest, _) in snapshot.parts.items()]
    return {
        "parts": {name: SafeString(html) for name, (_, html) in snapshot.parts.items()},
        "begin": {
            **live_fields(task),
            "etag": snapshot.etag(task),
            "cells": snapshot.cells[1],
            "have": [*have, f"cells.{snapshot.cells[0]}"],
        },
    }


def live_fields(task: CollectionTask) -> dict[str, Any]:
    """Returns what moves by itself: times in milliseconds since 1970, from which the browser counts on.

    The page of a task that yielded is final once its chain has ended.
    """
    chain = chains.chains_of([task]).get(task.pk) if task.has_yielded else None
    return {
        "now": _milliseconds(timezone.now()),
        "heartbeat": _milliseconds(task.heartbeat_at),
        "began": _milliseconds(task.start_time),
        "planned": task.planned_at is not None or task.end_time is not None,
        "final": task.status != TaskStatus.RUNNING and not (chain and chain.goes_on),
        "said": panels.progress_sentence(task),
        "title": panels.page_title(task),
    }


def _render_snapshot(
    task: CollectionTask, may: TaskPermissions, version: str, immediate: tuple[Any, ...]
) -> Snapshot:
    bucket = _time_bucket()
    is_young = task.planned_at is None or bucket - task.planned_at < EXACT_TIME_FOR
    context = panels.build_panels_context(task, may, timezone.now() if is_young else bucket)
    parts = {}
    for name in panels.PARTS:
        html = render_to_string(f"admin/tasks_app/live/{name}.html", context).strip()
        parts[name] = (_digest(html), html)
    states = grid.encode_states(task.pk)
    return Snapshot(version, immediate, time.monotonic(), bucket, parts, (_digest(states), states))


def _time_bucket() -> datetime:
    """Returns the last full ten seconds: within them all web processes render alike while counters rest."""
    return datetime.fromtimestamp(int(time.time()) // BUCKET_SECONDS * BUCKET_SECONDS, UTC)


def _digest(text: str) -> str:
    return blake2s(text.encode(), digest_size=6).hexdigest()


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
