"""The short form of benchmarks.chaos."""

import subprocess
import sys
import time

from tools.worker_machine import ROOT, environment

QUICK = {"COLLECTOR_LEASE": "4", "COLLECTOR_SLICE_SECONDS": "1"}


def struck(database: str, *strikes: str, stocks: int = 60, **options: str) -> str:
    """Strike a site these ways, in this order; what the drill printed. Fails when a promise was broken."""
    given = {"strikes": ",".join(strikes), "seed": str(time.time_ns() % 10_000), "stocks": str(stocks)}
    flags = [f"--{name}={value}" for name, value in {**given, **options}.items()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", f"--database={database}", *flags],
        cwd=ROOT,
        env=environment(database, **QUICK),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise held" in done.stdout
    return done.stdout
