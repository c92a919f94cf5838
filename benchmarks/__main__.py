"""Runs the short form of every benchmark in less than two minutes: `python -m benchmarks`."""

import argparse
import os
import subprocess
import sys
import time

from benchmarks.harness import ROOT
from tools.postgresql import postgresql

PARTS = {
    "ingest, SQLite: engine ÷ bare writer": ["ingest"],
    "ingest, PostgreSQL: engine ÷ bare writer": ["ingest", "postgresql"],
    "market, PostgreSQL: two workers, then again with nothing new": ["ingest", "postgresql", "--market"],
    "api, SQLite: ÷ bare DRF view, ÷ FastAPI and a dict": ["api"],
    "under load, PostgreSQL: cancel, start, pages and 1,000 clients during a market run": [
        "under_load",
        "postgresql",
    ],
    "bulk read, PostgreSQL: Arrow stream ÷ bare COPY, one day of all codes": ["bulk_read", "postgresql"],
    "request rate, SQLite: achieved ÷ allowed, speed-up by slices": ["request_rate"],
}


def run(words: list[str]) -> int:
    """Runs one benchmark; returns its exit code."""
    name, *others = words
    command = [sys.executable, "-m", f"benchmarks.{name}", *others, "--quick"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Returns 1 if a benchmark failed or missed its target; the others run all the same."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # --help must not run them all
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
        print(f"Failed or missed a target: {title}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
