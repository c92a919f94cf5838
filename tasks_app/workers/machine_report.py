"""Tells the database what this worker machine runs, and how far off its clock is."""

import logging
import socket
from collections.abc import Sequence
from datetime import timedelta

from django.db import Error
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.db.functions import clock_offset
from tasks_app.diagnostics import versions
from tasks_app.models import WorkerMachine
from tasks_app.workers.process_state import ProcessState

KEPT = timedelta(days=1)  # of a machine that is gone
logger = logging.getLogger("tasks_app.worker")


def store(supervisor: int, workers: Sequence[ProcessState]) -> None:
    """Stores the row of this machine, and deletes those of machines that are gone.

    Without a database it stores nothing, and says so in the log: the watchdog's next round tells more.
    """
    try:
        sqlite_priority.yield_to_interactive()
        told = {"workers": len(workers), "versions": versions.versions(), "clock_offset": clock_offset()}
        machine = {"host": socket.gethostname(), "pid": supervisor}
        if not WorkerMachine.objects.filter(**machine).update(seen_at=Now(), **told):
            WorkerMachine.objects.create(**machine, **told, seen_at=Now())
        WorkerMachine.objects.filter(seen_at__lt=Now() - KEPT).delete()
    except Error as error:
        logger.warning("the machine is not reported: %s", str(error).partition("\n")[0])
