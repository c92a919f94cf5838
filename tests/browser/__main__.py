"""The browser tests: `python -m tests.browser [pytest arguments]`. They say aloud when they can't run."""

import subprocess
import sys
from pathlib import Path

from tests.browser import needs

FOLDER = Path(__file__).resolve().parent


def run(arguments: list[str]) -> int:
    """Pytest's exit code; 0 when they were skipped, unless BROWSER_TESTS=required."""
    print("\n=== the browser tests ===", flush=True)
    if reason := needs.missing():
        print(f"SKIPPED: {reason}", flush=True)
        return int(needs.required())
    twice = ["-n", "2", "--dist", "loadfile", "--reruns", "1", "-rR"]  # two sites, two browsers
    configuration = ["-c", str(FOLDER / "pytest.ini")]
    command = [sys.executable, "-m", "pytest", *configuration, *twice, str(FOLDER), *arguments]
    return subprocess.run(command, cwd=needs.ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
