"""Slices one at a time, and what they leave behind."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.engine import slice
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, Series, SourceGate
from tasks_app.quotes import month_counts
from tasks_app.sources.base import Bar
from tasks_app.workers import watchdog
from tests.factories import ACTOR, make_task
from tools.in_process import work

CODES = ("000001", "000002", "000003")


def make_first_task(**fields):
    """Starts a task of three stocks of the source `first`."""
    return make_task(**{"source": "first", "stock_codes": CODES, **fields})


def run_one_slice():
    """Runs the first slice in the queue."""
    job = OrmQ.objects.order_by("pk").first()
    job.delete()
    slice.run(*job.task["args"])


def run_all_attempts(task, rounds):
    """Runs slices and the watchdog in turns until the task has ended, at most so many `rounds`.

    Stocks that wait for their next attempt are due at once. No watchdog runs after the end: a round of it
    takes as long as ten stocks.
    """
    for _ in range(rounds):
        work()
        task.refresh_from_db()
        if task.status != "running":
            break
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        watchdog.tick()


def store(source: str, bars_by_code: Mapping[str, Iterable[Bar]]):
    """Stores bars as an earlier task has left them: all days from the first to the last one are answered.

    A task that collects them takes twenty times as long.
    """
    rows, series = [], []
    for code, bars in bars_by_code.items():
        new = [DailyBar(market="CN", symbol=code, source=source, **bar._asdict()) for bar in bars]
        days = [row.day for row in new]
        months = month_counts.dump(month_counts.count_days(days))
        span = {"first_day": days[0], "last_day": days[-1], "covered": [[str(days[0]), str(days[-1])]]}
        series.append(Series(market="CN", symbol=code, bars=len(days), months=months, **span))
        rows += new
    DailyBar.objects.bulk_create(rows)
    Series.objects.bulk_create(series)


def end_pause():
    """Moves the end of the source's pause to a second ago, if it is paused."""
    SourceGate.objects.filter(open_until__isnull=False).update(open_until=Now() - timedelta(seconds=1))


def cancel_if_running(task):
    if CollectionTask.objects.get(pk=task.pk).status == "running":
        lifecycle.cancel(task.pk, ACTOR)
