"""Compares the admin's lists at two table sizes: `python -m benchmarks.lists [--database postgresql|sqlite]`.

Fills a small and a big temporary database with SQL, opens the same pages in both alternately, and prints each
page's median time in both and the ratio. `--explain` prints the query plans of the big database instead.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any
from urllib.parse import urlencode

from benchmarks.harness import ROOT, temporary_database

BARS_OF_A_STOCK = 2500
RARE = 110  # rows at the far end of a list, the same number at any size: a full page
STAFF = "reader"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--bars", type=int, default=10_000_000)
    parser.add_argument("--small", type=int, default=1000, help="tasks and bars of the small database")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--part", choices=("fill", "open"), help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------- the parts, each in one database


def fill(tasks: int, bars: int) -> None:
    """Fills tables to this size, with a few rare rows at the far end of each list."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    User.objects.create_superuser(STAFF, password=None)
    stocks = max(1, bars // BARS_OF_A_STOCK)
    numbers = {"tasks": tasks, "rare": RARE, "stocks": stocks, "days": bars // stocks}
    with connection.cursor() as cursor:
        for statement in STATEMENTS[connection.vendor]:
            cursor.execute(statement.format(**numbers))
        cursor.execute("ANALYZE")


def _statements(series: str, uuid: str, at: str, day: str) -> list[str]:
    """`series(n)` is a table of n = 1 … n; `at` and `day` are SQL for n minutes and n days later."""
    rows = series.format
    rare = "CASE WHEN n <= {rare} THEN '%s' ELSE '%s' END"
    ended = "CASE WHEN n <= {rare} THEN 'cancelled' WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END"
    none = "0, 0, 0, 0, 0, 0, 0, 0, 0"
    return [
        f"""INSERT INTO tasks_app_collectiontask (id, status, market, source, fallbacks, adjust, start_date,
            end_date, unknown_codes, test_mode, full_collection_mode, force_update, total_stocks,
            processed_stocks, success_count, failed_count, collected_count, corrected_count, skipped_count,
            refused_count, flagged_count, start_time, heartbeat_at, end_time, error_code, error_message,
            idempotency_hash)
            SELECT {uuid}, {ended}, {rare % ("HK", "CN")}, {rare % ("sample", "csv")}, '[]', '',
            '2024-01-01', '2024-12-31', '[]', false, false, false, {none}, {at}, {at}, {at}, '', '', ''
            FROM {rows(n="{tasks}")}""",
        """INSERT INTO tasks_app_collectionitem (task_id, position, code, state, attempts, fence,
            rows_collected, rows_corrected, rows_skipped, rows_refused, rows_flagged, source, error_code,
            error_message, finished_at)
            SELECT id, 0, '000001', 'succeeded', 1, 1, 1, 0, 0, 0, 0, '', '', '', start_time
            FROM tasks_app_collectiontask""",
        f"""INSERT INTO tasks_app_stock (market, code, name, exchange, former_names,
            full_collection_completed, created_at)
            SELECT 'CN', 'S' || n, 'Stock ' || n, '', '[]', false, '2024-01-01'
            FROM {rows(n="{stocks}")}""",
        f"""INSERT INTO tasks_app_dailybar (market, symbol, adjust, day, open, high, low, close, volume,
            source, collected_at)
            SELECT 'CN', code, '', {day}, 10, 12, 9, 11, 1000, 'csv', '2024-01-01'
            FROM tasks_app_stock, {rows(n="{days}")}""",
        """INSERT INTO tasks_app_dailybar (market, symbol, adjust, day, open, high, low, close, volume,
            source, collected_at)
            SELECT 'HK', symbol, 'qfq', day, open, high, low, close, volume, source, collected_at
            FROM tasks_app_dailybar WHERE symbol = 'S1'""",
        """INSERT INTO tasks_app_series (market, symbol, adjust, bars, first_day, last_day, covered,
            absences, updated_at)
            SELECT market, symbol, adjust, count(*), min(day), max(day), '[]', '[]', '2024-01-01'
            FROM tasks_app_dailybar GROUP BY market, symbol, adjust""",
        f"""INSERT INTO tasks_app_correction (market, symbol, adjust, day, bars, source, corrected_at)
            SELECT 'CN', 'S' || (n % {{stocks}} + 1), '', '2024-01-02', 1, 'csv', '2024-01-01'
            FROM {rows(n="{tasks}")}""",
        f"""INSERT INTO tasks_app_finding (item_id, market, symbol, adjust, day, kind, code, message,
            found_at)
            SELECT n, 'CN', 'S' || (n % {{stocks}} + 1), '', '2024-01-02',
            {rare % ("refused", "flagged")}, 'odd', '', '2024-01-01' FROM {rows(n="{tasks}")}""",
    ]


STATEMENTS = {
    "postgresql": _statements(
        "generate_series(1, {n}) AS n",
        "gen_random_uuid()",
        "timestamptz '2020-01-01' + n * interval '1 minute'",
        "date '2000-01-01' + n",
    ),
    "sqlite": _statements(
        "(WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {n}) SELECT n FROM up)",
        "lower(hex(randomblob(16)))",
        "strftime('%Y-%m-%d %H:%M:%f', '2020-01-01', '+' || n || ' minutes')",
        "date('2000-01-01', '+' || n || ' days')",
    ),
}


def pages() -> dict[str, str]:
    """Returns the address of each page by name. A deep page begins in the middle of its list."""
    from django.db import connection
    from django.urls import reverse

    from tasks_app.models import CollectionTask, DailyBar, Stock

    tasks, items, stocks, bars, corrections, findings = (
        reverse(f"admin:tasks_app_{model}_changelist")
        for model in ("collectiontask", "collectionitem", "stock", "dailybar", "correction", "finding")
    )
    some = CollectionTask.objects.order_by("start_time")[CollectionTask.objects.count() // 2]
    bar = DailyBar.objects.filter(market="CN").order_by("id")[DailyBar.objects.count() // 3]
    page = reverse(
        "admin:tasks_app_stock_change", args=[Stock.objects.get(market=bar.market, code=bar.symbol).pk]
    )
    began = some.start_time.isoformat()
    if connection.vendor == "sqlite":  # where keys hold the stored text
        began = str(some.start_time.replace(tzinfo=None))
    deep = _link({"after": json.dumps([began, str(some.pk)], separators=(",", ":"))})
    return {
        "tasks": tasks,
        "tasks, deep": tasks + deep,
        "tasks, last page": f"{tasks}?before=end",
        "tasks, a rare status": f"{tasks}?status__exact=cancelled",
        "tasks, a rare market": f"{tasks}?market__exact=HK",
        "tasks, a rare source": f"{tasks}?source=sample",
        "tasks, three filters": f"{tasks}?status__exact=cancelled&market__exact=HK&source=sample",
        "tasks, nothing found": f"{tasks}?status__exact=failed&market__exact=HK",
        "tasks, by date": f"{tasks}?since=2020-01-01&until=2020-01-02",
        "tasks, by id": f"{tasks}?q={some.pk}",
        "items": items,
        "items of one task": f"{items}?task__id__exact={some.pk}",
        "bars": bars,
        "bars, deep": bars + _link({"after": json.dumps([*_key(bar)], separators=(",", ":"))}),
        "bars, last page": f"{bars}?before=end",
        "bars, a rare market": f"{bars}?market__exact=HK",
        "bars of a code": f"{bars}?q={bar.symbol}",
        "bars of a code, days": f"{bars}?q={bar.symbol}&since=2000-01-10&until=2000-02-01",
        "corrections": corrections,
        "corrections of a code": f"{corrections}?q={bar.symbol}",
        "findings, a rare kind": f"{findings}?kind__exact=refused",
        "API: tasks": "/api/data-collection/tasks?limit=50",
        "API: tasks, a rare status": "/api/data-collection/tasks?limit=50&status=cancelled",
        "stocks (1 : 4,000)": stocks,
        "stocks, behind (1 : 4,000)": f"{stocks}?stored=behind",
        "a stock": page,
    }


def _link(query: dict[str, str]) -> str:
    return f"?{urlencode(query)}"


def _key(bar: Any) -> Iterator[str]:
    yield from (bar.market, bar.symbol, bar.adjust, bar.day.isoformat())


def open_pages(explain: bool) -> dict[str, float]:
    """Returns the seconds per page, measured in this process: no server, no network."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, times = Client(), {}
    client.force_login(User.objects.get(username=STAFF))
    for name, address in pages().items():
        _read(client, address)  # warms up what a process loads once
        with CaptureQueriesContext(connection) as caught:
            began = time.perf_counter()
            _read(client, address)
            times[name] = time.perf_counter() - began
        if explain:
            print(f"\n## {name}: {times[name] * 1000:.0f} ms", file=sys.stderr)
            _explain([query["sql"] for query in caught if "tasks_app_" in query["sql"]])
    return times


def _read(client: Any, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)


def _explain(statements: list[str]) -> None:
    from django.db import connection

    explain = "EXPLAIN (ANALYZE, COSTS OFF)" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        for statement in statements:
            if not statement.lstrip().startswith("SELECT"):
                continue
            cursor.execute(f"{explain} {statement}")
            print(statement[:160], file=sys.stderr)
            print(*(f"    {row[-1]}" for row in cursor.fetchall()), sep="\n", file=sys.stderr)


# ---------------------------------------------------------------- the comparison


def run(part: str, url: str, *arguments: str) -> Any:
    """Runs one part in a separate process, because a process reads the database URL once."""
    command = [sys.executable, "-m", "benchmarks.lists", "--part", part, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout or "null")


def sized(tasks: int, bars: int) -> list[str]:
    return ["--tasks", str(tasks), "--bars", str(bars)]


def compare(options: argparse.Namespace, small: str, big: str) -> None:
    run("fill", small, *sized(options.small, options.small))
    began = time.perf_counter()
    run("fill", big, *sized(options.tasks, options.bars))
    print(f"{options.database}: filled in {time.perf_counter() - began:.0f} s", flush=True)
    if options.explain:
        run("open", big, "--explain")
        return
    rounds = [(run("open", small), run("open", big)) for _ in range(options.rounds)]
    print(f"{'page':<28}{options.small:>12,}{options.tasks:>12,}   ratio")
    for name in rounds[0][0]:
        few, many = (median(one[side][name] for one in rounds) for side in (0, 1))
        print(f"{name:<28}{few * 1000:>9.1f} ms{many * 1000:>9.1f} ms{many / few:>8.2f}")


def main() -> None:
    options = read_arguments()
    if not options.part:
        kind = "postgresql" if options.database == "postgresql" else ""
        with temporary_database(kind) as small, temporary_database(kind) as big:
            compare(options, small, big)
        return
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    if options.part == "fill":
        fill(options.tasks, options.bars)
    else:
        print(json.dumps(open_pages(options.explain)))


if __name__ == "__main__":
    main()
