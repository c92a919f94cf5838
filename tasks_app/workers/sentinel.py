"""django-q2's sentinel, made to end the cluster where it would hang.

A process that is SIGKILLed while it waits on a queue takes the queue's read lock with it, and all others
wait for ever. So: if such a process dies by a signal, or work waits that nobody takes, or a lock is held
by nobody, the sentinel lets running jobs hand back and exits non-zero; the cluster goes down with it.
"""

import logging
import os
import signal
import time
from multiprocessing import RawValue, Value
from multiprocessing.process import BaseProcess
from typing import Any

from django_q.cluster import Sentinel, get_mp_context, worker

from tasks_app.workers import drain_flag

logger = logging.getLogger("tasks_app.worker")

STALLED = 70
PICK_UP_SECONDS = 10.0  # a job waits, a worker is idle: it takes milliseconds
SAVE_SECONDS = 30.0  # a result waits: longer than SQLite's 20 s for a lock
LOCK_SECONDS = 3.0  # held for microseconds
HAND_BACK_SECONDS = 5.0

# Shared by all processes, written without locks (a killed process must not leave one behind).
beat = RawValue("d", 0.0)  # the sentinel turned
picked_up = RawValue("d", 0.0)  # a worker took a job
saved = RawValue("d", 0.0)  # the monitor saved a result


class Patience:
    """Tells when something has waited for longer than `limit` seconds without any activity."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.since = self.activity = 0.0

    def exhausted(self, waiting: bool, activity: float, now: float) -> bool:
        """`activity` is any number that changes when there is some."""
        if not waiting or activity != self.activity or not self.since:
            self.since, self.activity = now, activity
        return now - self.since > self.limit


class BoundedLock:
    """A lock between processes that raises TimeoutError when its holder must be dead."""

    def __init__(self) -> None:
        self._lock = get_mp_context().RLock()

    def acquire(self) -> None:
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise TimeoutError("a lock was not released: its holder was killed")

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class GuardedSentinel(Sentinel):  # type: ignore[misc]
    """Runs the cluster until it is told to stop (exit 0), or ends it (non-zero) rather than let it hang."""

    def start(self) -> None:
        self.children: list[BaseProcess] = []
        self.pick_up, self.saving = Patience(PICK_UP_SECONDS), Patience(SAVE_SECONDS)
        for queue in (self.task_queue, self.result_queue):
            queue.size.count = _shared("i", 0)
        _ignore_stop_signals()
        try:
            super().start()
        except BaseException as error:
            logger.exception("the sentinel failed")
            self._give_up(repr(error))

    def spawn_cluster(self) -> None:
        super().spawn_cluster()
        workers = " ".join(str(process.pid) for process in self.pool)
        parts = (os.getppid(), self.pid, workers, self.monitor.pid, self.pusher.pid)
        logger.info("cluster %d: sentinel %d, workers %s, monitor %d, pusher %d", *parts)

    def spawn_worker(self) -> None:
        self.spawn_process(worker, self.task_queue, self.result_queue, _shared("f", -1), self.timeout)

    def spawn_process(self, target: Any, *args: Any) -> BaseProcess:
        process: BaseProcess = super().spawn_process(target, *args)
        process.name = f"{target.__name__}-{process.pid}"
        self.children.append(process)
        return process

    def reincarnate(self, process: BaseProcess) -> None:
        if _timer(process) == 0:
            # Timed out. The guard holds its timer's lock, so it cannot slip into waiting on the queue:
            # either it is leaving by itself (and must flush its result), or it is stuck and safe to kill.
            process.join(1)
            process.kill()
        self._judge_deaths()  # before the dead one has a successor that hangs on the same lock
        super().reincarnate(process)
        logger.info("%s replaces %s", self.children[-1].name, process.name)

    def status(self) -> str:
        """django-q2 asks on every turn of its loops, running and stopping: the place to look around."""
        beat.value = time.monotonic()
        self._judge_deaths()
        if self.monitor and not drain_flag.requested():
            self._judge_waiting(time.monotonic())
        return str(super().status())

    def _judge_deaths(self) -> None:
        for process in [child for child in self.children if not child.is_alive()]:
            self.children.remove(process)
            timer, code = _timer(process), process.exitcode or 0
            # A busy worker (timer > 0) is in a job and waits on no queue: django-q2 replaces it.
            if code < 0 and (timer is None or timer < 0):
                self._give_up(f"{process.name} was killed by signal {-code} and may hold a queue")

    def _judge_waiting(self, now: float) -> None:
        idle = any(_timer(process) == -1 for process in self.pool)
        if self.pick_up.exhausted(idle and _holds_any(self.task_queue), picked_up.value, now):
            self._give_up(f"jobs wait and no worker took one for {PICK_UP_SECONDS:.0f} s")
        if self.saving.exhausted(_holds_any(self.result_queue), saved.value, now):
            self._give_up(f"results wait and none was saved for {SAVE_SECONDS:.0f} s")

    def _give_up(self, reason: str) -> None:
        """Does not return. A normal exit would wait for workers that ignore its SIGTERM."""
        logger.error("stalled: %s", reason)
        self._hand_back()
        os._exit(STALLED)

    def _hand_back(self) -> None:
        """Let running jobs end as in a graceful stop: what they hold need not wait for its lease then."""
        drain_flag.request()
        if self.pusher:
            self.pusher.kill()  # or it would go on fetching jobs
        deadline = time.monotonic() + HAND_BACK_SECONDS
        while self._has_unfinished() and time.monotonic() < deadline:
            beat.value = time.monotonic()
            time.sleep(0.05)

    def _has_unfinished(self) -> bool:
        busy = any(process.is_alive() and (_timer(process) or 0) > 0 for process in self.pool)
        return busy or bool(self.monitor and self.monitor.is_alive() and _holds_any(self.result_queue))


def _shared(typecode: str, value: int) -> Any:
    lock: Any = BoundedLock()
    return Value(typecode, value, lock=lock)


def _timer(process: BaseProcess) -> float | None:
    """A worker's timer, read without its lock: > 0 in a job, 0 timed out, -1 idle, -2 recycled."""
    timer = getattr(process, "timer", None)
    return timer.get_obj().value if timer is not None else None


def _holds_any(queue: Any) -> bool:
    """Whether anything is in the queue; its own method takes a lock."""
    return bool(queue.size.count.get_obj().value > 0)


def _ignore_stop_signals() -> None:
    """A SIGTERM to all processes at once (systemd's default) must not kill workers within a job.

    Handlers, not SIG_IGN: programs that a job starts would inherit that.
    """
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
