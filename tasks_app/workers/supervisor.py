"""Keeps one cluster alive: starts it, starts it again when it dies, stops it gracefully.

The watchdog makes its rounds here, not in a schedule of the cluster's: that would die with the cluster.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.db import Error, connections

from tasks_app.workers import watchdog

logger = logging.getLogger("tasks_app.worker")

ROOT = Path(__file__).resolve().parents[2]
DRAIN_SECONDS = 30.0
FIRST_DELAY, LAST_DELAY = 0.5, 10.0  # within the 30 s that the product promises
RAN_WELL_SECONDS = 30.0
TURN_SECONDS = 0.1
AWAY = "the database is away"


class Rounds(threading.Thread):
    """Calls the watchdog again and again; survives whatever it raises.

    A thread, since a tick may wait long for the database, and the cluster's death must be seen meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.stop_asked = threading.Event()
        self.database_up = threading.Event()
        self.trouble = ""

    def run(self) -> None:
        while True:
            self.tick()
            if self.stop_asked.wait(settings.COLLECTOR.watchdog_interval):
                break
        connections.close_all()

    def tick(self) -> None:
        """One round. `database_up` tells afterwards whether the database answered."""
        try:
            watchdog.tick()
        except Error as error:
            if self._is_new(AWAY):
                logger.warning("waiting for the database: %s", str(error).partition("\n")[0])
            self.database_up.clear()
            connections.close_all()
            return
        except Exception as error:
            if self._is_new(repr(error)):
                logger.exception("the watchdog failed, going on")
        else:
            self._is_new("")
        self.database_up.set()

    def stop(self) -> None:
        """Returns when the round is over, or after 5 s."""
        self.stop_asked.set()
        self.join(5)

    def _is_new(self, trouble: str) -> bool:
        """Log what changed, not every round: they come every two seconds."""
        before, self.trouble = self.trouble, trouble
        if before == AWAY != trouble:
            logger.info("the database is back")
        return trouble != before


class Supervisor:
    """One worker machine. Use it from the main thread: its children live as long as the thread."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.signals = 0
        self.delay = 0.0
        self.clean = True
        self.rounds = Rounds()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT. 0 after a graceful stop, 1 if the cluster had to be killed."""
        self._take_signals()
        logger.info("worker started (pid %d, %d workers)", os.getpid(), self.workers)
        self.rounds.start()
        self._wait_for_database()
        while not self.signals:
            self._run_cluster()
            self._wait_for_database()
        self.rounds.stop()
        logger.info("worker stopped")
        return 0 if self.clean else 1

    def _run_cluster(self) -> None:
        started = time.monotonic()
        cluster = self._spawn()
        while cluster.poll() is None and not self.signals:
            time.sleep(TURN_SECONDS)
        if self.signals:
            self._stop(cluster)
        _kill_group(cluster)
        if not self.signals:
            self._pause(cluster.returncode, time.monotonic() - started)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """A fresh interpreter, in a session of its own: Ctrl-C and `kill -TERM -group` reach only us."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            [sys.executable, "-m", "tasks_app.workers.cluster", str(os.getpid())],
            env={**os.environ, "PYTHONPATH": path, "COLLECTOR_WORKERS": str(self.workers)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _stop(self, cluster: subprocess.Popen[bytes]) -> None:
        """Ask once; it has 30 s, or until a second signal."""
        logger.info("stopping (once more stops at once)")
        cluster.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        while cluster.poll() is None and self.signals < 2 and time.monotonic() < deadline:
            time.sleep(TURN_SECONDS)
        # -SIGTERM: it was still starting and had nothing to hand back.
        self.clean = cluster.returncode in (0, -signal.SIGTERM)
        if not self.clean:
            logger.warning("the cluster did not stop gracefully, killing it")

    def _pause(self, returncode: int, lived: float) -> None:
        """Wait before the next start: longer each time, unless the last cluster ran well for a while."""
        well = lived >= RAN_WELL_SECONDS
        self.delay = FIRST_DELAY if well else min(max(self.delay * 2, FIRST_DELAY), LAST_DELAY)
        cause = f"signal {-returncode}" if returncode < 0 else f"exit {returncode}"
        logger.error("cluster died (%s), starting it again in %.1f s", cause, self.delay)
        deadline = time.monotonic() + self.delay
        while not self.signals and time.monotonic() < deadline:
            time.sleep(TURN_SECONDS)

    def _wait_for_database(self) -> None:
        """Until the watchdog has made a round on it: no cluster starts before, or into an outage."""
        while not self.signals and not self.rounds.database_up.is_set():
            time.sleep(TURN_SECONDS)

    def _take_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else nohup meant it
            signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.signals += 1


def _kill_group(cluster: subprocess.Popen[bytes]) -> None:
    """Nothing of this cluster is left afterwards. Reaps what falls to us when we are a container's init."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(cluster.pid, signal.SIGKILL)
    cluster.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-cluster.pid, 0)
