"""Measures pruning a million items, and readers meanwhile: `python -m benchmarks.retention [postgresql]`.

Prints how long a batch takes, in the first and in the last tenth of all batches, and how long the task list
takes in another process while batches run and, alternately, while nothing is pruned.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import ROOT, format_spread, parse_arguments, temporary_database

ITEMS_OF_A_TASK = 5000
RECENT_TASKS = 50
DAYS = 30
PAGES = {
    "the task list": "/admin/tasks_app/collectiontask/",
    "the API's": "/api/data-collection/tasks?limit=50",
}
READER = "reader"


def fill(tasks: int) -> None:
    """Creates old tasks and a page of recent ones, a minute apart, each with its items."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    User.objects.create_superuser(READER, password=None)
    with connection.cursor() as cursor:
        for statement in STATEMENTS[connection.vendor]:
            cursor.execute(statement.format(tasks=tasks, young=RECENT_TASKS, items=ITEMS_OF_A_TASK))
        cursor.execute("ANALYZE")


def _statements(series: str, uuid: str, at: str) -> list[str]:
    """`at` is SQL for n minutes after 100 days ago, or after 1 day ago for n > {tasks}."""
    rows = series.format
    none = "0, 0, 0, 0, 0, 0, 0"
    return [
        f"""INSERT INTO tasks_app_collectiontask (id, status, market, source, fallbacks, adjust, start_date,
            end_date, unknown_codes, test_mode, full_collection_mode, force_update, total_stocks,
            processed_stocks, success_count, failed_count, collected_count, corrected_count, skipped_count,
            refused_count, flagged_count, start_time, heartbeat_at, end_time, error_code, error_message,
            idempotency_hash)
            SELECT {uuid}, 'completed', 'SIM', 'simulated', '[]', '', '2024-01-01', '2024-12-31', '[]', false,
            false, false, {{items}}, 0, {none}, {at}, {at}, {at}, '', '', ''
            FROM {rows(n="{tasks} + {young}")}""",
        f"""INSERT INTO tasks_app_collectionitem (task_id, position, code, state, attempts, fence,
            rows_collected, rows_corrected, rows_skipped, rows_refused, rows_flagged, source, error_code,
            error_message, finished_at)
            SELECT id, n - 1, 'S' || n, 'succeeded', 1, 1, 1, 0, 0, 0, 0, '', '', '', end_time
            FROM tasks_app_collectiontask, {rows(n="{items}")} ORDER BY start_time, n""",
    ]


STATEMENTS = {
    "postgresql": _statements(
        "generate_series(1, {n}) AS n",
        "gen_random_uuid()",
        "now() + n * interval '1 minute' - CASE WHEN n <= {tasks} THEN 100 ELSE 1 END * interval '1 day'",
    ),
    "sqlite": _statements(
        "(WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {n}) SELECT n FROM up)",
        "lower(hex(randomblob(16)))",
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '+' || n || ' minutes',"
        " CASE WHEN n <= {tasks} THEN '-100 days' ELSE '-1 day' END)",
    ),
}


def prune(every: float) -> dict[str, Any]:
    """Prunes everything; returns the seconds per batch, and the periods of pruning between equal pauses."""
    from tasks_app.lifecycle import retention

    turn, batches, turns, gone = max(1.0, 5 * every), [], [], 1
    while gone:
        first = began = time.monotonic()
        while gone and began < first + turn:
            gone = retention.prune(DAYS).total
            batches.append(time.monotonic() - began)
            time.sleep(every)
            began = time.monotonic()
        turns.append((first, began))
        time.sleep(turn)
    return {"batches": batches[:-1], "turns": turns}


def read(until: str) -> dict[str, list[tuple[float, float]]]:
    """Opens the pages until the file `until` exists; returns begin and end of each request."""
    from django.contrib.auth.models import User
    from django.test import Client

    client, requests = Client(), {name: [] for name in PAGES}
    client.force_login(User.objects.get(username=READER))
    for address in PAGES.values():
        client.get(address)  # warms up what a process loads once
    while not os.path.exists(until):
        for name, address in PAGES.items():
            began = time.monotonic()
            assert client.get(address).status_code == 200, address
            requests[name].append((began, time.monotonic()))
            time.sleep(0.01)
    return requests


def start(url: str, part: str, *options: str) -> "subprocess.Popen[str]":
    """Starts a part in a separate process."""
    command = [sys.executable, "-m", "benchmarks.retention", url, "--part", part, *options]
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def result(process: "subprocess.Popen[str]") -> Any:
    out, _ = process.communicate()
    assert process.returncode == 0, process.args
    return json.loads(out or "null")


def compare(url: str, tasks: int, every: float) -> None:
    result(start(url, "fill", "--tasks", str(tasks)))
    with tempfile.TemporaryDirectory() as folder:
        over = Path(folder, "over")
        reader = start(url, "read", "--until", str(over))
        pruned = result(start(url, "prune", "--every", str(every)))
        over.touch()
        pages = result(reader)
    report(tasks, pruned["batches"])
    for name, requests in pages.items():
        for when, busy in (("pruning", True), ("resting", False)):
            times = [end - began for began, end in requests if is_within(began, pruned["turns"]) == busy]
            print(f"{name:<14} {when:<8} {format_spread(times)}, {len(times):,} requests")


def report(tasks: int, times: list[float]) -> None:
    """Prints the seconds per batch, and the ratio of the last tenth to the first."""
    items = tasks * ITEMS_OF_A_TASK
    print(f"{items:,} items, {len(times):,} batches in {sum(times):.1f} s: {format_spread(times)}")
    tenth = max(1, len(times) // 10)
    first, last = median(times[:tenth]), median(times[-tenth:])
    print(f"first tenth {first * 1000:.1f} ms, last {last * 1000:.1f} ms, ratio {last / first:.2f}")


def is_within(at: float, turns: list[tuple[float, float]]) -> bool:
    return any(first <= at < last for first, last in turns)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=200, help=f"of {ITEMS_OF_A_TASK:,} items each")
    parser.add_argument("--part", choices=("fill", "prune", "read"), help=SUPPRESS)
    parser.add_argument("--until", default="", help=SUPPRESS)
    parser.add_argument("--every", type=float, default=0.0, help="seconds between batches; the watchdog's: 2")
    options = parse_arguments(parser, tasks=20)
    if not options.part:
        with temporary_database(options.url) as url:
            compare(url, options.tasks, options.every)
        return
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    parts = {
        "fill": lambda: fill(options.tasks),
        "prune": lambda: prune(options.every),
        "read": lambda: read(options.until),
    }
    print(json.dumps(parts[options.part]()))


if __name__ == "__main__":
    main()
