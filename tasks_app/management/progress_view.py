"""Following a task on a terminal: a bar, or plain lines where there is no terminal."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self
from uuid import UUID

from django.db import Error, connections
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tasks_app.lifecycle import selectors
from tasks_app.management import output
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.queue import dispatch

TURN_SECONDS = 0.25
LINE_SECONDS = 2.0
NO_WORKER_SECONDS = 8.0  # a cluster needs a few to start, and is heard of for three after its end


class Pace:
    """Stocks per second since the first look, and the seconds left at that rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began: float | None = None
        self.first = 0

    def rate(self, processed: int) -> float:
        """0 until something was processed."""
        now = self.clock()
        if self.began is None:
            self.began, self.first = now, processed
        return (processed - self.first) / (now - self.began) if now > self.began else 0.0

    def describe(self, task: CollectionTask) -> str:
        """Rate and time left, for people."""
        rate = self.rate(task.processed_stocks)
        if not rate:
            return "–"
        left = output.duration((task.total_stocks - task.processed_stocks) / rate)
        return _("%(rate).1f/s, %(left)s left") % {"rate": rate, "left": left}


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a task again and again while it changes."""

    def show(self, task: CollectionTask) -> None: ...


class Bar(Display):
    """One line that is drawn anew."""

    def __init__(self, console: Console) -> None:
        self.pace = Pace()
        self.row: TaskID | None = None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        # No thread that draws by itself: `tend` may have to fork, and we come by four times a second.
        self.progress = Progress(*columns, console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, task: CollectionTask) -> None:
        if self.row is None:
            self.row = self.progress.add_task(output.short(task.pk), total=None, text="")
        self.progress.update(
            self.row,
            total=task.total_stocks if task.planned_at else None,
            completed=task.processed_stocks,
            text=f"{output.counts(task)}  {self.pace.describe(task)}",
            refresh=True,
        )


class Lines(Display):
    """A line for each change, at most one every two seconds: for files and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.pace = Pace()
        self.said = ""
        self.said_at = float("-inf")

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, task: CollectionTask) -> None:
        text = output.counts(task)
        pace = self.pace.describe(task)
        if text == self.said or time.monotonic() - self.said_at < LINE_SECONDS:
            return
        self.said, self.said_at = text, time.monotonic()
        self.console.print(f"{output.short(task.pk)}  {text}  {pace}", soft_wrap=True)


class Watch:
    """Follows a task to its end, and says so when no worker was heard of for `patience` seconds.

    `tend` is called on every turn, whatever the database does.
    """

    def __init__(
        self,
        console: Console,
        tend: Callable[[], object] = lambda: None,
        patience: float = NO_WORKER_SECONDS,
    ) -> None:
        self.console = console
        self.tend = tend
        self.patience = patience
        self.note = ""
        self.cluster_seen = time.monotonic()

    def until_end(self, task_id: UUID) -> CollectionTask:
        """The ended task. Raises `TaskNotFound`, and lets Ctrl-C through."""
        with Bar(self.console) if self.console.is_terminal else Lines(self.console) as display:
            while True:
                self.tend()
                task = self._read(task_id)
                if task:
                    display.show(task)
                    if task.status != TaskStatus.RUNNING:
                        return task
                time.sleep(TURN_SECONDS)

    def _read(self, task_id: UUID) -> CollectionTask | None:
        """The task as it is now; None while the database is away, which is said once."""
        try:
            task = selectors.get_task(task_id)
        except Error:
            connections.close_all()
            self._say(_("The database does not answer. Waiting for it."))
            return None
        self._say(self._missing_worker() if task.status == TaskStatus.RUNNING else "")
        return task

    def _missing_worker(self) -> str:
        now = time.monotonic()
        if dispatch.live_clusters():
            self.cluster_seen = now
        if now - self.cluster_seen < self.patience:
            return ""
        return _("No worker is alive, so nothing is collected. Start one: python manage.py worker")

    def _say(self, note: str) -> None:
        if note and note != self.note:
            self.console.print(note, style="yellow", soft_wrap=True)
        self.note = note


def goes_on(task_id: UUID) -> str:
    """What to tell somebody who stops watching."""
    return _(
        "No longer watching. The task goes on as long as a worker runs; to cancel it: "
        "python manage.py collect cancel %(task)s"
    ) % {"task": output.short(task_id)}
