"""Checks of sources that users ask for on a page: one function per verb. A job of the queue makes them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.db import sqlite_priority
from tasks_app.db.functions import Clock
from tasks_app.models import SourceCheck
from tasks_app.queue import dispatch

QUEUED_SECONDS = 600.0  # that a check waits for a worker at most
OVER = Q(ended_at__isnull=False) | Q(alive_until__lte=Clock())


class StaleCheck(Exception):
    """The check has ended, or a later one was asked for."""


def start(source: str, market: str, user_name: str, language: str) -> SourceCheck:
    """Queues a check of an available source. Raises `SourceCheckRunning` while another one runs or waits."""
    values = {
        "market": market,
        "language": language,
        "user_name": user_name,
        "at": Now(),
        "alive_until": Clock() + timedelta(seconds=QUEUED_SECONDS),
    }
    with sqlite_priority.interactive_write(), transaction.atomic():
        row, is_new = SourceCheck.objects.get_or_create(pk=source, defaults=values)
        if not is_new:
            changes = {**values, "began_at": None, "ended_at": None, "results": []}
            changes["generation"] = F("generation") + 1
            if not SourceCheck.objects.filter(OVER, pk=source).update(**changes):
                raise errors.SourceCheckRunning
        row.refresh_from_db()
        dispatch.queue_source_check(source, row.generation)
    return row


def record(source: str, market: str, results: Sequence[Mapping[str, Any]], language: str) -> None:
    """Stores a check that a command made, in place of the last one unless that runs or waits."""
    now = dict.fromkeys(("at", "began_at", "ended_at", "alive_until"), Now())
    values = {"market": market, "language": language, "user_name": "manage.py", "results": list(results)}
    with sqlite_priority.interactive_write(), transaction.atomic():
        row, is_new = SourceCheck.objects.get_or_create(pk=source, defaults={**now, **values})
        if not is_new:
            changes = {**now, **values, "generation": F("generation") + 1}
            SourceCheck.objects.filter(OVER, pk=row.pk).update(**changes)


def begin(source: str, generation: int, seconds: float) -> SourceCheck | None:
    """Takes a queued check for so many seconds; None if it was taken before, or is not the newest."""
    waiting = SourceCheck.objects.filter(pk=source, generation=generation, began_at__isnull=True)
    if not waiting.update(began_at=Now(), alive_until=Clock() + timedelta(seconds=seconds)):
        return None
    return SourceCheck.objects.get(pk=source)


def add_result(check: SourceCheck, result: Mapping[str, Any], seconds: float) -> None:
    """Adds the result of one request, and so many seconds for the next one. Raises `StaleCheck`."""
    check.results.append(dict(result))
    _update(check, results=check.results, alive_until=Clock() + timedelta(seconds=seconds))


def end(check: SourceCheck) -> None:
    """Ends the check. Raises `StaleCheck`."""
    _update(check, ended_at=Now())


def _update(check: SourceCheck, **values: Any) -> None:
    running = SourceCheck.objects.filter(pk=check.pk, generation=check.generation, ended_at__isnull=True)
    if not running.update(**values):
        raise StaleCheck
