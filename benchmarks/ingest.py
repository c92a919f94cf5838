"""Measures how fast bars are stored: `python -m benchmarks.ingest [URL] [--quick] [--market]`.

Empties the database!

Without `--market` the engine, one slice at a time in this process on the simulated source, is compared with
`benchmarks.bare_writer`, which writes the same bars into the same table from this process. The two alternate;
medians are printed. Only the bare writer's writing is timed; the engine is timed from start to completed,
which includes making the bars. For the figure in brackets the bare writer's time includes that as well.

With `--market` two workers of `manage.py worker` collect 5,400 stocks of 2,500 sessions, timed from start to
completed, then again with nothing new; prints each worker's memory at the 100th stock, at the end
and at peak.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, parse_arguments, temporary_database

FIRST, LAST = date(2014, 1, 1), date(2024, 12, 31)
SOURCE = "simulated"
# Stocks: (the market?, quick?)
SIZES = {(False, False): 200, (False, True): 40, (True, False): 5400, (True, True): 300}


def prepare(url: str, stocks: int, sessions: int) -> None:
    """Sets Django up with this database and migrates it."""
    os.environ |= {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "collector_site.settings",
        "COLLECTOR_SIMULATED_STOCKS": str(stocks),
        "COLLECTOR_SIMULATED_BARS": str(sessions),
        "COLLECTOR_SIMULATED_LATENCY": "0",
        "COLLECTOR_NO_THROTTLE": "on",
    }
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    settings.DEBUG = False  # as in the workers
    call_command("migrate", verbosity=0)
    gc.freeze()  # as the workers do


def empty_database() -> None:
    """Deletes everything, and leaves the database no clean-up work for later."""
    from django.core.cache import cache
    from django.db import connection
    from django_q.models import OrmQ

    from tasks_app.db import triggers
    from tasks_app.models import (
        BarVersion,
        Change,
        CollectionTask,
        DailyBar,
        RowVersion,
        Series,
        Stock,
        StockList,
    )

    cache.clear()  # holds the stock list
    StockList.objects.all().delete()
    CollectionTask.objects.all().delete()
    OrmQ.objects.all().delete()
    triggers.remove(plan=["everything"])  # SQLite's would keep a version of each deleted bar
    models = (DailyBar, Series, Stock, Change, BarVersion, RowVersion)
    tables = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
            cursor.execute("CHECKPOINT")
        else:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    triggers.install()


def start() -> Any:
    """Starts a task for the whole simulated market."""
    from tasks_app import lifecycle
    from tasks_app.lifecycle.events import Actor
    from tasks_app.models.events import Channel
    from tasks_app.orders.order import Order

    request = Order(start_date=FIRST, end_date=LAST, source=SOURCE)
    return lifecycle.start(request, Actor(Channel.COMMAND), today=date.today())


def require_completed(task: Any) -> None:
    """Fails unless the task completed without a failure."""
    summary = f"{task.status}, {task.failed_count} failed: {task.error_message}"
    assert (task.status, task.failed_count) == ("completed", 0), summary


def run_engine() -> tuple[int, float]:
    """Collects the market in this process; returns bars and seconds from start to completed."""
    from tools.in_process import work

    began = time.perf_counter()
    task = start()
    work(10_000)
    seconds = time.perf_counter() - began
    task.refresh_from_db()
    require_completed(task)
    return task.collected_count, seconds


def run_bare_writer() -> tuple[int, float, float]:
    """Does the same with the bare writer; returns bars, seconds of writing and seconds of making them."""
    from django.conf import settings

    from benchmarks import bare_writer
    from tasks_app.sources import registry
    from tasks_app.sources.base import Request

    source, writer = registry.get_source(SOURCE, settings.COLLECTOR), bare_writer.writer()
    count, writing, making = 0, 0.0, 0.0
    for symbol in source.symbols("SIM"):
        began = time.perf_counter()
        bars = source.fetch(Request("SIM", symbol.code, FIRST, LAST))
        made = time.perf_counter()
        writer.write(symbol.code, bars)
        writing, making = writing + time.perf_counter() - made, making + made - began
        count += len(bars)
    writer.connection.close()
    return count, writing, making


def on_empty_database(run: Callable[[], Any]) -> Any:
    empty_database()
    return run()


def compare(pairs: int) -> float:
    """Prints both rates of each pair; returns the median of engine ÷ bare writer."""
    on_empty_database(run_engine), on_empty_database(run_bare_writer)  # the first of anything is slower
    ratios = []
    for number in range(pairs):
        if number % 2:
            (there, writing, making), (stored, seconds) = (
                on_empty_database(run_bare_writer),
                on_empty_database(run_engine),
            )
        else:
            (stored, seconds), (there, writing, making) = (
                on_empty_database(run_engine),
                on_empty_database(run_bare_writer),
            )
        assert stored == there, f"{stored} and {there} bars"
        ratios.append(writing / seconds)
        print(
            f"engine {stored / seconds:,.0f} bars/s, bare {there / writing:,.0f} bars/s: {ratios[-1]:.2f}"
            f" (if both include making the bars {(writing + making) / seconds:.2f})",
            flush=True,
        )
    return statistics.median(ratios)


@contextmanager
def worker() -> Iterator[int]:
    """Runs `manage.py worker` with two workers; yields its process id."""
    command = [sys.executable, "manage.py", "worker", "--workers", "2"]
    environment = {**os.environ, "DJANGO_LOG_LEVEL": "WARNING"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def descendants(pid: int) -> Iterator[int]:
    """Yields the ids of the process's descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def memory_of_descendants(pid: int) -> dict[int, tuple[int, int]]:
    """Returns (resident, peak) memory in MB of each descendant."""
    found = {}
    for child in descendants(pid):
        try:
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
        except OSError:
            continue
        values = {
            name: text.split()[0] for name, text in (line.split(":", 1) for line in lines) if text.strip()
        }
        if "VmHWM" in values:
            found[child] = int(values["VmRSS"]) // 1024, int(values["VmHWM"]) // 1024
    return found


def collect_market(pid: int) -> tuple[int, float]:
    """Collects the market; returns bars and seconds by the database's clock. Prints the memory."""
    task, latest, at_100 = start(), {}, {}
    while task.status == "running":
        time.sleep(0.5)
        now = memory_of_descendants(pid)
        latest = {child: now.get(child, (0, 0)) for child in {*latest, *now}} | now
        task.refresh_from_db()
        if not at_100 and task.processed_stocks >= 100:
            at_100 = now
    require_completed(task)
    for child, (resident, peak) in sorted(now.items(), key=lambda one: -one[1][1])[:2]:
        before = at_100.get(child, (0, 0))[0]
        print(f"  worker {child}: {before} MB at the 100th stock, {resident} MB at the last, peak {peak} MB")
    return task.collected_count, (task.end_time - task.start_time).total_seconds()


def report_market() -> None:
    empty_database()
    with worker() as pid:
        bars, seconds = collect_market(pid)
        print(f"{bars:,} bars in {seconds:.0f} s: {bars / seconds:,.0f} bars/s", flush=True)
        new_bars, repeat_seconds = collect_market(pid)
        assert not new_bars
        speed_up = seconds / repeat_seconds
        print(
            f"the same again, nothing new: {repeat_seconds:.0f} s, {speed_up:.1f} times as fast", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--stocks", type=int, help="200; of the market 5,400, with --quick 300")
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--market", action="store_true", help="the whole market by two workers")
    options = parse_arguments(parser, pairs=3)
    default_stocks = SIZES[options.market, options.quick]
    with temporary_database(options.url) as url:
        prepare(url, options.stocks or default_stocks, options.sessions)
        if options.market:
            report_market()
            return
        ratio = compare(options.pairs)
        print(f"engine ÷ bare, median: {ratio:.2f}")


if __name__ == "__main__":
    main()
