"""Cancels at random moments, one after another: `python -m tools.cancel_storm --help`.

Two processes work off the queue all the time, as fast as they can. A third one starts a small task,
cancels it (every other one as soon as a worker has claimed a stock), looks at all that the task has
written as soon as the cancel has been answered, and again after the next round and at the very end.
Prints what it saw as JSON.
"""

import argparse
import io
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    import django

    django.setup()

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Count, Max, Sum
from django.test import Client
from django.urls import reverse

from tasks_app import errors, lifecycle
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionItem, CollectionTask, DailyBar
from tasks_app.models.events import Channel
from tasks_app.orders.order import Order
from tasks_app.sources.simulated.exchange import symbol_at
from tools.in_process import work_one
from tools.simultaneous import LONGEST_SECONDS, Simultaneous, forks

MARKET = "SIM"
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2024, 12, 31)
STOCKS = 8
LONGEST, SHORT = 0.03, 0.003  # seconds
ACTOR = Actor(Channel.COMMAND)
MET = "with a stock in a worker's hands"
Cancel = Callable[[UUID], object]


@dataclass(frozen=True)
class Round:
    """A cancelled task and what it had written when the cancel was answered."""

    number: int
    task_id: UUID
    codes: tuple[str, ...]
    written: int

    def unchanged(self) -> bool:
        return self.written == written(self.task_id, self.codes)


def written(task_id: UUID, codes: tuple[str, ...]) -> int:
    """Everything that a task may write, as one comparable value."""
    bars = DailyBar.objects.filter(market=MARKET, symbol__in=codes)
    sums = bars.aggregate(Count("pk"), Sum("volume"), Max("collected_at"))
    items = CollectionItem.objects.filter(task_id=task_id).order_by("pk")
    return hash(repr([sums, *items.values_list(), CollectionTask.objects.filter(pk=task_id).values()]))


def in_flight(task_id: UUID) -> bool:
    """Whether the cancel took a stock out of a worker's hands: claimed and put back, its fence is at 2."""
    return CollectionItem.objects.filter(task_id=task_id, state="pending", fence__gt=1).exists()


def wait_for_claim(task_id: UUID) -> None:
    """Returns once a worker has a stock of the task in its hands, or has ended the task."""
    claimed = CollectionItem.objects.filter(task_id=task_id, state="claimed")
    running = CollectionTask.objects.filter(pk=task_id, status="running")
    deadline = time.monotonic() + LONGEST_SECONDS
    while running.exists() and not claimed.exists():
        assert time.monotonic() < deadline, "no worker takes a stock"
        time.sleep(0.001)


def by_code(task_id: UUID) -> None:
    lifecycle.cancel(task_id, ACTOR)


def by_command(task_id: UUID) -> None:
    call_command("collect", "cancel", str(task_id), stdout=io.StringIO())


def by_admin() -> Cancel:
    """The confirmed action on the list of tasks, by a signed-in superuser."""
    client, page = superuser_client(), reverse("admin:tasks_app_collectiontask_changelist")
    action = {"action": "cancel_selected", "index": "0", "confirmed": "yes"}
    return lambda task_id: client.post(page, {**action, "_selected_action": [task_id]})


def by_api() -> Cancel:
    client = superuser_client()
    return lambda task_id: client.delete(f"/api/data-collection/tasks/{task_id}")


def superuser_client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("storm"))
    return client


CHANNELS: dict[str, Callable[[], Cancel]] = {
    "code": lambda: by_code,
    "command": lambda: by_command,
    "admin": by_admin,
    "api": by_api,
}


class Storm:
    """Rounds of start and cancel; `broken` names what was written after an answer."""

    def __init__(self, cancel: Cancel, chance: random.Random) -> None:
        self.cancel, self.chance = cancel, chance
        self.seen: Counter[str] = Counter()
        self.kept: list[Round] = []
        self.broken: set[int] = set()
        self.rounds = 0

    def run(self, rounds: int, met: int | None = None) -> None:
        """Runs so many rounds, or fewer once `met` of them have taken a stock out of a worker's hands."""
        for number in range(rounds):
            if self.seen[MET] == met:
                break
            self._round(number)
            self.rounds += 1
        self.broken |= {kept.number for kept in self.kept if not kept.unchanged()}

    def _round(self, number: int) -> None:
        codes = tuple(symbol_at(number * STOCKS + n).code for n in range(STOCKS))
        order = Order(FIRST_DAY, LAST_DAY, market=MARKET, source="simulated", stock_codes=codes)
        task = lifecycle.start(order, ACTOR, today=LAST_DAY)
        if number % 2:  # every other cancel meets a worker, however busy the machine is
            wait_for_claim(task.pk)
        time.sleep(self.chance.uniform(0.0, SHORT if number % 2 else LONGEST))
        try:
            self.cancel(task.pk)
        except (errors.TaskNotRunning, CommandError):
            self.seen["ended before"] += 1
            return
        kept = Round(number, task.pk, codes, written(task.pk, codes))
        task.refresh_from_db()
        if task.status != "cancelled":
            self.seen["ended before"] += 1
            return
        self.seen["cancelled"] += 1
        self.seen[MET] += in_flight(task.pk)
        self.seen["after a stock was written"] += task.processed_stocks > 0
        if self.kept and not self.kept[-1].unchanged():
            self.broken.add(self.kept[-1].number)
        self.kept.append(kept)


@contextmanager
def two_workers() -> Iterator[None]:
    """Two processes that work off the queue and never rest. Raises AssertionError if one of them failed."""
    stop = forks.Event()

    def work(_: int) -> str:
        while not stop.is_set():
            if not work_one():
                time.sleep(0.005)
        return "done"

    workers = Simultaneous(2, work)
    workers.release()
    try:
        yield
    finally:
        stop.set()
        ended = workers.results()
    assert ended == ["done", "done"], "\n".join(ended)


def run(by: str, seed: int, rounds: int, met: int | None = None) -> dict[str, Any]:
    """Returns what a storm saw; see `Storm.run` for `rounds` and `met`."""
    began = time.monotonic()
    with two_workers():
        storm = Storm(CHANNELS[by](), random.Random(seed))
        storm.run(rounds, met)
    return {
        "seed": seed,
        "rounds": storm.rounds,
        "seconds": round(time.monotonic() - began, 1),
        **storm.seen,
        "broken": sorted(storm.broken),
        "bars": DailyBar.objects.count(),
    }


def main() -> int:
    """Prints what the storm saw. Returns 1 if something was written after an answer."""
    parser = argparse.ArgumentParser(prog="python -m tools.cancel_storm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--by", choices=CHANNELS, default="code")
    options = parser.parse_args()
    seen = run(options.by, options.seed, options.rounds)
    print(json.dumps(seen))
    return 1 if seen["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
