"""Measures how a stock list becomes a plan: `python -m benchmarks.planning [URL] [--quick]`.

Empties the database! Plans a simulated market of 200,000 stocks: stores the stocks and creates the task's
items, first with all stocks new, then with none, then with all of them renamed. A bare writer writes the
same rows into the same two tables, on SQLite by `executemany`, on PostgreSQL by COPY, each in one
transaction. Every part runs in a process of its own; its peak memory is printed beside that before it had
read the list.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.harness import ROOT, parse_arguments, temporary_database
from benchmarks.ingest import prepare, start

TARGET = 0.25  # bare ÷ engine: the engine compares each stock with the stored one, and commits often
PARTS = ("new", "known", "renamed", "bare")
ITEM = {"state": "pending", "source": "", "error_code": "", "error_message": ""}
ITEM |= dict.fromkeys(("attempts", "fence"), 0)
ITEM |= {f"rows_{name}": 0 for name in ("collected", "corrected", "skipped", "refused", "flagged")}


def peak() -> float:
    """Returns this process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in KiB


def plan(suffix: str = "") -> float:
    """Starts a task and plans it in this process; returns the seconds from the list's arrival to the plan.

    `suffix` is added to the stocks' names.
    """
    from django.conf import settings

    from tasks_app import lifecycle
    from tasks_app.engine import item_planner
    from tasks_app.engine.answers import StockListing
    from tasks_app.models import CollectionItem, CollectionLane
    from tasks_app.sources import registry

    task = start()
    lane = lifecycle.begin(
        task.pk, 0, CollectionLane.objects.get(task=task, number=0).generation, "benchmark"
    )
    listed = registry.get_source(task.source, settings.COLLECTOR).symbols(task.market)
    symbols = StockListing(replace(one, name=one.name + suffix) for one in listed)
    del listed
    began = time.perf_counter()
    assert item_planner.plan(task, lane, lambda: symbols, settings.COLLECTOR)
    seconds = time.perf_counter() - began
    assert CollectionItem.objects.filter(task=task).count() == len(symbols)
    cancel(task)
    return seconds


def write_bare() -> float:
    """Writes the same rows with the database's driver; returns the seconds."""
    from django.conf import settings
    from django.db import connection

    from tasks_app.models import CollectionItem, CollectionTask, Stock
    from tasks_app.sources import registry

    task = start()
    CollectionTask.objects.filter(pk=task.pk).update(status="cancelled", end_time=task.start_time)
    Stock.objects.all().delete()
    symbols = registry.get_source(task.source, settings.COLLECTOR).symbols(task.market)
    key = CollectionTask._meta.pk.get_db_prep_value(task.pk, connection)
    key = uuid.UUID(key) if connection.vendor == "postgresql" and isinstance(key, str) else key
    began = time.perf_counter()
    stocks = (
        (
            task.market,
            one.code,
            one.name,
            one.exchange,
            one.listed_on and one.listed_on.isoformat(),
            "[]",
            False,
        )
        for one in symbols
    )
    columns = "market, code, name, exchange, listed_on, former_names, full_collection_completed"
    items = ((key, position, one.code, *ITEM.values()) for position, one in enumerate(symbols))
    _write(Stock._meta.db_table, columns, stocks)
    _write(CollectionItem._meta.db_table, f"task_id, position, code, {', '.join(ITEM)}", items)
    return time.perf_counter() - began


def _write(table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["?"] * len(columns.split(",")))
            cursor.cursor.connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def cancel(task: Any) -> None:
    """Ends the task, so that the next one can start."""
    from tasks_app import lifecycle
    from tasks_app.lifecycle.events import Actor
    from tasks_app.models.events import Channel

    lifecycle.cancel(task.pk, Actor(Channel.COMMAND))


def run_part(part: str, url: str, stocks: int) -> None:
    """Runs one part in this process, and prints its seconds and memory before and at peak."""
    prepare(url, stocks, 250)
    before = peak()
    seconds = write_bare() if part == "bare" else plan(" B" if part == "renamed" else "")
    print(f"{seconds} {before} {peak()}")


def measure(part: str, url: str, stocks: int) -> float:
    """Runs one part in a process of its own; prints its row and returns its seconds."""
    command = [sys.executable, "-m", "benchmarks.planning", url, "--part", part, "--stocks", str(stocks)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True)
    seconds, before, most = map(float, done.stdout.split()[-3:])
    rate = f"{seconds:6.1f} s {stocks / seconds:9,.0f} stocks/s"
    print(f"{part:8} {rate}  peak {most:.0f} MB (before {before:.0f})", flush=True)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--stocks", type=int, default=200_000)
    parser.add_argument("--part", choices=PARTS, help="only this part, in this process")
    options = parse_arguments(parser, stocks=20_000)
    if options.part:
        run_part(options.part, options.url, options.stocks)
        return 0
    with temporary_database(options.url) as url:
        *engine, bare = (measure(part, url, options.stocks) for part in PARTS)
    ratios = [bare / seconds for seconds in engine]
    print(
        "bare ÷ engine: "
        + ", ".join(f"{part} {ratio:.2f}" for part, ratio in zip(PARTS, ratios, strict=False))
    )
    return 0 if min(ratios) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
