"""Runs the browser tests: `python -m tests.browser [pytest arguments]`. Prints why when they cannot run.

With SOAK=1 those that are marked with soak, too.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.browser import requirements

FOLDER = Path(__file__).resolve().parent


def run(arguments: list[str], out: IO[str] = sys.stdout, migrated: str = "") -> int:
    """Returns pytest's exit code; 0 when the tests were skipped, unless BROWSER_TESTS=required.

    The site's database is a copy of the one at the URL `migrated`, if there is one.
    """
    print("\n=== the browser tests ===", file=out, flush=True)
    if reason := requirements.missing():
        print(f"SKIPPED: {reason}", file=out, flush=True)
        return int(requirements.required())
    # In one process, with one site and one browser: a second pair costs a quarter more processor time, and
    # saves eight seconds of these tests alone, but none beside the other parts of tests.run.
    configuration = ["-c", str(FOLDER / "pytest.ini")]
    everything = ["-m", ""] if os.environ.get("SOAK") else []
    command = [sys.executable, "-m", "pytest", *configuration, str(FOLDER), *everything, *arguments]
    environment = {**os.environ, "MIGRATED_DATABASE_URL": migrated}
    return subprocess.run(
        command, cwd=requirements.ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
