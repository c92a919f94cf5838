"""Jobs for a worker machine, and the queue and the notes by which a test drives them.

A job leaves lines `pid text` in its test's folder, which is how the test sees where it runs. It ends when
the test lets it.
"""

import math
import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from django_q.brokers import Broker
from django_q.tasks import async_task

from tasks_app.workers import shutdown
from tools.worker_machine import Machine, eventually


def note(folder: str, text: str) -> None:
    """Appends a line in one write."""
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{os.getpid()} {text}\n")


def held(folder: str) -> None:
    """Is busy, as with a request, until the test releases it."""
    note(folder, "begun")
    eventually((Path(folder) / "released").exists, math.inf)
    note(folder, "ended")


def until_drained(folder: str) -> None:
    """Is busy, as a slice is, until it is asked to return its items."""
    note(folder, "begun")
    shutdown.wait(math.inf)
    note(folder, "returned")


def ignoring_its_timeout(folder: str) -> None:
    """Hangs and ignores the exception of its time-out."""
    note(folder, "begun")
    while True:
        try:
            signal.pause()
        except BaseException:
            note(folder, "ignored the time-out")


def die_holding_the_timer(folder: str) -> None:
    """Kills its process just after the job, when django-q2's worker holds its timer's lock."""
    from django_q.signals import post_execute_in_worker

    post_execute_in_worker.connect(lambda **_: os.kill(os.getpid(), signal.SIGKILL), weak=False)
    note(folder, "begun")


def fork_and_terminate(folder: str) -> None:
    """Starts a child and stops it: a job's child obeys SIGTERM, although workers themselves ignore it."""
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    os.kill(child, signal.SIGTERM)
    note(folder, f"child ended by {os.waitpid(child, 0)[1]}")


class QueueFile(Broker):  # type: ignore[misc]
    """django-q2's queue in an SQLite file, for a process whose own database is another one."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self.database = database

    def enqueue(self, task: str) -> int:
        insert = "INSERT INTO django_q_ormq (key, payload, lock) VALUES (?, ?, strftime('%Y-%m-%d %H:%M:%f'))"
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return int(connection.execute(insert, (self.list_key, task)).lastrowid or 0)

    def queue_size(self) -> int:
        """Returns the number of jobs that have not been acknowledged."""
        with closing(sqlite3.connect(self.database)) as connection:
            return int(connection.execute("SELECT count(*) FROM django_q_ormq").fetchone()[0])

    def purge_queue(self) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("DELETE FROM django_q_ormq")


class Jobs:
    """Queues jobs of a test and reads their notes."""

    def __init__(self, url: str, parent: Path) -> None:
        self.url = url
        self.broker = QueueFile(Path(url.removeprefix("sqlite:///")))
        self.folder = Path(tempfile.mkdtemp(dir=parent))

    def queue(self, function: Callable[[str], None], **options: object) -> None:
        async_task(f"{__name__}.{function.__name__}", str(self.folder), broker=self.broker, **options)

    def release(self) -> None:
        """Lets the held jobs end."""
        (self.folder / "released").touch()

    def pids(self, text: str) -> list[int]:
        """Returns the processes that have left this note, in order."""
        notes = self.folder / "notes"
        lines = [line.partition(" ") for line in notes.read_text().splitlines()] if notes.exists() else []
        return [int(pid) for pid, _, noted in lines if noted == text]

    def wait_for(self, text: str, count: int = 1) -> list[int]:
        """Returns the processes that have left this note once there are so many."""
        eventually(lambda: len(self.pids(text)) == count, what=f"{count} × “{text}”")
        return self.pids(text)

    def prove_that_all_work(self, machine: Machine) -> None:
        """Returns when every worker has taken a job while the others held theirs, and all jobs are done."""
        jobs, unfinished = Jobs(self.url, self.folder), self.broker.queue_size()
        for _ in range(machine.worker_count):
            jobs.queue(held)
        eventually(
            lambda: set(jobs.pids("begun")) == set(machine.current().workers), what="a job in every worker"
        )
        jobs.release()
        eventually(lambda: self.broker.queue_size() == unfinished, what="the end of these jobs")
