"""Cancels at random moments, one after another: `python -m tests.concurrency.cancel_storm --help`.

Two processes work off the queue all the time, as fast as they can. A third one starts a small task,
cancels it, looks at all that the task has written as soon as the cancel has been answered, and again
after the next round and at the very end. Prints what it saw as JSON.
"""

import argparse
import io
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.concurrency.processes import forks, spawn, work_one  # sets Django up

from django.core.management import CommandError, call_command  # isort: skip
from django.db.models import Count, Max, Sum  # isort: skip

from tasks_app import errors, lifecycle  # isort: skip
from tasks_app.models import CollectionItem, CollectionTask, DailyBar  # isort: skip
from tasks_app.sources.simulated.exchange import symbol_at  # isort: skip
from tests.admin import helpers  # isort: skip
from tests.factories import ACTOR, make_task  # isort: skip

MARKET = "US"  # its simulated codes never run out
STOCKS = 8
LONGEST = 0.03
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


def by_code(task_id: UUID) -> None:
    lifecycle.cancel(task_id, ACTOR)


def by_command(task_id: UUID) -> None:
    call_command("collect", "cancel", str(task_id), stdout=io.StringIO())


def by_admin() -> Cancel:
    """The confirmed action on the list of tasks, by a signed-in superuser."""
    client, page = helpers.superuser_client(), helpers.url(f"{helpers.TASKS}_changelist")
    action = {"action": "cancel_selected", "index": "0", "confirmed": "yes"}
    return lambda task_id: client.post(page, {**action, "_selected_action": [task_id]})


def by_api() -> Cancel:
    client = helpers.superuser_client()
    return lambda task_id: client.delete(f"/api/data-collection/tasks/{task_id}")


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

    def run(self, rounds: int) -> None:
        for number in range(rounds):
            self._round(number)
        self.broken |= {kept.number for kept in self.kept if not kept.unchanged()}

    def _round(self, number: int) -> None:
        codes = tuple(symbol_at(MARKET, number * STOCKS + n).code for n in range(STOCKS))
        task = make_task(market=MARKET, stock_codes=codes)
        time.sleep(self.chance.uniform(0.0, LONGEST))
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
        self.seen["with a stock in a worker's hands"] += in_flight(task.pk)
        self.seen["after a stock was written"] += task.processed_stocks > 0
        if self.kept and not self.kept[-1].unchanged():
            self.broken.add(self.kept[-1].number)
        self.kept.append(kept)


def work(stop: Any) -> str:
    """A worker that never rests."""
    while not stop.is_set():
        if not work_one():
            time.sleep(0.001)
    return "done"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--by", choices=CHANNELS, default="code")
    options = parser.parse_args()
    stop = forks.Event()
    barrier, workers, answers = spawn(2, lambda _: work(stop))
    barrier.wait()
    began = time.monotonic()
    storm = Storm(CHANNELS[options.by](), random.Random(options.seed))
    try:
        storm.run(options.rounds)
    finally:
        stop.set()
    ended = [answers.get() for _ in workers]
    told = {
        "seed": options.seed,
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - began, 1),
        **storm.seen,
        "broken": sorted(storm.broken),
        "workers": ended,
        "bars": DailyBar.objects.count(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
