"""Simultaneous processes on one database: `python -m tests.concurrency.processes NAME [SEED]`.

Each drill forks its processes from one interpreter, releases them at a barrier, and prints JSON.
"""

import json
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import connection, connections  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django_q.models import OrmQ  # noqa: E402

from tasks_app import errors, lifecycle  # noqa: E402
from tasks_app.engine import slice  # noqa: E402
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, TaskEvent  # noqa: E402
from tasks_app.sources.simulated.exchange import symbol_at  # noqa: E402
from tests.factories import ACTOR, make_order, make_task  # noqa: E402
from tools.worker_machine import eventually  # noqa: E402

forks = multiprocessing.get_context("fork")


def spawn(count: int, action: Callable[[int], Any]) -> tuple[Any, list[Any], Any]:
    """Forks processes that wait at a barrier; returns it, the processes and the queue of their results."""
    barrier, results = forks.Barrier(count + 1), forks.SimpleQueue()

    def run(number: int) -> None:
        connection.ensure_connection()
        barrier.wait()
        try:
            results.put(action(number))
        except BaseException:
            results.put(traceback.format_exc())
        os._exit(0)

    connections.close_all()
    processes = [forks.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    return barrier, processes, results


def run_at_once(count: int, action: Callable[[int], Any]) -> list[Any]:
    """Returns what each process returned."""
    barrier, processes, results = spawn(count, action)
    barrier.wait()
    return [results.get() for _ in processes]


def starts() -> Any:
    """Thirty processes start a task at the same instant."""

    def start(_: int) -> str:
        try:
            lifecycle.start(make_order(), ACTOR, today=make_order().end_date)
        except errors.TaskAlreadyRunning:
            return "refused"
        return "started"

    return {"answers": Counter(run_at_once(30, start)), "tasks": CollectionTask.objects.count()}


def cancels() -> Any:
    """Twenty processes cancel the same task at the same instant."""
    task = make_task()

    def cancel(_: int) -> str:
        try:
            lifecycle.cancel(task.pk, ACTOR)
        except errors.TaskNotRunning:
            return "refused"
        return "cancelled"

    results = Counter(run_at_once(20, cancel))
    return {"answers": results, "events": TaskEvent.objects.filter(kind="cancelled").count()}


def work_one() -> bool:
    """Takes a slice off the queue and runs it, as a worker does. Returns False if there is none."""
    job = OrmQ.objects.order_by("pk").first()
    if job and OrmQ.objects.filter(pk=job.pk).delete()[0]:
        slice.run(*job.task["args"])
    return job is not None


def work_off(_: int) -> str:
    """Works until the task has ended."""
    while CollectionTask.objects.filter(status="running").exists():
        work_one()
    return "done"


def written() -> Any:
    """Returns everything that a task may write, as one comparable value."""
    bars = DailyBar.objects.aggregate(n=Sum("volume"), amount=Sum("amount"))
    items = list(CollectionItem.objects.order_by("pk").values_list("pk", "state", "fence", "rows_collected"))
    return [DailyBar.objects.count(), bars, items, list(CollectionTask.objects.values().order_by("pk"))]


def cancel_while_writing() -> Any:
    """In each round two processes write and a third cancels at a random moment; then nothing may change."""
    rng = random.Random(int(sys.argv[2]))
    rounds = []
    for number in range(15):
        codes = tuple(symbol_at("US", number * 400 + n).code for n in range(400))
        task = make_task(market="US", stock_codes=codes)
        barrier, processes, results = spawn(2, work_off)
        barrier.wait()
        if number % 2:  # every other cancel comes after the first stock, however slow the machine is
            stored = DailyBar.objects.filter(symbol__in=codes)
            eventually(stored.exists, 30, "the first stock")
        time.sleep(rng.uniform(0.0, 0.25))  # the random moment is what the drill tests
        try:
            lifecycle.cancel(task.pk, ACTOR)
        except errors.TaskNotRunning:
            rounds.append("ended before")
            continue
        before = written()
        ended = [results.get() for _ in processes]
        task.refresh_from_db()
        same = written() == before
        rounds.append("kept" if same and ended == ["done", "done"] else f"broken: {ended}")
    return {"rounds": Counter(rounds), "bars": DailyBar.objects.count()}


def shared_task() -> Any:
    """Two processes share a task to its end."""
    codes = tuple(f"{n:06d}" for n in range(1, 101))
    task = make_task(stock_codes=codes)
    ended = run_at_once(2, work_off)
    task.refresh_from_db()
    return {
        "ended": ended,
        "status": task.status,
        "success": task.success_count,
        "bars": DailyBar.objects.count(),
    }


if __name__ == "__main__":
    drill = {
        "starts": starts,
        "cancels": cancels,
        "cancel_while_writing": cancel_while_writing,
        "shared_task": shared_task,
    }
    print(json.dumps(drill[sys.argv[1]](), default=str))
