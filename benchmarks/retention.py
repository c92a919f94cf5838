"""Pruning a million items, and what readers feel of it: `python -m benchmarks.retention [postgresql]`.

Prints how long a batch takes, in the first and in the last tenth of them, and how long the task list takes
in another process while batches follow one another, and while nothing is pruned: by turns.
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

from benchmarks.product import ROOT, a_database, arguments, spread

ITEMS_OF_A_TASK = 5000
YOUNG = 50
DAYS = 30
PAGES = {
    "the task list": "/admin/tasks_app/collectiontask/",
    "the API's": "/api/data-collection/tasks?limit=50",
}
READER = "reader"


def fill(tasks: int) -> None:
    """Old tasks and a page of young ones, a minute apart, each with its items."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    User.objects.create_superuser(READER, password=None)
    with connection.cursor() as cursor:
        for statement in STATEMENTS[connection.vendor]:
            cursor.execute(statement.format(tasks=tasks, young=YOUNG, items=ITEMS_OF_A_TASK))
        cursor.execute("ANALYZE")


def _statements(series: str, uuid: str, at: str) -> list[str]:
    """`at`: an instant n minutes after one that is 100 days ago, or 1 day for those above {tasks}."""
    rows = series.format
    none = "0, 0, 0, 0, 0, 0, 0"
    return [
        f"""INSERT INTO tasks_app_collectiontask (id, status, market, source, fallbacks, adjust, start_date,
            end_date, unknown_codes, test_mode, full_collection_mode, force_update, total_stocks,
            processed_stocks, success_count, failed_count, collected_count, corrected_count, skipped_count,
            refused_count, flagged_count, start_time, heartbeat_at, end_time, error_code, error_message,
            idempotency_hash)
            SELECT {uuid}, 'completed', 'CN', 'simulated', '[]', '', '2024-01-01', '2024-12-31', '[]', false,
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
    """Until nothing is left: each batch's seconds; begin and end of the turns, between rests as long."""
    from tasks_app.lifecycle import retention

    turn, batches, turns, gone = max(1.0, 5 * every), [], [], 1
    while gone:
        first = began = time.monotonic()
        while gone and began < first + turn:
            gone = retention.prune(DAYS).rows
            batches.append(time.monotonic() - began)
            time.sleep(every)
            began = time.monotonic()
        turns.append((first, began))
        time.sleep(turn)
    return {"batches": batches[:-1], "turns": turns}


def read(until: str) -> dict[str, list[tuple[float, float]]]:
    """Begin and end of each look at the pages, until there is that file: no server, no network."""
    from django.contrib.auth.models import User
    from django.test import Client

    client, taken = Client(), {name: [] for name in PAGES}
    client.force_login(User.objects.get(username=READER))
    for address in PAGES.values():
        client.get(address)  # what a process asks once only
    while not os.path.exists(until):
        for name, address in PAGES.items():
            began = time.monotonic()
            assert client.get(address).status_code == 200, address
            taken[name].append((began, time.monotonic()))
            time.sleep(0.01)
    return taken


def start(url: str, part: str, *options: str) -> "subprocess.Popen[str]":
    """A part in a process of its own."""
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
    tell(tasks, pruned["batches"])
    for name, looks in pages.items():
        for when, busy in (("pruning", True), ("resting", False)):
            taken = [end - began for began, end in looks if within(began, pruned["turns"]) == busy]
            print(f"{name:<14} {when:<8} {spread(taken)}, {len(taken):,} looks")


def tell(tasks: int, taken: list[float]) -> None:
    """How long batches took, and whether the last ones took longer than the first ones."""
    print(f"{tasks * ITEMS_OF_A_TASK:,} items, {len(taken):,} batches in {sum(taken):.1f} s: {spread(taken)}")
    tenth = max(1, len(taken) // 10)
    first, last = median(taken[:tenth]), median(taken[-tenth:])
    print(f"first tenth {first * 1000:.1f} ms, last {last * 1000:.1f} ms, ratio {last / first:.2f}")


def within(at: float, turns: list[tuple[float, float]]) -> bool:
    return any(first <= at < last for first, last in turns)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=200, help=f"of {ITEMS_OF_A_TASK:,} items each")
    parser.add_argument("--part", choices=("fill", "prune", "read"), help=SUPPRESS)
    parser.add_argument("--until", default="", help=SUPPRESS)
    parser.add_argument("--every", type=float, default=0.0, help="seconds between batches; the watchdog's: 2")
    given = arguments(parser, tasks=20)
    if not given.part:
        with a_database(given.url) as url:
            compare(url, given.tasks, given.every)
        return
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    parts = {
        "fill": lambda: fill(given.tasks),
        "prune": lambda: prune(given.every),
        "read": lambda: read(given.until),
    }
    print(json.dumps(parts[given.part]()))


if __name__ == "__main__":
    main()
