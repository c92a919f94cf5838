"""The short form of the soak: what is killed, lost and doubled changes nothing in the result.

CHAOS_SEED repeats the random moments and victims of an earlier run, which has printed its seed.
"""

import os
import subprocess
import sys
import time

import pytest

from tests.concurrency.own_database import on_postgresql
from tools.worker_machine import ROOT, environment

SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns() % 10_000)
LOSSES = ("queue tenfold", "cache flushed", "queue lost")
KILLS = ("busy worker", "watchdog", "idle worker", "whole lot")
# On SQLite those of the queue and of a claim. The others are idle processes and whole machines, which
# test_supervisor and test_promises kill on SQLite as well; `make soak` has all of them there for ten minutes.
SQLITE_LOSSES, SQLITE_KILLS = ("queue tenfold", "queue lost"), ("busy worker",)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_result_is_that_of_an_undisturbed_run(database_url: str) -> None:
    losses, kills = (LOSSES, KILLS) if on_postgresql() else (SQLITE_LOSSES, SQLITE_KILLS)
    options = {"strikes": ",".join(losses + kills), "seed": SEED, "stocks": 60}
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tools.chaos", f"--database={database_url}", "--expire", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(database_url), capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}\n" in done.stdout
    assert "every promise held" in done.stdout
    assert f"kills  {len(kills)}\n" in done.stdout
    assert f"losses  {len(losses)}\n" in done.stdout
