"""The short form of the benchmarks: `python -m benchmarks`, in less than two minutes."""

import os
import subprocess
import sys
import time

from benchmarks.product import ROOT
from tools.postgresql import postgresql

PARTS = {
    "ingest, SQLite: engine ÷ bare writer": ["ingest"],
    "ingest, PostgreSQL: engine ÷ bare writer": ["ingest", "postgresql"],
    "market, PostgreSQL: two workers, then again with nothing new": ["ingest", "postgresql", "--market"],
    "api, SQLite: ÷ bare DRF view, ÷ FastAPI and a dict": ["api"],
    "busy, PostgreSQL: cancel, start, pages and 1,000 watchers during a market run": ["busy", "postgresql"],
    "kindness, SQLite: achieved ÷ allowed, speed-up by slices": ["kindness"],
}


def run(words: list[str]) -> int:
    """One benchmark's exit code."""
    name, *others = words
    command = [sys.executable, "-m", f"benchmarks.{name}", *others, "--quick"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """1 when a benchmark said so; the others run nevertheless."""
    missed = []
    with postgresql() as server:
        os.environ["TEST_DATABASE_URL"] = server
        for title, words in PARTS.items():
            print(f"\n=== {title}", flush=True)
            began = time.monotonic()
            if run(words):
                missed.append(title)
            print(f"--- {time.monotonic() - began:.0f} s", flush=True)
    for title in missed:
        print(f"A promise was missed, or it failed: {title}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
