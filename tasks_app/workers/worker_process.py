"""A worker process: runs django-q2's pusher, worker and monitor in turn.

django-q2's cluster runs them in separate processes with queues between them. A process that is
killed while it waits on such a queue keeps the queue's lock, and the whole cluster hangs. Here each
worker takes its jobs from the database itself, so a killed process costs its own job and nothing else.
"""

import logging
import math
import os
import threading
from multiprocessing import Value
from queue import SimpleQueue
from typing import Any

from django.db import close_old_connections
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.monitor import monitor
from django_q.pusher import pusher
from django_q.worker import worker

from tasks_app.workers import process_state, shutdown
from tasks_app.workers.process_state import ProcessState

logger = logging.getLogger("tasks_app.worker")
STOP = "STOP"  # ends the loops of django-q2's worker and monitor
IDLE_SECONDS = 22.0  # to look for a job: SQLite waits up to 20 s for a lock, PostgreSQL less
GRACE_SECONDS = 4.0  # for a job to end by itself after its time-out
SAVE_SECONDS = 60.0  # to store a result: several statements that may each wait for a lock


class JobQueue:
    """Both queues of django-q2's worker: `get` takes a job from the database, `put` stores its result."""

    def __init__(self, state: ProcessState) -> None:
        self.state = state
        self.broker = get_broker()
        self.supervisor = os.getppid()
        self.taken: SimpleQueue[Any] = SimpleQueue()
        self.one_pass = threading.Event()
        self.one_pass.set()  # django-q2's pusher returns after each turn when its stop event is set

    def get(self) -> Any:
        """Returns the next job once there is one, or "STOP" when this process is to end."""
        self.state.is_busy = False
        while self.taken.empty():
            if shutdown.is_requested() or os.getppid() != self.supervisor:
                return STOP
            self.state.extend_deadline(IDLE_SECONDS)
            close_old_connections()
            pusher(self.taken, self.one_pass, self.broker)
        job = self.taken.get()
        timeout = job.get("timeout", Conf.TIMEOUT)  # -1: no limit
        self.state.is_busy = True
        self.state.extend_deadline(math.inf if timeout == -1 else timeout + GRACE_SECONDS)
        return job

    def put(self, job: Any) -> None:
        """Stores the result and deletes the job. Raises `django.db.Error` when it can't be deleted."""
        self.state.extend_deadline(SAVE_SECONDS)
        close_old_connections()
        results: SimpleQueue[Any] = SimpleQueue()
        results.put(job)
        results.put(STOP)
        monitor(results, self.broker)


def run(state: ProcessState) -> None:
    """Runs jobs until a stop is requested or django-q2 wants the process replaced.

    That is after a time-out, after `recycle` jobs, above `max_rss`, and after `retire_this_worker`.
    """
    shutdown.install_handlers()
    process_state.own_state = state
    jobs = JobQueue(state)
    worker(jobs, jobs, Value("f", -1), Conf.TIMEOUT)
    state.extend_deadline(GRACE_SECONDS)  # to exit: a thread of a vendor's library may delay that
