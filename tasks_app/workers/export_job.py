"""A slice of an export, as django-q2 runs it."""

import logging

from django.conf import settings

from tasks_app.exports import jobs
from tasks_app.exports.errors import ExportError, FolderBusy
from tasks_app.exports.jobs import StaleExport
from tasks_app.workers import job_time

ALIVE_SECONDS = 60.0  # more than any step takes
logger = logging.getLogger("tasks_app.worker")


def run(export_id: int, generation: int) -> None:
    """Works on an export for COLLECTOR_SLICE_SECONDS, and queues the next slice unless it has ended."""
    if (export := jobs.begin(export_id, generation)) is None:
        return
    try:
        jobs.require_same_folder(export)
        worker = jobs.Worker(export, lambda: job_time.extend(ALIVE_SECONDS))
        if worker.work(settings.COLLECTOR.slice_seconds):
            jobs.complete(export, worker.run)
        else:
            jobs.go_on_later(export)
    except StaleExport:
        logger.info("export %d goes on elsewhere, or was cancelled", export_id)
    except FolderBusy:  # a worker that was believed lost still writes: the watchdog tries again later
        logger.warning("export %d waits: another process writes into %s", export_id, export.folder)
    except ExportError as error:
        jobs.fail(export, error)
