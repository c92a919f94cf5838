"""Follows a task on a terminal with a progress bar, or with plain lines elsewhere."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol, Self
from uuid import UUID

from django.db import Error, connections
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tasks_app import command_lines, lifecycle
from tasks_app.lifecycle import chains, durations
from tasks_app.lifecycle.chains import Chain
from tasks_app.management import output
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.queue import dispatch
from tasks_app.sentences import join_sentences

POLL_SECONDS = 0.25
LINE_SECONDS = 2.0
NO_WORKER_SECONDS = 8.0  # workers need a few to start, and their heartbeat outlives them by three


class RateEstimator:
    """Stocks per second since the first call and the time left; unlike lifecycle.progress without a query."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began: float | None = None
        self.first = 0

    def rate(self, processed: int) -> float:
        """Returns stocks per second; 0 until one was processed."""
        now = self.clock()
        if self.began is None:
            self.began, self.first = now, processed
        return (processed - self.first) / (now - self.began) if now > self.began else 0.0

    def describe(self, task: CollectionTask) -> str:
        """Returns rate and time left as text."""
        if task.paused_at:
            self.began = None  # the time of a pause does not count
            return _("paused")
        rate = self.rate(task.processed_stocks)
        if not rate:
            return "–"
        left = durations.format_duration(
            timedelta(seconds=(task.total_stocks - task.processed_stocks) / rate)
        )
        return _("%(rate).1f/s, %(left)s left") % {"rate": rate, "left": left}


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a task each time it is read."""

    def show(self, task: CollectionTask, chain: Chain | None = None) -> None: ...


class ProgressBar(Display):
    """One line that is redrawn."""

    def __init__(self, console: Console) -> None:
        self.rate = RateEstimator()
        self.row: TaskID | None = None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        # Without a thread that redraws: `on_poll` may have to fork, and `show` is called four times a second.
        self.progress = Progress(*columns, console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, task: CollectionTask, chain: Chain | None = None) -> None:
        if self.row is None:
            self.row = self.progress.add_task(output.short_id(task.pk), total=None, text="")
        total, completed = task.total_stocks, task.processed_stocks
        if chain:
            total, completed = chain.total, chain.processed
        self.progress.update(
            self.row,
            total=total if task.planned_at else None,
            completed=completed,
            text=f"{output.progress_text(task)}  {self.rate.describe(task)}",
            refresh=True,
        )


class ProgressLines(Display):
    """A line per change, at most one every two seconds, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rate = RateEstimator()
        self.printed = ""
        self.printed_at = float("-inf")

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, task: CollectionTask, chain: Chain | None = None) -> None:
        text = output.progress_text(task)
        if chain:
            text += f"  ({_('whole run')} {output.chain_text(chain)})"
        rate = self.rate.describe(task)
        if text == self.printed or time.monotonic() - self.printed_at < LINE_SECONDS:
            return
        self.printed, self.printed_at = text, time.monotonic()
        self.console.print(f"{output.short_id(task.pk)}  {text}  {rate}", soft_wrap=True)


class TaskWatcher:
    """Follows a task to its end, and from one that yielded to the task that continues it.

    Prints a note when no worker was alive for `worker_timeout` seconds. `on_poll` is called before each read,
    also while the database is unavailable. `read` fails a task that no worker will finish, unless the caller
    gives another one.
    """

    def __init__(
        self,
        console: Console,
        on_poll: Callable[[], object] = lambda: None,
        worker_timeout: float = NO_WORKER_SECONDS,
        read: Callable[[UUID], CollectionTask] = lifecycle.get_task,
    ) -> None:
        self.console = console
        self.on_poll = on_poll
        self.worker_timeout = worker_timeout
        self.read = read
        self.note = ""
        self.chain: Chain | None = None
        self.workers_seen_at = time.monotonic()

    def until_end(self, task_id: UUID) -> CollectionTask:
        """Returns the ended task. Raises `TaskNotFound`, and KeyboardInterrupt on Ctrl-C."""
        with (
            ProgressBar(self.console) if self.console.is_terminal else ProgressLines(self.console) as display
        ):
            while True:
                self.on_poll()
                task = self._read(task_id)
                if task:
                    display.show(task, self.chain)
                    following = self._following(task)
                    if following is None:
                        return task
                    task_id = following
                time.sleep(POLL_SECONDS)

    def _following(self, task: CollectionTask) -> UUID | None:
        """Returns the task to read next; None once it has ended and nothing continues it."""
        if task.status == TaskStatus.RUNNING:
            return task.pk
        chain = self.chain
        if chain is None or not (chain.continued_by or chain.goes_on):
            return None
        text = _("Task %(id)s yielded to the plan “%(plan)s”. What it left goes on by itself.")
        self._print_once(text % {"id": output.short_id(task.pk), "plan": task.yields_to_name})
        return chain.continued_by or task.pk

    def _read(self, task_id: UUID) -> CollectionTask | None:
        """Returns the task as it is now; None while the database is unavailable, which is printed once."""
        try:
            task = self.read(task_id)
            self.chain = chains.chains_of([task]).get(task.pk)
        except Error:
            connections.close_all()
            self._print_once(_("The database does not respond. Waiting for it."))
            return None
        is_expected = task.status == TaskStatus.RUNNING and not task.paused_at
        note = self._missing_worker() if is_expected else ""
        self._print_once(note or join_sentences(*output.pause_text(task).splitlines()))
        return task

    def _missing_worker(self) -> str:
        now = time.monotonic()
        if dispatch.live_clusters():
            self.workers_seen_at = now
        if now - self.workers_seen_at < self.worker_timeout:
            return ""
        text = _("No worker is alive, so nothing is collected. Start one: %(manage)s worker")
        return text % {"manage": command_lines.manage()}

    def _print_once(self, note: str) -> None:
        if note and note != self.note:
            self.console.print(note, style="yellow", soft_wrap=True)
        self.note = note
