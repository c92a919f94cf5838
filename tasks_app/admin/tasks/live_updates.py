"""The task page's refresh: what changed since the reader's version, at three queries while nothing did.

The queries are the session's, the user's and one that reads the task's row together with all else
that makes a version: the last event and the stocks in hand. Two more read the permissions of a reader
who is not a superuser. The heartbeat alone, which moves each second, is an answer of two hundred
bytes. What the page shows is drawn once per version, and not more than once a second, in each web
process: two hundred readers cost the drawing of one. What changes by time alone (a rate, a source's
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
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from tasks_app import lifecycle
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.tasks import grid, panels
from tasks_app.db.compiled_queries import CompiledQuery
from tasks_app.lifecycle import selectors
from tasks_app.models import CollectionItem, CollectionTask, TaskEvent
from tasks_app.models.states import ItemState, TaskStatus

FRESH_SECONDS = 1.0
TURN_SECONDS = 10
YOUNG = timedelta(minutes=1)
KEPT = 64
SLOW = ("status", "planned_at", "end_time", "error_code", "last_event")
FAST = (
    *("total_stocks", "processed_stocks", "success_count", "failed_count", "collected_count"),
    *("corrected_count", "skipped_count", "refused_count", "flagged_count", "in_hand"),
)


@dataclass(frozen=True)
class Snapshot:
    """The page's parts as drawn: name → (digest, HTML), and the stocks' cells with their digest.

    `version` and `slow` are the row's at that time, `drawn` is a monotonic clock's, `turn` see `_turn`.
    """

    version: str
    slow: tuple[Any, ...]
    drawn: float
    turn: datetime
    parts: Mapping[str, tuple[str, str]]
    cells: tuple[str, str]

    def serves(self, task: CollectionTask, version: str, slow: tuple[Any, ...]) -> bool:
        """Whether this is what the row still looks like, but for counters that moved within a second."""
        if self.version == version:
            return task.status != TaskStatus.RUNNING or self.turn == _turn()
        return self.slow == slow and time.monotonic() - self.drawn < FRESH_SECONDS

    @property
    def digest(self) -> str:
        return _digest("".join([*(digest for digest, _ in self.parts.values()), self.cells[0]]))


class Kept:
    """The last snapshots of this process, the least lately drawn thrown away."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.found: dict[tuple[Any, ...], Snapshot] = {}

    def get(self, task: CollectionTask, may: TaskPermissions) -> Snapshot:
        """The task's parts as of now, or as of at most a second ago if only counters moved since."""
        key = (task.pk, get_language(), may)
        version, slow = _version(task, may), _slow(task)
        with self.lock:
            kept = self.found.get(key)
            if kept and kept.serves(task, version, slow):
                return kept
            self.found.pop(key, None)
            self.found[key] = made = _draw(task, may, version, slow)
            while len(self.found) > KEPT:
                del self.found[next(iter(self.found))]
            return made


KEEPER = Kept()


def rows() -> QuerySet[CollectionTask]:
    """Tasks with all that makes a version of their page."""
    events = TaskEvent.objects.filter(task=OuterRef("pk")).order_by("-id")
    held = CollectionItem.objects.filter(task=OuterRef("pk"), state=ItemState.CLAIMED)
    return CollectionTask.objects.defer(*selectors.HEAVY_COLUMNS).annotate(
        last_event=Subquery(events.values("id")[:1]),
        in_hand=Subquery(held.values("task").annotate(sum=Sum("position")).values("sum")),
    )


_ROW = CompiledQuery(
    lambda task_id: rows().filter(pk=task_id),
    selectors.LIGHT_COLUMNS,
    uuid4(),
    annotations=("last_event", "in_hand"),
)


def answer(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """304 while nothing changed; else JSON: the pulse, and those parts that the reader does not have.

    `?have=head.1a2b3c,…` names the parts that the reader has. 404 for a task that is gone, 403
    without the right to look.
    """
    task = _ROW.instance(task_id)
    if task and lifecycle.abandon_if_unattended(task):
        task = _ROW.instance(task_id)
    if task is None:
        return JsonResponse({}, status=404)
    may = TaskPermissions.for_user(request.user)
    if not may.view:
        return JsonResponse({}, status=403)
    snapshot = KEEPER.get(task, may)
    etag = _etag(task, snapshot)
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified(headers={"ETag": etag})
    body = _changes(task, snapshot, set(request.GET.get("have", "").split(",")))
    return HttpResponse(_json(body), content_type="application/json", headers={"ETag": etag})


def context(task: CollectionTask, may: TaskPermissions) -> dict[str, Any]:
    """What the page itself begins with: the same parts, drawn as a refresh draws them."""
    snapshot = KEEPER.get(task, may)
    have = [f"{name}.{digest}" for name, (digest, _) in snapshot.parts.items()]
    return {
        "parts": {name: SafeString(html) for name, (_, html) in snapshot.parts.items()},
        "begin": {
            **pulse(task),
            "etag": _etag(task, snapshot),
            "cells": snapshot.cells[1],
            "have": [*have, f"cells.{snapshot.cells[0]}"],
        },
    }


def pulse(task: CollectionTask) -> dict[str, Any]:
    """What moves by itself: times in milliseconds since 1970 and the title; the browser's clock goes on."""
    return {
        "now": _milliseconds(timezone.now()),
        "heartbeat": _milliseconds(task.heartbeat_at),
        "began": _milliseconds(task.start_time),
        "planned": task.planned_at is not None or task.end_time is not None,
        "final": task.status != TaskStatus.RUNNING,
        "said": panels.sentence(task),
        "title": panels.title(task),
    }


def _changes(task: CollectionTask, snapshot: Snapshot, have: set[str]) -> dict[str, Any]:
    parts = {name: part for name, part in snapshot.parts.items() if f"{name}.{part[0]}" not in have}
    body: dict[str, Any] = {**pulse(task), "parts": parts}
    if f"cells.{snapshot.cells[0]}" not in have:
        body["cells"] = snapshot.cells
    return body


def _etag(task: CollectionTask, snapshot: Snapshot) -> str:
    return f'"{snapshot.digest}-{_milliseconds(task.heartbeat_at):x}"'


def _draw(task: CollectionTask, may: TaskPermissions, version: str, slow: tuple[Any, ...]) -> Snapshot:
    turn = _turn()
    young = task.planned_at is None or turn - task.planned_at < YOUNG
    about = panels.about(task, may, timezone.now() if young else turn)
    drawn = {
        name: render_to_string(f"admin/tasks_app/live/{name}.html", about).strip() for name in panels.PARTS
    }
    runs = grid.cells(task.pk)
    parts = {name: (_digest(html), html) for name, html in drawn.items()}
    return Snapshot(version, slow, time.monotonic(), turn, parts, (_digest(runs), runs))


def _turn() -> datetime:
    """The last full ten seconds: all web processes draw alike within them, as long as no counter moves."""
    return datetime.fromtimestamp(int(time.time()) // TURN_SECONDS * TURN_SECONDS, UTC)


def _slow(task: CollectionTask) -> tuple[Any, ...]:
    """What must show at once."""
    return (*(getattr(task, name) for name in SLOW), selectors.is_unattended(task))


def _version(task: CollectionTask, may: TaskPermissions) -> str:
    fast = tuple(getattr(task, name) for name in FAST)
    return _digest(repr((_slow(task), fast, may, get_language())))


def _digest(text: str) -> str:
    return blake2s(text.encode(), digest_size=6).hexdigest()


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
