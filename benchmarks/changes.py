"""Measures what numbering the changes costs: `python -m benchmarks.changes [URL] [--quick]`.

Empties the database! The engine collects the simulated market with the triggers of changes and without them,
in turns; prints the median of without ÷ with, from start to completed, and in processor time (on
SQLite that is all).
"""

import argparse
import statistics
import time

from benchmarks.harness import parse_arguments, temporary_database
from benchmarks.ingest import empty_database, prepare, run_engine


def remove_triggers() -> None:
    """Drops the triggers that record changes of bars; the next `empty_database` installs them again."""
    from django.db import connection

    from tasks_app.db.change_triggers import BAR

    with connection.cursor() as cursor:
        for name in ("added", "removed", "changed", "moved"):
            on = "" if connection.vendor == "sqlite" else f" ON {BAR}"
            cursor.execute(f"DROP TRIGGER IF EXISTS {BAR}_{name}{on}")


def seconds(*, recorded: bool) -> tuple[float, float]:
    """Returns the seconds from start to completed, and those of this process's processor time."""
    empty_database()
    if not recorded:
        remove_triggers()
    began = time.process_time()
    elapsed = run_engine()[1]
    return elapsed, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changes", description=__doc__)
    parser.add_argument("--stocks", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--pairs", type=int, default=5)
    options = parse_arguments(parser, pairs=3)
    with temporary_database(options.url) as url:
        prepare(url, options.stocks, options.sessions)
        seconds(recorded=True)  # the first of anything is slower
        pairs = [(seconds(recorded=False), seconds(recorded=True)) for _ in range(options.pairs)]
        for number, name in enumerate(("elapsed", "processor")):
            ratios = [without[number] / recorded[number] for without, recorded in pairs]
            print(f"{name}: {', '.join(f'{ratio:.2f}' for ratio in ratios)}", end="; ")
            print(f"median {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
