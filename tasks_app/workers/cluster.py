"""One run of django-q2's cluster, started by the supervisor: `python -m tasks_app.workers.cluster PID`."""

import gc
import logging
import os
import signal
import sys
import time
import uuid
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings
from django.db import connections
from django_q.cluster import get_mp_context
from django_q.signals import post_execute, post_spawn, pre_execute

from tasks_app.workers import drain_flag, parent_death, sentinel

logger = logging.getLogger("tasks_app.worker")

# The sentinel turns twice a second, but its scheduler may wait for the database.
SILENCE_SECONDS = 20.0


class Cluster:
    """The cluster's first process: starts the sentinel, watches it, tells it to stop."""

    def __init__(self) -> None:
        self.stopping = False
        context = get_mp_context()
        self.stop_event = context.Event()
        arguments = (self.stop_event, context.Event(), uuid.uuid4())
        self.sentinel = context.Process(target=sentinel.GuardedSentinel, name="sentinel", args=arguments)

    def run(self) -> int:
        """0 after a stop that was asked for, else 1."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        connections.close_all()  # connections must not be shared over a fork
        sentinel.beat.value = time.monotonic()
        self.sentinel.start()
        self._watch()
        return 0 if self.stopping and self.sentinel.exitcode == 0 else 1

    def _watch(self) -> None:
        """Until the sentinel has ended."""
        told = False
        while self.sentinel.is_alive():
            if self.stopping and not told:
                self.stop_event.set()
                told = True
            elif not told and time.monotonic() - sentinel.beat.value > SILENCE_SECONDS:
                logger.error("stalled: the sentinel was silent for %.0f s", SILENCE_SECONDS)
                self.sentinel.kill()
            self.sentinel.join(0.2)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # Only flags: to take stop_event's lock in here could deadlock with the loop above.
        self.stopping = True
        drain_flag.request()


def _note_pick_up(**_: Any) -> None:
    sentinel.picked_up.value = time.monotonic()


def _note_saved(**_: Any) -> None:
    sentinel.saved.value = time.monotonic()


def _let_jobs_stop_their_children(**_: Any) -> None:
    """In a worker, which ignores SIGTERM: what its jobs fork does not. Blocked meanwhile: none is lost."""
    block = partial(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGTERM})
    unblock = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})

    def in_child() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=in_child)


def main(parent: int) -> int:
    """Run one cluster until it is told to stop or breaks; die with the parent."""
    parent_death.die_with(parent)
    parent_death.bind_forks()
    settings.DEBUG = False  # else Django keeps the last 9,000 queries, bulk inserts included, in memory
    pre_execute.connect(_note_pick_up)
    post_execute.connect(_note_saved)
    post_spawn.connect(_let_jobs_stop_their_children)
    gc.freeze()  # what is here stays: no collection need look at it, no fork copy it
    return Cluster().run()


if __name__ == "__main__":
    try:
        status = main(int(sys.argv[1]))
    except BaseException:
        logger.exception("the cluster failed")
        status = 1
    logging.shutdown()
    os._exit(status)  # a normal exit would wait for a sentinel that may hang
