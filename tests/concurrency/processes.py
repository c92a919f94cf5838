"""Processes that act at once on one database: `python -m tests.concurrency.processes NAME [SEED]`.

Each drill forks its actors from one interpreter, lets them go at a barrier, and prints what
happened as JSON.
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
from tests.factories import ACTOR, make_order, make_task  # noqa: E402

forks = multiprocessing.get_context("fork")


def spawn(count: int, act: Callable[[int], Any]) -> tuple[Any, list[Any], Any]:
    """Fork actors that wait at a barrier; what they return comes through the queue."""
    barrier, answers = forks.Barrier(count + 1), forks.SimpleQueue()

    def run(number: int) -> None:
        connection.ensure_connection()
        barrier.wait()
        try:
            answers.put(act(number))
        except BaseException:
            answers.put(traceback.format_exc())
        os._exit(0)

    connections.close_all()
    processes = [forks.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    return barrier, processes, answers


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What each actor returned."""
    barrier, processes, answers = spawn(count, act)
    barrier.wait()
    return [answers.get() for _ in processes]


def starts() -> Any:
    """Thirty processes start a task at the same instant."""

    def start(_: int) -> str:
        try:
            lifecycle.start(make_order(), ACTOR, today=make_order().end_date)
        except errors.TaskAlreadyRunning:
            return "refused"
        return "started"

    return {"answers": Counter(at_once(30, start)), "tasks": CollectionTask.objects.count()}


def cancels() -> Any:
    """Twenty processes cancel the same task at the same instant."""
    task = make_task()

    def cancel(_: int) -> str:
        try:
            lifecycle.cancel(task.pk, ACTOR)
        except errors.TaskNotRunning:
            return "refused"
        return "cancelled"

    answers = Counter(at_once(20, cancel))
    return {"answers": answers, "events": TaskEvent.objects.filter(kind="cancelled").count()}


def work_one() -> bool:
    """Take a slice off the queue, as a cluster would, and run it; False when there is none."""
    job = OrmQ.objects.order_by("pk").first()
    if job and OrmQ.objects.filter(pk=job.pk).delete()[0]:
        slice.run(*job.task["args"])
    return job is not None


def work_off(_: int) -> str:
    """Work until the task has ended."""
    while CollectionTask.objects.filter(status="running").exists():
        work_one()
    return "done"


def written() -> Any:
    """Everything that a task may write, as one comparable value."""
    bars = DailyBar.objects.aggregate(n=Sum("volume"), amount=Sum("amount"))
    items = list(CollectionItem.objects.order_by("pk").values_list("pk", "state", "fence", "rows_collected"))
    return [DailyBar.objects.count(), bars, items, list(CollectionTask.objects.values().order_by("pk"))]


def cancel_while_writing() -> Any:
    """Rounds of: two processes write, a third cancels at a random moment, then nothing may move."""
    chance = random.Random(int(sys.argv[2]))
    rounds = []
    for number in range(15):
        codes = tuple(f"{1 + number * 400 + n:06d}" for n in range(400))
        task = make_task(stock_codes=codes)
        barrier, processes, answers = spawn(2, work_off)
        barrier.wait()
        time.sleep(chance.uniform(0.0, 0.25))  # the cancel's random moment is what is tried
        try:
            lifecycle.cancel(task.pk, ACTOR)
        except errors.TaskNotRunning:
            rounds.append("ended before")
            continue
        before = written()
        ended = [answers.get() for _ in processes]
        task.refresh_from_db()
        same = written() == before
        rounds.append("kept" if same and ended == ["done", "done"] else f"broken: {ended}")
    return {"rounds": Counter(rounds), "bars": DailyBar.objects.count()}


def whole() -> Any:
    """Two processes share a task to its end."""
    codes = tuple(f"{n:06d}" for n in range(1, 101))
    task = make_task(stock_codes=codes)
    ended = at_once(2, work_off)
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
        "whole": whole,
    }
    print(json.dumps(drill[sys.argv[1]](), default=str))
