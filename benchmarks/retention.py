"""Pruning a million items, and what readers feel of it: `python -m benchmarks.retention [postgresql]`.

Prints the median time of a batch in the first and the last tenth, and the task list's p99 in another
process: at rest, while batches follow one another without a pause, and once the list is empty of old tasks.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from statistics import median
from typing import Any

from benchmarks.product import ROOT, a_database, arguments, spread

ITEMS_OF_A_TASK = 5000
DAYS = 30
PAGES = {"the task list": "/admin/tasks_app/collectiontask/", "the API's": "/api/data-collection/tasks?limit=50"}
READER = "reader"


def fill(tasks: int) -> None:
    """Old tasks with their items, and as many young ones, a minute apart."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    User.objects.create_superuser(READER, password=None)
    with connection.cursor() as cursor:
        for statement in STATEMENTS[connection.vendor]:
            cursor.execute(statement.format(tasks=tasks, items=ITEMS_OF_A_TASK))
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
            FROM {rows(n="2 * {tasks}")}""",
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


def prune() -> list[float]:
    """Seconds of each batch until nothing is left."""
    from tasks_app.lifecycle import retention

    taken, gone = [], 1
    while gone:
        began = time.perf_counter()
        gone = retention.prune(DAYS).rows
        taken.append(time.perf_counter() - began)
    return taken[:-1]


def read(seconds: float) -> dict[str, list[float]]:
    """Seconds of each page, opened again and again for so long, in this process: no server, no network."""
    from django.contrib.auth.models import User
    from django.test import Client

    client, until = Client(), time.monotonic() + seconds
    client.force_login(User.objects.get(username=READER))
    taken: dict[str, list[float]] = {name: [] for name in PAGES}
    for address in PAGES.values():
        client.get(address)  # what a process asks once only
    while time.monotonic() < until:
        for name, address in PAGES.items():
            began = time.perf_counter()
            assert client.get(address).status_code == 200, address
            taken[name].append(time.perf_counter() - began)
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


def compare(url: str, tasks: int, seconds: float) -> None:
    options = ("--tasks", str(tasks), "--seconds", str(seconds))
    result(start(url, "fill", *options))
    rest = result(start(url, "read", *options))
    pruner, reader = start(url, "prune"), start(url, "read", *options)
    busy, batches = result(reader), result(pruner)
    after = result(start(url, "read", *options))
    tenth = max(1, len(batches) // 10)
    print(f"{tasks * ITEMS_OF_A_TASK:,} items in {len(batches):,} batches, {sum(batches):.1f} s: {spread(batches)}")
    first, last = median(batches[:tenth]), median(batches[-tenth:])
    print(f"first tenth {first * 1000:.1f} ms, last {last * 1000:.1f} ms, ratio {last / first:.2f}")
    for name in PAGES:
        for when, taken in (("at rest", rest), ("pruning", busy), ("after", after)):
            print(f"{name:<14} {when:<8} {spread(taken[name])}")


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=200, help=f"of {ITEMS_OF_A_TASK:,} items each")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each reading")
    parser.add_argument("--part", choices=("fill", "prune", "read"))
    given = arguments(parser, tasks=20, seconds=3.0)
    if not given.part:
        with a_database(given.url) as url:
            compare(url, given.tasks, given.seconds)
        return
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    parts = {"fill": lambda: fill(given.tasks), "prune": prune, "read": lambda: read(given.seconds)}
    print(json.dumps(parts[given.part]()))


if __name__ == "__main__":
    main()
