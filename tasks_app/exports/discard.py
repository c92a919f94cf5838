"""Discards an import that can't go on, because its folder is lost: deletes what it has imported.

An import begins with an empty database, imports what is known of a series before its bars, and no task runs
until it has ended. So what an interrupted one leaves is of no use: a series would count days as answered of
which the bars are missing, and they would never be requested. All rows of the tables that an import fills are
deleted; what was stored by hand meanwhile (a plan, a correction of the calendar) goes, too.
"""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models import Max, Model
from django.db.models.functions import Now

from tasks_app.exports import restore, tables
from tasks_app.exports.errors import NothingToDiscard
from tasks_app.exports.restore import Progress
from tasks_app.history import retention
from tasks_app.lifecycle.slot import locked_slot
from tasks_app.models import BarVersion, Change, DailyBar, DataImport, MarketDay, RowVersion
from tasks_app.quotes import coverage

DISCARDING = "discarding"
BATCH = 5_000


def find() -> DataImport:
    """Returns the import that is unfinished, or is being discarded. Raises `NothingToDiscard`."""
    record = DataImport.objects.filter(ended_at__isnull=True).first()
    if record is None:
        raise NothingToDiscard
    return record


def count_rows() -> dict[str, int]:
    """Returns how many rows would be deleted, by the names of the tables that have any."""
    counts = {str(model._meta.verbose_name_plural): _rows(model).count() for model in _models()}
    return {name: count for name, count in counts.items() if count}


def discard() -> Iterator[Progress]:
    """Deletes the rows batch by batch, each in a short transaction; yields after each, and at the end.

    Interrupted, it goes on when it is called again. From its first batch on the import can't be continued.
    Changes before the end are forgotten, as they tell of rows that are no part of the history. Raises
    `NothingToDiscard`.
    """
    with locked_slot():
        record = find()
        DataImport.objects.filter(pk=record.pk).update(is_discarded=True)
    models, deleted = _models(), 0
    for done, model in enumerate(models):
        while count := _delete_batch(model):
            deleted += count
            yield Progress(DISCARDING, done, len(models), deleted)
    while retention.forget_all():
        yield Progress(DISCARDING, len(models), len(models), deleted)
    with locked_slot():
        for model, seed in restore.SEEDS.items():
            model._default_manager.get_or_create(**seed)
        DataImport.objects.filter(pk=record.pk).update(ended_at=Now())
    coverage.forget_cached()
    yield Progress(restore.ENDED, len(models), len(models), deleted)


def _models() -> list[type[Model]]:
    """Returns the tables in an order in which no row is deleted before one that refers to it."""
    return [MarketDay, DailyBar, *(table.model for table in reversed(tables.EXPORTED))]


def _rows(model: type[Model]) -> Any:
    rows = model._default_manager.all()
    return rows.exclude(**restore.SEEDS[model]) if model in restore.SEEDS else rows


def _delete_batch(model: type[Model]) -> int:
    """Deletes up to a batch of rows, without keeping what they were; returns how many."""
    with transaction.atomic():
        last = Change.objects.aggregate(last=Max("pk"))["last"] or 0
        keys = list(_rows(model).order_by("pk").values_list("pk", flat=True)[:BATCH])
        for first in range(0, len(keys), 500):
            model._default_manager.filter(pk__in=keys[first : first + 500]).delete()
        for version in (BarVersion, RowVersion):
            version.objects.filter(cause__gt=last).delete()
    return len(keys)
