"""The short form of the soak: what is killed, lost and doubled changes nothing in the result.

CHAOS_SEED repeats the random moments and victims of an earlier run, which has printed its seed.
"""

import os
import subprocess
import sys
import time

import pytest

from tests.concurrency.own_database import soak_on_sqlite
from tools.worker_machine import ROOT, environment

SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns() % 10_000)
LOSSES = ("queue tenfold", "cache flushed", "queue lost")
KILLS = ("busy worker", "watchdog", "idle worker", "whole lot")
# Those whose processes are back soon. test_supervisor.py kills idle ones, test_promises.py all at once.
QUICK_KILLS = ("busy worker", "watchdog")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@soak_on_sqlite
def test_result_after_quick_faults_is_that_of_an_undisturbed_run(database_url: str) -> None:
    assert_nothing_changes(database_url, LOSSES, QUICK_KILLS, "--small", "--stocks=30")


@pytest.mark.soak
def test_result_after_all_faults_is_that_of_an_undisturbed_run(database_url: str) -> None:
    assert_nothing_changes(database_url, LOSSES, KILLS, "--stocks=60")


def assert_nothing_changes(
    database_url: str, losses: tuple[str, ...], kills: tuple[str, ...], *options: str
) -> None:
    flags = [f"--database={database_url}", "--expire", f"--seed={SEED}", *options]
    command = [sys.executable, "-m", "tools.chaos", *flags, f"--strikes={','.join(losses + kills)}"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(database_url), capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}\n" in done.stdout
    assert "every promise held" in done.stdout
    assert f"kills  {len(kills)}\n" in done.stdout
    assert f"losses  {len(losses)}\n" in done.stdout
