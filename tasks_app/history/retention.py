"""Forgets old changes, and with them what was stored before them: from then on no earlier moment is read."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.models import BarVersion, Change, RowVersion

BATCH = 1000  # changes; a larger batch would make others wait


def expired(days: int) -> QuerySet[Change]:
    """Returns the changes older than `days` days but for the last of them, the oldest first."""
    last = Change.objects.filter(at__lt=Now() - timedelta(days=days)).aggregate(last=Max("number"))["last"]
    return Change.objects.filter(number__lt=last or 0).order_by("number")


def prune(days: int, batch: int = BATCH) -> int:
    """Deletes up to `batch` of the changes older than `days` days, the oldest first; returns how many.

    The last of them stays: it is the first moment that can be read. 0 days: every change is kept.
    """
    return _forget(expired(days), batch) if days else 0


def forget_all(batch: int = BATCH) -> int:
    """Deletes up to `batch` of all changes but for the last, the oldest first; returns how many."""
    last = Change.objects.aggregate(last=Max("number"))["last"]
    return _forget(Change.objects.filter(number__lt=last or 0).order_by("number"), batch)


def _forget(changes: QuerySet[Change], batch: int) -> int:
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        keys = list(changes.values_list("pk", flat=True)[:batch])
        for model in (BarVersion, RowVersion):
            model.objects.filter(cause__in=keys).delete()
        return Change.objects.filter(pk__in=keys).delete()[0] if keys else 0
