"""Collects good stocks beside poison ones: `python -m tools.poison_drill --help`.

Prints the stocks that succeeded and those that failed by their code, the time that the task took, and the
most memory that a process of the machine held. Exits with 1 unless every good stock succeeded and every
poison one failed with a code that says what was wrong. Where the stock list is poison, the task must fail.
"""

import argparse
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tools.chaos.__main__ import database, log_folder
from tools.poison_source import EVERY, KIND, KINDS
from tools.worker_machine import Machine, environment, eventually

FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2024, 12, 31)
LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Result:
    """What became of the stocks: `failed` counts the failed ones by code, `messages` are their sentences.

    `task_error` is the code of a task that has failed as a whole.
    `deaths`: the worker processes that died; `peak_mb`: the most memory, in MB, that a process held.
    """

    good: int
    poison: int
    succeeded: int
    failed: dict[str, int]
    messages: list[str]
    task_error: str
    seconds: float
    peak_mb: float
    deaths: int

    def holds(self, kind: str) -> bool:
        """Whether every good stock succeeded, and every poison one failed with a fitting code."""
        if KINDS[kind].stock_list:
            return self.task_error in KINDS[kind].error_codes and not self.deaths
        fitting = sum(self.failed.get(code, 0) for code in KINDS[kind].error_codes)
        return (self.succeeded, fitting, sum(self.failed.values())) == (self.good, self.poison, self.poison)


def settings(
    kind: str, good: int, poison: int, *, in_flight: int = 4, latency: float = 0.1
) -> dict[str, str]:
    """Returns the settings of the processes, that of the drill included."""
    total = good + poison
    assert total % poison == 0, "the poison stocks stand at equal distances"
    return {
        KIND: kind,
        EVERY: str(total // poison),
        "COLLECTOR_SOURCES": "poison=tools.poison_source:PoisonSource",
        "COLLECTOR_SIMULATED_STOCKS": str(total),
        "COLLECTOR_SIMULATED_BARS": "20",
        "COLLECTOR_SIMULATED_LATENCY": str(latency),
        "COLLECTOR_IN_FLIGHT": str(in_flight),
    }


def run(machine: Machine, kind: str, good: int, poison: int) -> Result:
    """Collects all stocks on a machine that has been started with these `settings`, and stops it."""
    from tasks_app import lifecycle
    from tasks_app.lifecycle.events import Actor
    from tasks_app.models import CollectionItem, CollectionTask, StockList
    from tasks_app.models.events import Channel
    from tasks_app.orders.order import Order

    order = Order(start_date=FIRST_DAY, end_date=LAST_DAY, market="CN", source="poison")
    StockList.objects.all().delete()  # a stored list would be used instead of a malformed one
    pk = lifecycle.start(order, Actor(Channel.COMMAND), today=LAST_DAY).pk
    running = CollectionTask.objects.filter(pk=pk, status="running")
    eventually(lambda: not running.exists(), LONGEST_SECONDS, "the task's end")
    peak_mb = machine.stop()
    task = CollectionTask.objects.get(pk=pk)
    failed = CollectionItem.objects.filter(task=task, state="failed").order_by("position")
    assert task.end_time
    return Result(
        good,
        poison,
        succeeded=task.success_count,
        failed=dict(Counter(failed.values_list("error_code", flat=True))),
        messages=sorted({*failed.values_list("error_message", flat=True), task.error_message} - {""}),
        task_error=task.error_code,
        seconds=(task.end_time - task.start_time).total_seconds(),
        peak_mb=peak_mb,
        deaths=len(re.findall(r"worker-\d+ died", machine.log())),
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.poison_drill", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument(
        "--database",
        default="sqlite",
        help="sqlite or postgresql (temporary), or the URL of an empty database",
    )
    parser.add_argument("--good", type=int, default=60)
    parser.add_argument("--poison", type=int, default=12)
    parser.add_argument("--in-flight", type=int, default=4, help="requests in flight per worker")
    parser.add_argument("--latency", type=float, default=0.1, help="of the source, in seconds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep the log")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}")
    return options


def drill(kind: str, folder: Path, url: str, options: Any) -> bool:
    """Runs one kind on a machine of its own and prints what came of it. Returns whether it held."""
    extra = settings(kind, options.good, options.poison, in_flight=options.in_flight, latency=options.latency)
    machine = Machine(folder, url, **extra)
    try:
        machine.start(options.workers)
        result = run(machine, kind, options.good, options.poison)
    finally:
        machine.close()
    holds = result.holds(kind)
    print(f"{kind}: {'holds' if holds else 'BROKEN'}", flush=True)
    for name in ("succeeded", "failed", "task_error", "deaths"):
        print(f"{name:>12}  {getattr(result, name)}")
    print(f"{'seconds':>12}  {result.seconds:.1f}")
    print(f"{'peak memory':>12}  {result.peak_mb:.0f} MB in one process")
    for message in result.messages[:3]:
        print(f"{'':>12}  {message}", flush=True)
    return holds


def main() -> int:
    """Returns 0 if every kind held."""
    options = arguments()
    with log_folder(options.keep) as folder, database(options.database, folder) as (url, _):
        first = options.kinds[0]
        os.environ.update(environment(url, **settings(first, options.good, options.poison)))
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        held = []
        for kind in options.kinds:
            (folder / kind).mkdir()
            held.append(drill(kind, folder / kind, url, options))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
