"""The slot of the one running task: locked to start a task, or to do what no task may run beside.

A plan's row is locked before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import transaction

from tasks_app import errors, time_zones
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle.claims import RUNNING
from tasks_app.lifecycle.recovery import rescue
from tasks_app.models import CollectionPlan, CollectionTask, DataImport, ExecutionSlot


@contextmanager
def locked_plan(plan_id: int | None) -> Iterator[None]:
    """Opens a transaction that locks a plan's row: until it ends, its runs change nowhere else."""
    with transaction.atomic():
        list(CollectionPlan.objects.select_for_update(no_key=True).filter(pk=plan_id or 0).values_list("pk"))
        yield


@contextmanager
def locked_slot() -> Iterator[ExecutionSlot]:
    """Opens a transaction that locks the slot: until it ends, no task is started."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        yield ExecutionSlot.objects.select_for_update().get_or_create(pk=1)[0]


def require_no_import() -> None:
    """Raises `ImportUnfinished` while files of an import are missing, also after it was interrupted.

    The caller holds the lock of the slot, under which imports begin and write each file.
    """
    if unfinished := DataImport.objects.filter(ended_at__isnull=True).first():
        raise errors.ImportUnfinished(folder=unfinished.folder, at=time_zones.write(unfinished.at))


def require_free_slot() -> None:
    """Raises `TaskAlreadyRunning`, unless the running task turns out to be done or abandoned.

    The caller holds the lock of the slot, so that the answer stays true until its transaction ends.
    """
    running = CollectionTask.objects.filter(status=RUNNING)
    found = list(running.values_list("pk", flat=True))
    for task_id in found:
        with suppress(errors.StaleClaim):  # it has just ended by itself
            rescue(task_id)
    if found and (still_running := running.first()):
        error = errors.TaskIsPaused if still_running.paused_at else errors.TaskAlreadyRunning
        raise error(task_id=still_running.pk)
