"""Compares BRIN indexes and partitions with today's table: `python -m benchmarks.storage postgresql://…`.

Stores the same bars in several layouts, each in a separate schema, runs the product's own queries and writes
on each alternately, and prints medians and quartiles. Most bars are stored series by series, as a first
collection does, and the last year day by day over all series, as daily collections do. Needs an empty
database on an otherwise idle server; drops its schemas at the end and keeps the product's empty tables.
30 million bars take 22 GB and 15 minutes.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from statistics import quantiles
from typing import Any

from benchmarks import ingest

SESSIONS, LATEST = 5560, 244  # sessions of a series; the last ones are stored day by day
FIRST = date(2003, 1, 6)  # a Monday; every weekday is a session
NEW, MANY = 2500, 500  # bars of a new series; series that get a new day
FEW = 3  # rounds of what takes seconds each
BARS, SERIES, STOCKS = "tasks_app_dailybar", "tasks_app_series", "tasks_app_stock"

ALIKE = "CREATE TABLE {0} (LIKE public.{0} INCLUDING ALL)"
PLAIN = f"CREATE TABLE {BARS} (LIKE public.{BARS} INCLUDING ALL EXCLUDING INDEXES)"
BY_YEAR = f"{PLAIN} PARTITION BY RANGE (day)"
YEARS = [
    f"CREATE TABLE of_{year} PARTITION OF {BARS} FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
    for year in range(FIRST.year, FIRST.year + 24)
]
KEY = f"ALTER TABLE {BARS} ADD PRIMARY KEY (id)"
YEARS_KEY = f"ALTER TABLE {BARS} ADD PRIMARY KEY (id, day)"  # must contain the partition key
UNIQUE = f"ALTER TABLE {BARS} ADD CONSTRAINT one_bar UNIQUE (market, symbol, adjust, day)"
BRIN = f"CREATE INDEX bars_by_day ON {BARS} USING brin (day)"
INSTEAD = (
    f"ALTER TABLE {BARS} DROP CONSTRAINT one_bar",
    f"CREATE INDEX bars_by_series ON {BARS} USING brin (symbol, day)",
)

FILL = f"""INSERT INTO {BARS} (market, symbol, adjust, day, open, high, low, close, prev_close, volume,
    amount, amplitude, change, change_pct, turnover, source, item_id)
    SELECT 'CN', lpad(code::text, 6, '0'), '', date '{FIRST}' + n / 5 * 7 + n % 5, price,
    price * 1.02::float8, price * 0.98::float8, price * 1.01::float8, price, 1000000 + n, price * 1e6, 4,
    price * 0.01::float8, 1, 0.5, 'csv', code
    FROM generate_series({{}}) AS {{}}, LATERAL (
        SELECT *, 10 + (code * 31 + n * 17) % 997 / 100::float8 AS price
        FROM generate_series({{}}) AS {{}} OFFSET 0) AS inner_loop"""
FILL_STOCKS = f"""INSERT INTO {STOCKS} (market, code, name, exchange, former_names, full_collection_completed)
    SELECT 'CN', lpad(code::text, 6, '0'), '', '', '[]', false FROM generate_series(0, %s - 1) AS code"""
FILL_SERIES = f"""INSERT INTO {SERIES} (market, symbol, adjust, bars, first_day, last_day, covered)
    SELECT 'CN', code, '', %s, %s, %s, '[]' FROM {STOCKS}"""
SIZES = f"""SELECT CASE WHEN c.relkind = 'r' THEN 'table' WHEN a.amname = 'brin' THEN 'BRIN'
        WHEN i.indisprimary THEN 'index of the id' ELSE 'unique index' END, sum(pg_relation_size(c.oid)) / 1e6
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
    WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'i')
        AND coalesce(i.indrelid, c.oid) NOT IN ('{SERIES}'::regclass, '{STOCKS}'::regclass)
    GROUP BY 1 ORDER BY 2 DESC"""


@dataclass(frozen=True)
class TableLayout:
    """One way to store the bars: the statements that create its table and indexes."""

    name: str
    codes: int
    sessions: int = SESSIONS
    table: Sequence[str] = (PLAIN,)
    indexes: Sequence[str] = (KEY, UNIQUE)

    @property
    def earlier(self) -> int:
        """The number of sessions that are stored series by series."""
        return self.sessions - LATEST


def layouts(bars: int) -> list[TableLayout]:
    codes = max(MANY, bars // SESSIONS)
    return [
        TableLayout("of_thousand", 1, sessions=1000),
        TableLayout("of_million", 180),
        TableLayout("product", codes),
        TableLayout("brin", codes, indexes=(KEY, UNIQUE, BRIN)),
        TableLayout("by_year", codes, table=(BY_YEAR, *YEARS), indexes=(YEARS_KEY, UNIQUE)),
    ]


def session(number: int) -> date:
    return FIRST + timedelta(number // 5 * 7 + number % 5)


def execute(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


# ---------------------------------------------------------------- the tables


@contextmanager
def built(wanted: Sequence[TableLayout]) -> Iterator[None]:
    try:
        for layout in wanted:
            build(layout)
        execute("CHECKPOINT")
        yield
    finally:
        for layout in wanted:
            execute(f"DROP SCHEMA IF EXISTS {layout.name} CASCADE")


def build(layout: TableLayout) -> None:
    """Creates, fills and vacuums its tables, since autovacuum may be off."""
    execute(f"CREATE SCHEMA {layout.name}")
    use(layout)
    for statement in (ALIKE.format(STOCKS), ALIKE.format(SERIES), *layout.table):
        execute(statement)
    execute(FILL_STOCKS, layout.codes)
    execute(FILL_SERIES, layout.sessions, FIRST, session(layout.sessions - 1))
    codes, latest = f"0, {layout.codes - 1}", f"{layout.earlier}, {layout.sessions - 1}"
    seconds = [
        _seconds(execute, FILL.format(codes, "code", f"0, {layout.earlier - 1}", "n")),
        _seconds(lambda: [execute(statement) for statement in layout.indexes]),
        _seconds(execute, FILL.format(latest, "n", codes, "code")),
        _seconds(execute, f"VACUUM (ANALYZE) {STOCKS}, {SERIES}, {BARS}"),
    ]
    parts = zip(
        ("series by series", "its indexes", "the last year day by day", "vacuum"), seconds, strict=True
    )
    print(f"{layout.name}:", ", ".join(f"{part} {took:.0f} s" for part, took in parts), flush=True)


def use(layout: TableLayout) -> None:
    """Makes the product's queries use this layout's tables."""
    execute(f"SET search_path TO {layout.name}, public")


# ---------------------------------------------------------------- what is measured


def queries(layout: TableLayout, code: str) -> dict[str, Any]:
    """Returns the product's queries of bars by name."""
    from tasks_app.models import DailyBar
    from tasks_app.quotes import csv_export
    from tasks_app.quotes.adjusted_prices import Basis
    from tasks_app.quotes.series import bars_of

    rows, bars = csv_export.bar_rows("CN", code, Basis("")).order_by("day"), bars_of("CN", code, "")
    year, latest = (date(2004, 1, 1), date(2004, 12, 31)), session(layout.earlier)
    whole = {
        "one series, all years": rows,
        "the days of one series, for its gaps": bars.order_by("day").values_list("day", flat=True),
    }
    known = {
        "one series, a year stored at once": rows.filter(day__range=year),
        "one series, the last year, stored day by day": rows.filter(day__gte=latest),
        "a page of 100 of its bars": rows.filter(day__gt=year[0])[:101],
        "the last close before a day": bars.filter(day__lt=year[1]).order_by("-day").values_list("close")[:1],
        "a page of the list of all bars": DailyBar.objects.order_by("market", "symbol", "adjust", "-day")[
            :101
        ],
        "one bar by its id": DailyBar.objects.filter(pk=layout.codes * layout.earlier // 2),
    }
    return known if layout.sessions < SESSIONS else known | whole


def one_day(layout: TableLayout) -> dict[str, Any]:
    """Returns queries that only an index or partition by day could serve. The product has none of them."""
    from tasks_app.models import DailyBar

    closes = DailyBar.objects.filter(market="CN", adjust="").values_list("symbol", "close")
    return {
        "**not a query of the product:** an early day, all codes": closes.filter(day=session(300)),
        "**not a query of the product:** a day of the last year, all codes": closes.filter(
            day=session(layout.earlier + LATEST // 2)
        ),
    }


def sums(layout: TableLayout, code: str) -> dict[str, Callable[[], Any]]:
    from django.db.models import Count, Max

    from tasks_app.quotes import coverage
    from tasks_app.quotes.series import bars_of

    bars = bars_of("CN", code, "")
    known = {
        "bars of one series counted within a year": bars.filter(day__year=2004).count,
        "coverage of the market (one bar per series)": coverage.compute_coverage,
    }
    version = partial(bars.aggregate, Count("pk"), Max("pk"), Max("collected_at"))
    return known if layout.sessions < SESSIONS else known | {"version of one series' chart": version}


def writes(layout: TableLayout, code: str, number: int) -> dict[str, Callable[[], Any]]:
    """Returns the product's writes by name, one transaction per series."""
    from tasks_app.quotes.series import bars_of
    from tasks_app.sources.base import Bar

    held = bars_of("CN", code, "").order_by("-day").values_list(*Bar._fields)[:NEW]
    stored = [Bar(*row) for row in held][::-1]
    series, day = make_bars(SESSIONS - NEW, NEW), make_bars(layout.sessions + number, 1)
    known = {
        f"write a new series of {NEW:,} bars, by COPY": lambda: store(f"A{number}", series, NEW, first=True),
        "the same by way of the staging table": lambda: store(f"B{number}", series, NEW),
        f"write one new day of {MANY} series": lambda: [store(f"{one:06}", day, 1) for one in range(MANY)],
    }
    again = {f"compare {NEW:,} stored bars, nothing new": lambda: store(code, stored, 0)}
    return known if layout.sessions < SESSIONS else known | again


def make_bars(start: int, count: int) -> list[Any]:
    from tasks_app.sources.base import Bar

    days = map(session, range(start, start + count))
    return [Bar(day, 10.0, 12.0, 9.0, 11.0, 1000, 10.0, 1e6, 4.0, 1.0, 10.0, 0.5) for day in days]


def store(code: str, bars: Sequence[Any], new: int, *, first: bool = False) -> None:
    from django.db import transaction

    from tasks_app.quotes import upsert
    from tasks_app.sources.base import Request

    request = Request("CN", code, bars[0].day, bars[-1].day)
    with transaction.atomic():
        stored = upsert.upsert_bars(request, upsert.Provenance("csv", 1), bars, expect_new=first)
    assert (stored.collected, stored.corrected) == (new, 0), stored


# ---------------------------------------------------------------- measuring and reporting

Timings = dict[str, dict[str, list[float]]]  # by measurement with its unit, then by layout


def compare(wanted: Sequence[TableLayout], rounds: int, *, plans: bool) -> None:
    timings: Timings = defaultdict(lambda: defaultdict(list))
    sizes_by_layout = {layout.name: dict(execute(SIZES, layout.name)) for layout in wanted}
    for number in range(rounds):
        for layout in random.sample(wanted, len(wanted)):
            use(layout)
            code = f"{random.randrange(layout.codes):06}"
            read(layout.name, queries(layout, code), sums(layout, code), timings)
            if number < FEW and layout.sessions == SESSIONS:
                read(layout.name, one_day(layout), {}, timings)
            for name, write in writes(layout, code, number).items():
                before = _wal_megabytes()
                timings[f"{name}, ms"][layout.name].append(_seconds(write) * 1000)
                timings[f"{name}, MB of WAL"][layout.name].append(_wal_megabytes() - before)
    if plans:
        for layout in wanted:
            explain(layout)
    without_the_unique_index(next(one for one in wanted if one.name == "brin"), sizes_by_layout, timings)
    report(sizes_by_layout, timings)


def without_the_unique_index(layout: TableLayout, sizes_by_layout: dict[str, Any], timings: Timings) -> None:
    """Measures reads only: without that index a bar could be stored twice, and the upsert is impossible."""
    use(layout)
    for statement in (*INSTEAD, f"VACUUM (ANALYZE) {BARS}"):
        execute(statement)
    sizes_by_layout["brin_only"] = dict(execute(SIZES, layout.name))
    for _ in range(FEW):
        code = f"{random.randrange(layout.codes):06}"
        read("brin_only", queries(layout, code), sums(layout, code), timings)


def read(
    layout: str, querysets: dict[str, Any], others: dict[str, Callable[[], Any]], timings: Timings
) -> None:
    """Runs each query twice and times the second run, so that the disk does not matter."""
    for name, query in querysets.items():
        list(query.all())
        timings[f"{name}, ms"][layout].append(_seconds(lambda query=query: list(query.all())) * 1000)
    for name, action in others.items():
        action()
        timings[f"{name}, ms"][layout].append(_seconds(action) * 1000)


def _seconds(action: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - began


def _wal_megabytes() -> float:
    """Returns the size of the server's write-ahead log so far in MB."""
    return float(execute("SELECT (pg_current_wal_insert_lsn() - '0/0') / 1e6")[0][0])


def explain(layout: TableLayout) -> None:
    use(layout)
    found = queries(layout, f"{layout.codes // 2:06}")
    for name, query in (found | (one_day(layout) if layout.sessions == SESSIONS else {})).items():
        plan = query.explain(analyze=True, buffers=True, costs=False, timing=False, summary=True)
        print(f"\n## {layout.name}: {name}\n{plan}", flush=True)


def report(sizes_by_layout: dict[str, dict[str, Any]], timings: Timings) -> None:
    """Prints a Markdown table."""
    columns = [*sizes_by_layout]
    print("\n|", *(f"| {column} " for column in columns), "|\n", "|---" * (len(columns) + 1), "|", sep="")
    for name in dict.fromkeys(name for sizes in sizes_by_layout.values() for name in sizes):
        print(
            f"| {name}, MB |",
            " | ".join(f"{sizes_by_layout[column].get(name, 0):,.1f}" for column in columns),
            "|",
        )
    for name, by_layout in timings.items():
        print(f"| {name} |", " | ".join(_cell(by_layout.get(column, ())) for column in columns), "|")


def _cell(values: Sequence[float]) -> str:
    """Returns the median with the quartiles in brackets."""
    if len(values) < 2:
        return f"{values[0]:,.1f}" if values else "–"
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:,.1f} ({low:,.1f}–{high:,.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.add_argument("url", help="an empty database on PostgreSQL")
    parser.add_argument("--bars", type=int, default=30_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 million bars, 5 rounds")
    parser.add_argument("--explain", action="store_true", help="print the query plans, too")
    options = parser.parse_args()
    ingest.prepare(options.url, 1, 1)
    bars, rounds = (3_000_000, 5) if options.quick else (options.bars, options.rounds)
    wanted = layouts(bars)
    with built(wanted):
        compare(wanted, rounds, plans=options.explain)


if __name__ == "__main__":
    main()
