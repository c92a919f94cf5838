"""How fast bars are stored: `python -m benchmarks.ingest [URL] [--quick] [--market]`. Empties the database!

Without `--market`: the engine on the simulated source, one slice at a time in this process, against
`benchmarks.bare`, which writes the same bars into the same table from this process, too. In turns, medians.
The bare script's clock runs while it writes; the engine's, from start to completed, while its source makes
the bars, too. The figure in brackets puts that on the bare script's clock as well.

With `--market`: 5,400 stocks of 2,500 sessions by `manage.py worker` with two workers, from start to
completed, then again with nothing new; the peak memory of each worker, and its course.
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

from benchmarks.product import ROOT, a_database, arguments

FIRST, LAST = date(2014, 1, 1), date(2024, 12, 31)
SOURCE = "simulated"
# Stocks: (the market?, quick?)
SIZES = {(False, False): 200, (False, True): 40, (True, False): 5400, (True, True): 300}


def prepare(url: str, stocks: int, sessions: int) -> None:
    """Set Django up with this database, migrated."""
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
    settings.DEBUG = False  # as in the workers, whatever the site's setting
    call_command("migrate", verbosity=0)
    gc.freeze()  # as the workers do


def empty() -> None:
    """Nothing is stored, and nothing is left for the database to do about it."""
    from django.core.cache import cache
    from django.db import connection
    from django_q.models import OrmQ

    from tasks_app.models import CollectionTask, DailyBar, Series, Stock, StockList

    cache.clear()  # it has the stock list
    StockList.objects.all().delete()
    CollectionTask.objects.all().delete()
    OrmQ.objects.all().delete()
    tables = [model._meta.db_table for model in (DailyBar, Series, Stock)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
            cursor.execute("CHECKPOINT")
        else:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def start() -> Any:
    """A task for the whole simulated market."""
    from tasks_app import lifecycle
    from tasks_app.lifecycle.events import Actor
    from tasks_app.models.tasks import Channel
    from tasks_app.orders.order import Order

    order = Order(start_date=FIRST, end_date=LAST, source=SOURCE)
    return lifecycle.start(order, Actor(Channel.COMMAND), today=date.today())


def check(task: Any) -> None:
    """It has ended well, without a failure."""
    told = f"{task.status}, {task.failed_count} failed: {task.error_message}"
    assert (task.status, task.failed_count) == ("completed", 0), told


def engine() -> tuple[int, float]:
    """Collect the market in this process; the bars, and the seconds from start to completed."""
    from tools.in_process import work

    began = time.perf_counter()
    task = start()
    work(10_000)
    seconds = time.perf_counter() - began
    task.refresh_from_db()
    check(task)
    return task.collected_count, seconds


def bare() -> tuple[int, float, float]:
    """The same by a bare script: the bars, the seconds of writing and those of making them."""
    from django.conf import settings

    from benchmarks import bare as script
    from tasks_app.sources import registry
    from tasks_app.sources.base import Request

    source, writer = registry.get_source(SOURCE, settings.COLLECTOR), script.writer()
    count, writing, making = 0, 0.0, 0.0
    for symbol in source.symbols("CN"):
        began = time.perf_counter()
        bars = source.fetch(Request("CN", symbol.code, FIRST, LAST))
        made = time.perf_counter()
        writer.write(symbol.code, bars)
        writing, making = writing + time.perf_counter() - made, making + made - began
        count += len(bars)
    writer.connection.close()
    return count, writing, making


def fresh(run: Callable[[], Any]) -> Any:
    empty()
    return run()


def compare(pairs: int) -> float:
    """Print both rates of each pair; the median of the engine's rate ÷ the bare script's."""
    fresh(engine), fresh(bare)  # the first of anything is slower
    ratios = []
    for number in range(pairs):
        if number % 2:
            (there, writing, making), (stored, seconds) = fresh(bare), fresh(engine)
        else:
            (stored, seconds), (there, writing, making) = fresh(engine), fresh(bare)
        assert stored == there, f"{stored} and {there} bars"
        ratios.append(writing / seconds)
        print(
            f"engine {stored / seconds:,.0f} bars/s, bare {there / writing:,.0f} bars/s: {ratios[-1]:.2f}"
            f" (with the making of its bars {(writing + making) / seconds:.2f})",
            flush=True,
        )
    return statistics.median(ratios)


@contextmanager
def worker() -> Iterator[int]:
    """`manage.py worker` with two workers; its process id."""
    command = [sys.executable, "manage.py", "worker", "--workers", "2"]
    quiet = {**os.environ, "DJANGO_LOG_LEVEL": "WARNING"}
    with subprocess.Popen(command, cwd=ROOT, env=quiet, start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def family(pid: int) -> Iterator[int]:
    """The process's descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from family(child)


def memory(pid: int) -> dict[int, tuple[int, int]]:
    """Of each descendant the memory now and at its peak, in MB."""
    found = {}
    for child in family(pid):
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


def market(pid: int) -> tuple[int, float]:
    """Collect the market; the bars, and the seconds by the database's clock. Prints the memory."""
    task, seen, at_100 = start(), {}, {}
    while task.status == "running":
        time.sleep(0.5)
        now = memory(pid)
        seen = {child: now.get(child, (0, 0)) for child in {*seen, *now}} | now
        task.refresh_from_db()
        if not at_100 and task.processed_stocks >= 100:
            at_100 = now
    check(task)
    for child, (resident, peak) in sorted(now.items(), key=lambda one: -one[1][1])[:2]:
        before = at_100.get(child, (0, 0))[0]
        print(f"  worker {child}: {before} MB at the 100th stock, {resident} MB at the last, peak {peak} MB")
    return task.collected_count, (task.end_time - task.start_time).total_seconds()


def tell_market() -> None:
    empty()
    with worker() as pid:
        bars, seconds = market(pid)
        print(f"{bars:,} bars in {seconds:.0f} s: {bars / seconds:,.0f} bars/s", flush=True)
        again, little = market(pid)
        assert not again
        print(
            f"the same again, nothing new: {little:.0f} s, {seconds / little:.1f} times as fast", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--stocks", type=int, help="200; of the market 5,400, with --quick 300")
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--market", action="store_true", help="the whole market by two workers")
    options = arguments(parser, pairs=3)
    usual = SIZES[options.market, options.quick]
    with a_database(options.url) as url:
        prepare(url, options.stocks or usual, options.sessions)
        if options.market:
            tell_market()
            return
        ratio = compare(options.pairs)
        print(f"engine ÷ bare, median: {ratio:.2f}")


if __name__ == "__main__":
    main()
