"""Forgets old changes, and with them what was stored before them: from then on no earlier moment is read."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.models import BarVersion, Change, RowVersion

BATCH = 1000  # changes; a larger batch would make others wait


def prune(days: int, batch: int = BATCH) -> int:
    """Deletes up to `batch` of the changes older than `days` days, the oldest first; returns how many.

    The last of them stays: it is the first moment that can be read. 0 days: every change is kept.
    """
    if not days:
        return 0
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        old = Change.objects.filter(at__lt=Now() - timedelta(days=days))
        first = old.aggregate(last=Max("number"))["last"]
        if first is None:
            return 0
        rows = Change.objects.filter(number__lt=first).order_by("number")
        keys = list(rows.values_list("pk", flat=True)[:batch])
        for model in (BarVersion, RowVersion):
            model.objects.filter(cause__in=keys).delete()
        return Change.objects.filter(pk__in=keys).delete()[0] if keys else 0
