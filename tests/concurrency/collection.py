"""Collections on real workers, for tests that break something meanwhile.

The workers' source is held: it answers when the test lets it, so a task is in the state that the test
wants for as long as it wants. Leases are long, and the test ends those of lost workers itself.
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import Count, Q
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, DailyBar
from tasks_app.models.priorities import Priority
from tests.factories import ACTOR, make_order
from tests.fakes.held_source import HeldAnswers
from tools.worker_machine import eventually

BARS = 20
STOCKS = 12


class RequestLine(NamedTuple):
    """A line of the log of requests."""

    at: float
    pid: int
    code: str


class Collections:
    """Tasks one after another from the source "held", driven from the test's own process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = HeldAnswers(folder / "answers")
        self.log = folder / "requests"
        self.logs = [self.log]
        self.earlier: dict[Path, int] = {}
        self.requested: set[str] = set()  # by earlier tasks
        self.pk: Any = None

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the workers, and of the process that starts the tasks."""
        return {
            **self.answers.environment,
            "COLLECTOR_SIMULATED_STOCKS": str(STOCKS),
            "COLLECTOR_SIMULATED_BARS": str(BARS),
            "COLLECTOR_SIMULATED_LOG": str(self.log),
            "COLLECTOR_LEASE": "600",
            "COLLECTOR_FETCH_TIMEOUT": "600",
            "COLLECTOR_WATCHDOG_INTERVAL": "0.5",
        }

    def start(self, priority: Priority = Priority.NORMAL, **order: Any) -> None:
        """Starts a task whose requests are held. Bars that are stored already are requested again."""
        self.answers.hold()
        self.earlier = {log: len(_lines(log)) for log in self.logs}
        self.requested = {line.code for log in self.logs for line in _lines(log)}
        OrmQ.objects.all().delete()  # what killed workers have taken and not finished
        order = {"source": "held", "stock_codes": None, "force_update": True, **order}
        today = make_order().end_date
        self.pk = lifecycle.start(make_order(**order), ACTOR, today=today, priority=priority).pk

    def cancel(self) -> None:
        lifecycle.cancel(self.pk, ACTOR)

    @property
    def task(self) -> CollectionTask:
        return CollectionTask.objects.get(pk=self.pk)

    def requests(self, *logs: Path) -> list[RequestLine]:
        """Returns this task's requests so far, those of one log in the order in which they came."""
        return [line for log in logs or self.logs for line in _lines(log)[self.earlier.get(log, 0) :]]

    def wait_for_requests(self, count: int) -> list[RequestLine]:
        """Waits for so many; returns them."""
        eventually(lambda: len(self.requests()) >= count, what=f"{count} requests")
        return self.requests()

    def start_and_answer(self, count: int, **order: Any) -> dict[int, str]:
        """Starts a task and answers so many requests. Returns the codes that its two processes then hold."""
        self.start(**order)
        self.wait_for_requests(2)
        self.answers.release(count)
        requests = self.wait_for_requests(count + 2)
        assert len(requests) == count + 2
        held = {line.pid: line.code for line in requests}  # each one's last: it makes one at a time
        assert len(held) == 2, "two processes share the task"
        return held

    def repeated(self) -> list[str]:
        """Returns the codes that were requested again, once for each time."""
        codes = [line.code for line in self.requests()]
        return [code for number, code in enumerate(codes) if code in codes[:number]]

    def end_leases(self, pids: Iterable[int]) -> None:
        """Gives the time in which the claims of these lost processes expire."""
        lost = Q()
        for pid in pids:
            lost |= Q(worker__endswith=f":{pid}")
        lanes = CollectionLane.objects.filter(lost, task=self.pk, lease_until__isnull=False)
        numbers, past = list(lanes.values_list("number", flat=True)), Now() - timedelta(seconds=1)
        items = CollectionItem.objects.filter(task=self.pk, state="claimed", lane__in=numbers)
        items.update(lease_until=past)
        lanes.update(lease_until=past)

    def finish(self) -> CollectionTask:
        """Lets every request be answered; returns the task once it has ended."""
        self.answers.release_all()
        eventually(lambda: self.task.status != "running", what="the task's end")
        return self.task

    def wait_until_idle(self) -> None:
        """Returns once no slice is queued or runs: without one, nothing is requested or written."""
        eventually(lambda: not OrmQ.objects.exists(), what="the end of all slices")

    def assert_complete(self, stocks: int = STOCKS, bars: int = BARS) -> None:
        """Every stock succeeded, each of its bars is there once, and nothing else that no task requested."""
        task = self.task
        assert (task.status, task.success_count, task.failed_count) == ("completed", stocks, 0)
        assert task.collected_count + task.skipped_count == stocks * bars
        codes = {line.code for line in self.requests()}
        assert len(codes) == stocks
        stored = DailyBar.objects.order_by().values_list("symbol").annotate(count=Count("pk"))
        counts = dict(stored)
        assert {code: counts.pop(code, 0) for code in codes} == dict.fromkeys(codes, bars)
        assert counts.keys() <= self.requested


def _lines(log: Path) -> list[RequestLine]:
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [RequestLine(float(at), int(pid), code) for at, pid, code in lines]
