"""The short form of tools.chaos."""

import subprocess
import sys
import time

from tools.worker_machine import ROOT, environment

QUICK = {"COLLECTOR_LEASE": "4", "COLLECTOR_SLICE_SECONDS": "1"}


def run_chaos(database: str, *faults: str, stocks: int = 60, **extra: str) -> str:
    """Injects these faults in this order; returns the report. Fails if a promise was broken."""
    options = {"strikes": ",".join(faults), "seed": str(time.time_ns() % 10_000), "stocks": str(stocks)}
    flags = [f"--{name}={value}" for name, value in {**options, **extra}.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tools.chaos", f"--database={database}", *flags],
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
