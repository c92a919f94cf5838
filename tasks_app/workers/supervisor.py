"""A worker machine: a watchdog and N workers, processes that are started again when they die or hang."""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connections

from tasks_app import lifecycle
from tasks_app.workers import memory, parent_death, shutdown, watchdog, worker_process
from tasks_app.workers.loss_reports import Loss, LossReports
from tasks_app.workers.process_state import ProcessState, shared_states

logger = logging.getLogger("tasks_app.worker")
DRAIN_SECONDS = 30.0
LARGE = 0.5  # of the limit of memory: such a process is looked at more often,
LARGE_POLL_SECONDS = 0.02  # since shared memory, which no resource limit counts, grows by 1 GB in a second
START_SECONDS = 10.0  # until the first report of a new process
FIRST_DELAY, LAST_DELAY = 0.5, 10.0  # within the 30 s that the product promises
STABLE_SECONDS = 30.0  # after which a crash counts as the first one
forks = multiprocessing.get_context("fork")  # shares the loaded modules, and starts in milliseconds


class SupervisedProcess:
    """A process in a session of its own, so that Ctrl-C and `kill -TERM -group` reach the supervisor only."""

    def __init__(
        self,
        name: str,
        state: ProcessState,
        reports: LossReports,
        target: Callable[..., None],
        *arguments: Any,
    ) -> None:
        self.name, self.state, self.reports = name, state, reports
        self.target, self.arguments = target, arguments
        self.delay = self.restart_at = 0.0
        self.start()

    def start(self) -> None:
        parent = os.getpid()

        def run() -> None:
            os.setsid()
            parent_death.set_parent_death_signal(parent)
            self.target(*self.arguments)

        self.is_out_of_memory, self.memory_share = False, 0.0
        self.state.extend_deadline(START_SECONDS)
        self.started = time.monotonic()
        self.process = forks.Process(target=run, name=self.name)
        self.process.start()
        self.state.pid = self.process.pid or 0
        logger.info("%s is process %d", self.name, self.state.pid)

    def keep_alive(self) -> None:
        """Kills the process if it hangs or uses too much memory, and starts it again once it is dead."""
        if self.process.is_alive():
            if self.state.is_overdue():
                logger.error("%s (%d) gives no sign of life, killing it", self.name, self.state.pid)
                self.process.kill()
            else:
                self.limit_memory()
        elif self.state.pid:
            self._plan_restart()
        elif time.monotonic() >= self.restart_at:
            self.start()

    def limit_memory(self) -> None:
        """Limits what the process may allocate, and kills it if it holds more all the same."""
        megabytes = settings.COLLECTOR.worker_memory
        self.memory_share = memory.limit(self.state.pid, megabytes)
        if self.memory_share > 1:
            used = self.memory_share * megabytes
            logger.error("%s (%d) uses %d MB of memory, killing it", self.name, self.state.pid, used)
            self.is_out_of_memory = True
            self.process.kill()

    def terminate(self) -> None:
        """Asks the process to stop after its current work."""
        if self.process.is_alive():
            self.process.terminate()

    def kill(self) -> None:
        """Kills the process at once, with everything that its jobs have started."""
        if not (pid := self.state.pid):
            return
        self.state.pid = 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        self.process.kill()  # it may not have its own session yet
        self.process.join()
        with contextlib.suppress(ChildProcessError):  # orphans, which a container's init must reap
            while True:
                os.waitpid(-pid, 0)

    def has_stopped_cleanly(self) -> bool:
        # -SIGTERM: it was still starting and had nothing to release.
        return self.process.exitcode in (0, -signal.SIGTERM)

    def _plan_restart(self) -> None:
        """Sets the time of the restart: now after a clean exit, else after a delay.

        The delay does not grow after a loss during a slice: a stock that kills its workers fails after a few
        of them, and the others should not wait for it. The lane is reported once nothing of the process is
        left, its own children included.
        """
        code = lifecycle.OUT_OF_MEMORY if self.is_out_of_memory else self.process.exitcode or 0
        self.kill()
        lane = self.state.take_lane()
        if lane:
            self.reports.send(Loss(lane, code))
        elif code == 0:
            self.delay = 0.0
            logger.info("%s has ended to be replaced", self.name)
            return
        was_stable = lane or time.monotonic() - self.started >= STABLE_SECONDS
        self.delay = FIRST_DELAY if was_stable else min(max(self.delay * 2, FIRST_DELAY), LAST_DELAY)
        self.restart_at = time.monotonic() + self.delay
        cause = f"signal {-code}" if code < 0 else f"exit {code}"
        logger.error("%s died (%s), starting it again in %.1f s", self.name, cause, self.delay)


class Supervisor:
    """One worker machine. It has no thread and no database connection: both break when it forks."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.reports = LossReports()
        self.processes: list[SupervisedProcess] = []

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT. Returns 0 after a graceful stop, 1 if a process had to be killed."""
        shutdown.install_handlers()
        logger.info("worker started (pid %d, %d workers)", os.getpid(), self.workers)
        connections.close_all()
        # OpenBLAS reserves 8 MB per core when numpy is imported: that counts against the limit of memory.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        gc.freeze()  # garbage collections would touch, and so copy, the memory that forks share
        try:
            self._start()
            while not shutdown.is_requested():
                for process in self.processes:
                    process.keep_alive()
                shutdown.wait(self._poll_seconds())
            clean = self._drain()
        finally:
            for process in self.processes:
                process.kill()
        logger.info("worker stopped")
        return 0 if clean else 1

    def _start(self) -> None:
        state, *states = shared_states(self.workers + 1)
        self._add("watchdog", state, watchdog.run, state, states, self.reports)
        for number, state in enumerate(states, 1):
            self._add(f"worker-{number}", state, worker_process.run, state)

    def _add(self, name: str, state: ProcessState, target: Callable[..., None], *arguments: Any) -> None:
        self.processes.append(SupervisedProcess(name, state, self.reports, target, *arguments))

    def _poll_seconds(self) -> float:
        """Returns the seconds until the next look at the processes."""
        is_large = any(process.memory_share > LARGE for process in self.processes)
        return LARGE_POLL_SECONDS if is_large else shutdown.POLL_SECONDS

    def _drain(self) -> bool:
        """Lets the processes finish, until a second signal or for 30 s. Returns whether all of them did."""
        logger.info("stopping (once more stops at once)")
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        while (
            any(process.process.is_alive() for process in self.processes)
            and shutdown.signal_count() < 2
            and time.monotonic() < deadline
        ):
            for process in self.processes:
                if process.process.is_alive():
                    process.limit_memory()
            time.sleep(self._poll_seconds())
        clean = all(process.has_stopped_cleanly() for process in self.processes)
        if not clean:
            logger.warning("not all processes stopped gracefully, killing them")
        return clean
