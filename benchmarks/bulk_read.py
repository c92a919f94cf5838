"""Measures bulk reads from the web server: `python -m benchmarks.bulk_read [URL] [--quick]`.

Fills the database unless it has bars, and reads them from quickstart's web server as a client does: one day
of all codes, the first time and again; 300 stocks × 5 years; all bars as an Arrow stream and as a panel; all
as of a moment before a year of daily collections and corrections of every stock. On
PostgreSQL the whole stream alternates with a bare `COPY … TO STDOUT` of the same rows and columns, by psycopg
in this process. Prints medians, the ratio, and the peak memory of the web server's processes.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from benchmarks.harness import Access, parse_arguments, quickstart, temporary_database
from benchmarks.ingest import descendants

STOCKS, SESSIONS = 300, 1250  # of the second read
CHUNK = 2**20
LATER = 250  # sessions that a read as of a moment takes back


def prepare(url: str, stocks: int, sessions: int) -> tuple[int, int]:
    """Sets Django up with this database, and fills it if it is empty; returns its stocks and sessions."""
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from benchmarks import bulk_bars
    from tasks_app.models import Series

    if not Series.objects.exists():
        began = time.perf_counter()
        bulk_bars.fill(stocks, sessions)
        print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
    analyze()
    return Series.objects.count(), int(Series.objects.values_list("bars", flat=True)[0])


def analyze() -> None:
    """Gathers statistics, as autovacuum does after a load."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


class Reader:
    """A client of the web server."""

    def __init__(self, access: Access) -> None:
        self.url = f"{access['url']}/api/data-collection/bars"
        self.headers = {"Authorization": f"Token {access['token']}"}

    def read(self, **query: str) -> tuple[float, int]:
        """Returns the seconds to the last byte of an Arrow stream, and its bytes."""
        request = Request(f"{self.url}?{urlencode({'format': 'arrow', **query})}", headers=self.headers)
        began, size = time.perf_counter(), 0
        with urlopen(request) as response:
            while chunk := response.read(CHUNK):
                size += len(chunk)
        return time.perf_counter() - began, size


def copy_bars() -> float:
    """Returns the seconds of a bare COPY of all bars, in the columns that a bulk read has by default."""
    from django.db import connection

    from benchmarks.bulk_bars import MARKET

    sql = (
        "COPY (SELECT symbol, day, open, high, low, close, volume, amount FROM tasks_app_dailybar "
        f"WHERE market = '{MARKET}' AND adjust = '') TO STDOUT"
    )
    began = time.perf_counter()
    with connection.cursor() as cursor, cursor.cursor.copy(sql) as copy:
        for _ in copy:
            pass
    return time.perf_counter() - began


def web_processes() -> Iterator[int]:
    """Yields the ids of the web server's processes below this one."""
    for pid in descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"gunicorn" in command:
            yield pid


def peak_memory() -> int:
    """Returns the peak resident memory in MB of the largest of the web server's processes."""
    peaks = []
    for pid in web_processes():
        status = Path(f"/proc/{pid}/status").read_text()
        peaks.append(int(status.split("VmHWM:")[1].split()[0]) // 1024)
    return max(peaks)


def measure_days(reader: Reader, sessions: int, rounds: int) -> None:
    """Prints the seconds of days of all codes, none read twice."""
    from benchmarks.bulk_bars import MARKET, session

    days = [session(sessions * (number + 1) // (rounds + 2)).isoformat() for number in range(rounds + 1)]
    first, *later = [reader.read(market=MARKET, start=day, end=day)[0] for day in days]
    print(
        f"one day of all codes: {first:.2f} s the first time, then median {statistics.median(later):.2f} s "
        f"({min(later):.2f} to {max(later):.2f}); peak memory {peak_memory()} MB",
        flush=True,
    )


def measure_years(reader: Reader, sessions: int, rounds: int) -> None:
    """Prints the seconds of a few hundred stocks × five years."""
    from benchmarks.bulk_bars import MARKET, session
    from tasks_app.models import Series

    symbols = list(Series.objects.order_by("symbol").values_list("symbol", flat=True))
    codes = symbols[:: max(1, len(symbols) // STOCKS)][:STOCKS]
    start = session(max(0, sessions - SESSIONS))
    query = {"market": MARKET, "codes": ",".join(codes), "start": start.isoformat()}
    seconds = [reader.read(**query)[0] for _ in range(rounds)]
    print(
        f"{len(codes)} stocks × {min(SESSIONS, sessions):,} sessions: median {statistics.median(seconds):.2f}"
        f" s ({min(seconds):.2f} to {max(seconds):.2f})",
        flush=True,
    )


def measure_market(reader: Reader, bars: int, rounds: int, *, compare: bool) -> float:
    """Prints the rates of all bars as one stream, and of a bare COPY; returns the median ratio, or 1."""
    from benchmarks.bulk_bars import MARKET

    ratios: list[float] = []
    for number in range(rounds):
        runs: list[Callable[[], float]] = [lambda: reader.read(market=MARKET)[0], copy_bars]
        order = slice(None, None, -1 if number % 2 else 1)
        seconds = [run() for run in (runs if compare else runs[:1])[order]][order]
        ratios.append(seconds[-1] / seconds[0] if compare else 1)
        rates = ", ".join(f"{bars / one:,.0f} rows/s" for one in seconds)
        print(f"all bars, Arrow{' and bare COPY' if compare else ''}: {rates}", flush=True)
    peak = peak_memory()
    ratio = statistics.median(ratios)
    print(f"{f'Arrow ÷ COPY, median: {ratio:.2f}; ' if compare else ''}peak memory {peak} MB", flush=True)
    seconds_of_panel, size = reader.read(market=MARKET, layout="wide")
    print(
        f"panel of all closes: {seconds_of_panel:.1f} s, {size / 1e6:.0f} MB; peak memory {peak_memory()} MB"
    )
    return ratio


def measure_as_of(reader: Reader, stocks: int, sessions: int, rounds: int) -> None:
    """Prints the seconds of all bars now and as of a moment after which every stock was changed."""
    from benchmarks.bulk_bars import MARKET, change_later

    number = str(change_later(stocks, sessions, LATER))
    analyze()
    pairs = [
        (reader.read(market=MARKET)[0], reader.read(market=MARKET, as_of=number)[0]) for _ in range(rounds)
    ]
    ratio = statistics.median(then / now for now, then in pairs)
    seconds = ", ".join(f"{now:.2f} and {then:.2f} s" for now, then in pairs)
    print(f"all bars now and as of {LATER} sessions earlier: {seconds}; median ratio {ratio:.2f}; ", end="")
    print(f"peak memory {peak_memory()} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_read", description=__doc__)
    parser.add_argument("--stocks", type=int, default=5400)
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parse_arguments(parser, stocks=600, sessions=1500, rounds=3)
    with temporary_database(options.url) as url:
        stocks, sessions = prepare(url, options.stocks, options.sessions)
        print(f"{stocks:,} stocks × {sessions:,} sessions, {date.today()}", flush=True)
        with quickstart(url) as access:
            reader = Reader(access)
            measure_days(reader, sessions, options.rounds)
            measure_years(reader, sessions, options.rounds)
            is_postgresql = url.startswith("postgres")
            measure_market(reader, stocks * sessions, options.rounds, compare=is_postgresql)
            measure_as_of(reader, stocks, sessions, options.rounds)


if __name__ == "__main__":
    main()
