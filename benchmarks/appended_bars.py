"""Measures what daily increments take in the database: `python -m benchmarks.appended_bars [URL] [--quick]`.

Stores one bar of each stock a day, each in a transaction of its own, as a collection does, in an empty
database. Prints the bytes per bar of the bars and of the changes, by table and index: as they grew, with a
VACUUM every five days in place of autovacuum, and with the indexes built anew.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import parse_arguments, temporary_database

VACUUM_EVERY = 5  # days
COMMITS_MAY_WAIT = {  # for the disk: that changes no size
    "sqlite": "PRAGMA synchronous = OFF",
    "postgresql": "SET synchronous_commit = off",
}
SIZES = {
    "sqlite": "SELECT m.tbl_name, m.name, SUM(s.pgsize) FROM sqlite_schema AS m JOIN dbstat AS s "
    "ON s.name = m.name WHERE m.tbl_name IN (%s, %s, %s, %s) GROUP BY 1, 2 ORDER BY 3 DESC",
    "postgresql": "SELECT t.relname, c.relname, pg_table_size(c.oid) FROM pg_class AS t "
    "LEFT JOIN pg_index AS i ON i.indrelid = t.oid JOIN pg_class AS c ON c.oid IN (t.oid, i.indexrelid) "
    "WHERE t.relname IN (%s, %s, %s, %s) GROUP BY 1, 2, 3 ORDER BY 3 DESC",
}


def append_bars(stocks: int, days: int) -> None:
    """Stores the bars day by day, with values in every column that the Chinese sources fill."""
    from django.db import connection, transaction

    from benchmarks.bulk_bars import MARKET, session
    from tasks_app.quotes.upsert import Provenance, upsert_bars
    from tasks_app.sources.base import Bar, Request

    for number in range(days):
        day = session(number)
        for stock in range(stocks):
            price = 10 + (stock * 31 + number * 17) % 997 / 100
            values = (price, round(price * 1.02, 2), round(price * 0.98, 2), round(price * 1.01, 2))
            bar = Bar(day, *values, 1_000_000 + stock, price, price * 1e6, 4.01, 0.13, 1.02, 0.51)
            origin = Provenance("eastmoney", number * stocks + stock + 1)
            with transaction.atomic():
                upsert_bars(Request(MARKET, f"{stock:06d}", day, day), origin, [bar])
        if connection.vendor == "postgresql" and number % VACUUM_EVERY == 0:
            execute("VACUUM")


def execute(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def print_sizes(title: str, bars: int) -> None:
    """Prints the bytes per bar of each table with its indexes, and the changes' share of the bars."""
    totals = dict[str, int]()
    print(title)
    for table, name, size in sizes():
        totals[table] = totals.get(table, 0) + size
        if size / bars >= 0.1:
            print(f"  {name:40} {size / bars:6.1f}")
    bar = totals.pop("tasks_app_dailybar")
    history = sum(totals.values())
    print(
        f"  a bar {bar / bars:.0f} bytes, its history {history / bars:.0f}: {history / bar:.0%} more",
        flush=True,
    )


def sizes() -> Iterator[Any]:
    """Yields table, table or index, and bytes, of the bars and of what is kept of their changes."""
    from django.db import connection

    from tasks_app.models import BarVersion, Change, DailyBar, RowVersion

    tables = [model._meta.db_table for model in (DailyBar, Change, BarVersion, RowVersion)]
    with connection.cursor() as cursor:
        cursor.execute(SIZES[connection.vendor], tables)
        yield from cursor.fetchall()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stocks", type=int, default=1000)
    parser.add_argument("--days", type=int, default=250)
    arguments = parse_arguments(parser, stocks=100, days=50)
    with temporary_database(arguments.url) as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
        import django
        from django.core.management import call_command
        from django.db import connection, connections

        django.setup()
        call_command("migrate", verbosity=0)
        execute(COMMITS_MAY_WAIT[connection.vendor])
        bars = arguments.stocks * arguments.days
        append_bars(arguments.stocks, arguments.days)
        print_sizes(f"{arguments.stocks:,} stocks, {arguments.days} days, {connection.vendor}:", bars)
        for table in ("tasks_app_dailybar", "tasks_app_change"):
            execute(f"REINDEX TABLE {table}" if connection.vendor == "postgresql" else f"REINDEX {table}")
        print_sizes("with the indexes built anew:", bars)
        connections.close_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
