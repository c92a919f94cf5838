"""The watchdog: brings every running task forward, whatever was lost, and starts the plans that are due.

It runs in a process of its own on each worker machine. As a schedule of django-q2's it would end with the
workers that it watches.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence

from django.conf import settings
from django.db import Error, connections
from django_q.scheduler import scheduler

from tasks_app import lifecycle
from tasks_app.db import disk_reserve
from tasks_app.errors import StaleClaim
from tasks_app.lifecycle import retention, selectors
from tasks_app.models import CollectionTask
from tasks_app.queue import dispatch
from tasks_app.workers import cluster_status, plan_scheduler, shutdown
from tasks_app.workers.process_state import ProcessState

logger = logging.getLogger("tasks_app.worker")
PRUNE_INTERVAL = 3600.0  # seconds between two looks for old tasks when there are none
SCHEDULE_INTERVAL = 30.0  # seconds; as in django-q2's own cluster
ROUND_SECONDS = 300.0  # a round that takes longer hangs
LONGEST_GAP = 10.0  # seconds between two rounds that count as silence
DATABASE_DOWN = "the database does not answer"
_next_prune = 0.0  # by this process's own clock


def run(state: ProcessState, workers: Sequence[ProcessState]) -> None:
    """Makes rounds until a stop is requested, and publishes that the workers live."""
    shutdown.install_handlers()
    supervisor = os.getppid()
    publish = cluster_status.publish_forever
    threading.Thread(target=publish, args=(supervisor, workers), daemon=True).start()
    loop = WatchdogLoop()
    next_schedule = 0.0
    while not shutdown.is_requested() and os.getppid() == supervisor:
        state.expect_sign_within(ROUND_SECONDS)
        loop.run_round()
        if not loop.problem and time.monotonic() >= next_schedule:
            scheduler()
            next_schedule = time.monotonic() + SCHEDULE_INTERVAL
        shutdown.wait(settings.COLLECTOR.watchdog_interval)


class WatchdogLoop:
    """Calls `tick`, survives whatever it raises, and logs what changed: rounds come every two seconds."""

    problem = ""

    def run_round(self) -> None:
        try:
            tick()
        except Error as error:
            if self._is_new(DATABASE_DOWN):
                logger.warning("waiting for the database: %s", str(error).partition("\n")[0])
            connections.close_all()
        except Exception as error:
            if self._is_new(repr(error)):
                logger.exception("the watchdog failed, going on")
        else:
            self._is_new("")

    def _is_new(self, problem: str) -> bool:
        before, self.problem = self.problem, problem
        if before == DATABASE_DOWN != problem:
            logger.info("the database is back")
        return problem != before


def tick() -> None:
    """One round. Raises `django.db.Error` when the database is unavailable."""
    _rescue()
    plan_scheduler.start_due()
    _prune()
    disk_reserve.reserve()  # last: nothing waits for the disk


class SilenceTimer:
    """For how long this process has seen no sign of work on the running task."""

    def __init__(self) -> None:
        self._sign: object = None
        self._looked = self._seconds = 0.0

    def seconds(self, task: CollectionTask) -> float:
        """Call it in each round: of a longer gap, as without a database, little counts."""
        now, sign = time.monotonic(), (task.pk, task.heartbeat_at)
        passed = min(now - self._looked, LONGEST_GAP)
        self._seconds = self._seconds + passed if sign == self._sign else 0.0
        self._looked, self._sign = now, sign
        return self._seconds


silence = SilenceTimer()


def _rescue() -> None:
    """Rescues the running task, if there is one."""
    task = selectors.get_running_task()
    if task is None:
        return
    try:
        lifecycle.rescue(task.pk, silence.seconds(task))
    except StaleClaim:
        logger.debug("task %s ended by itself", task.pk)


def _prune() -> None:
    """Deletes a batch of old rows, if any. Raises `django.db.Error` when the database is unavailable."""
    global _next_prune
    if time.monotonic() < _next_prune:
        return
    days = settings.COLLECTOR.retention_days
    deleted = retention.prune(days)
    if deleted.tasks:
        logger.info("a task that ended more than %d days ago was pruned", days)
    if not (deleted.total or dispatch.prune_failures()):
        _next_prune = time.monotonic() + PRUNE_INTERVAL
