"""Deletes what a source stored, batch by batch, while no task runs; each deletion is recorded."""

from collections.abc import Iterator

from django.db.models import F
from django.db.models.functions import Now

from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.slot import locked_slot, require_free_slot
from tasks_app.models import DataDeletion
from tasks_app.quotes import coverage, deletion
from tasks_app.quotes.deletion import Deleted, Selection


def delete_source_data(selection: Selection, actor: Actor) -> Iterator[DataDeletion]:
    """Deletes the selection; yields the record of it after each batch, which is one short transaction.

    A caller may stop after any batch: what is deleted is recorded, and the next deletion goes on. Raises
    `TaskAlreadyRunning` while a task runs. None is started during a batch, but one may be between two.
    """
    with locked_slot():
        require_free_slot()
        record = DataDeletion.objects.create(
            source=selection.source,
            market=selection.market,
            first_day=selection.first,
            last_day=selection.last,
            user=actor.user,
            user_name=actor.name,
            channel=actor.channel,
        )
    after: int | None = 0
    while after is not None:
        with locked_slot():
            require_free_slot()
            after, deleted = _delete_bars(selection, after)
            _add(record, deleted)
        yield record
    for delete in (
        deletion.delete_raw_answers,
        deletion.delete_records,
        deletion.delete_adjustments,
        deletion.delete_lists,
    ):
        while True:
            with locked_slot():
                require_free_slot()
                deleted = delete(selection)
                _add(record, deleted)
            yield record
            if not any(deleted):
                break
    DataDeletion.objects.filter(pk=record.pk).update(ended_at=Now())
    record.refresh_from_db()
    coverage.forget_cached()
    yield record


def _delete_bars(selection: Selection, after: int) -> tuple[int | None, Deleted]:
    """Deletes a batch of bars from the series that follow; returns the last one's id, None after all."""
    rows = deletion.next_series(selection, after)
    total = Deleted()
    for pk, deleted in deletion.delete_from_series(selection, rows):
        total = Deleted(*map(sum, zip(total, deleted, strict=True)))
        if total.bars >= deletion.BATCH:
            return pk, total
    return rows[-1].pk if rows else None, total


def _add(record: DataDeletion, deleted: Deleted) -> None:
    if any(deleted):
        counts = {name: F(name) + count for name, count in deleted._asdict().items()}
        DataDeletion.objects.filter(pk=record.pk).update(**counts)
        record.refresh_from_db()
