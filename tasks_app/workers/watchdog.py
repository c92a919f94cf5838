"""The watchdog: rescues the running task, starts due plans and prunes old tasks.

It runs in a separate process on each worker machine. As a schedule of django-q2 it would end with the
workers that it watches.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connections
from django_q.scheduler import scheduler

from tasks_app import lifecycle
from tasks_app.db import disk_reserve
from tasks_app.diagnostics.versions import code_digest
from tasks_app.errors import StaleClaim
from tasks_app.exports import jobs as exports
from tasks_app.history import retention as versions
from tasks_app.lifecycle import audit, order_queue, retention, selectors
from tasks_app.models import CollectionTask
from tasks_app.models.priorities import Priority
from tasks_app.notices import retention as notices
from tasks_app.queue import dispatch
from tasks_app.quotes import sealed_days
from tasks_app.targets import judgement
from tasks_app.throttle import history
from tasks_app.workers import cluster_status, machine_report, notice_rounds, plan_scheduler, shutdown
from tasks_app.workers.loss_reports import Loss, LossReports
from tasks_app.workers.process_state import ProcessState

logger = logging.getLogger("tasks_app.worker")
RAW_PRUNE_INTERVAL = 10.0  # a running collection adds raw answers all the time
PRUNE_INTERVAL = 3600.0  # seconds until old tasks are looked for again after none was found
SCHEDULE_INTERVAL = 30.0  # seconds; as in django-q2's own cluster
ROUND_SECONDS = 300.0  # a longer round counts as hung
LONGEST_GAP = 10.0  # seconds: of a longer gap between two rounds, no more counts as silence
SEALING_SECONDS = 1.0  # of a round at most, while days are to be looked at
DATABASE_DOWN = "the database does not answer"
_next_prune = _next_raw_prune = 0.0  # by this process's own clock


def run(state: ProcessState, workers: Sequence[ProcessState], reports: LossReports) -> None:
    """Runs rounds until a stop is requested, and publishes the status of the workers meanwhile.

    The death of a worker begins the next round at once.
    """
    shutdown.install_handlers()
    supervisor = os.getppid()
    code_digest()  # of what this process runs: later the files may be those of an update
    publish = cluster_status.publish_forever
    threading.Thread(target=publish, args=(supervisor, workers), daemon=True).start()
    loop = WatchdogLoop()
    next_schedule = 0.0
    while not shutdown.is_requested() and os.getppid() == supervisor:
        state.extend_deadline(ROUND_SECONDS)
        loop.run_round()
        if not loop.problem and time.monotonic() >= next_schedule:
            scheduler()
            machine_report.store(supervisor, workers)
            next_schedule = time.monotonic() + SCHEDULE_INTERVAL
        loop.losses += reports.receive(settings.COLLECTOR.watchdog_interval)


class WatchdogLoop:
    """Calls `tick` and survives its errors. Logs an error when it first occurs, not in every round.

    `losses` are the workers whose lanes are to be released.
    """

    problem = ""

    def __init__(self) -> None:
        self.losses: list[Loss] = []

    def run_round(self) -> None:
        try:
            try:
                self._report_losses()
            finally:
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

    def _report_losses(self) -> None:
        """Releases the lanes of dead workers. Raises `django.db.Error` when the database is unavailable.

        A report waits for the database. One that fails otherwise would always fail: it is dropped, and
        the lane is released when its lease expires.
        """
        while self.losses:
            try:
                _rescue_lane(self.losses[0])
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                logger.exception("a lost lane waits for its lease to expire: %s", self.losses[0].lane)
            del self.losses[0]

    def _is_new(self, problem: str) -> bool:
        before, self.problem = self.problem, problem
        if before == DATABASE_DOWN != problem:
            logger.info("the database is back")
        return problem != before


def tick() -> None:
    """Runs one round. Raises `django.db.Error` when the database is unavailable."""
    _rescue()
    plan_scheduler.continue_runs()  # first: the next step of a run goes before another plan
    for priority in _priorities_to_start():
        # Before orders of the same priority: plans have a time. But they wait for the rest of a yielded task.
        plan_scheduler.start_due(priority)
        _start_queued(priority)
    plan_scheduler.end_needless_yield()
    exports.recover()
    _prune()
    _prune_raw_answers()
    disk_reserve.reserve()  # nothing waits for the disk
    sealed_days.sweep(SEALING_SECONDS)
    judgement.judge()
    notice_rounds.run()


def _priorities_to_start() -> list[Priority]:
    """Returns the priorities of due plans and waiting orders, the highest first: mostly none."""
    due = plan_scheduler.due_plans().order_by().values_list("priority")
    found = due.union(order_queue.waiting().order_by().values_list("priority"))
    return sorted((Priority(priority) for (priority,) in found), reverse=True)


def _start_queued(least: Priority) -> None:
    """Starts the next queued order if no task runs. Raises `django.db.Error` as `tick` does."""
    result = order_queue.start_next(least)
    if isinstance(result, CollectionTask):
        logger.info("task %s was started from the queue", result.pk)
    elif result is not None:
        logger.warning("the queued order %s was refused: %s", result.pk, result.error_message)


class SilenceTimer:
    """Measures for how long this process has observed no activity on the running task."""

    def __init__(self) -> None:
        self._activity: object = None
        self._checked_at = self._seconds = 0.0

    def seconds(self, task: CollectionTask) -> float:
        """Returns the seconds of silence so far. Call it in each round: a longer gap counts only in part."""
        now, activity = time.monotonic(), (task.pk, task.heartbeat_at)
        passed = min(now - self._checked_at, LONGEST_GAP)
        self._seconds = self._seconds + passed if activity == self._activity else 0.0
        self._checked_at, self._activity = now, activity
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


def _rescue_lane(loss: Loss) -> None:
    """Releases what a dead worker held. Raises `django.db.Error` when the database is unavailable."""
    try:
        lifecycle.rescue_lane(lifecycle.Lane(*loss.lane), loss.exit_code)
    except StaleClaim:
        logger.debug("the lane of a dead worker was released before: %s", loss.lane)


def _prune() -> None:
    """Deletes a batch of old rows, if any. Raises `django.db.Error` when the database is unavailable."""
    global _next_prune
    if time.monotonic() < _next_prune:
        return
    days = settings.COLLECTOR.retention_days
    deleted = retention.prune(days)
    if deleted.tasks:
        logger.info("tasks that ended more than %d days ago were pruned: %d", days, deleted.tasks)
    forgotten = versions.prune(settings.COLLECTOR.version_days)
    others = exports.prune(days) or order_queue.prune(days) or dispatch.prune_failures() or notices.prune()
    if not (deleted.total or forgotten or others or audit.prune(settings.COLLECTOR.audit_days)):
        history.prune(settings.COLLECTOR.source_history_days)
        _next_prune = time.monotonic() + PRUNE_INTERVAL


def _prune_raw_answers() -> None:
    """Deletes a batch of raw answers beyond their bounds. Raises as `_prune` does."""
    global _next_raw_prune
    if time.monotonic() < _next_raw_prune:
        return
    conf = settings.COLLECTOR
    if not retention.prune_raw_answers(conf.raw_answers_mb, conf.raw_answers_days):
        _next_raw_prune = time.monotonic() + (RAW_PRUNE_INTERVAL if conf.raw_answers else PRUNE_INTERVAL)
