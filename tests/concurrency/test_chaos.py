"""The short form of the soak: what is killed, lost and doubled changes nothing in the result."""

import subprocess
import sys
import time

import pytest

from tools.worker_machine import ROOT, environment

LOSSES = ("queue tenfold", "cache flushed", "queue lost")
KILLS = ("busy worker", "watchdog", "idle worker", "whole lot")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_result_is_that_of_an_undisturbed_run(database_url: str) -> None:
    options = {"strikes": ",".join(LOSSES + KILLS), "seed": time.time_ns() % 10_000, "stocks": 60}
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tools.chaos", f"--database={database_url}", "--expire", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(database_url), capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise held" in done.stdout
    assert f"kills  {len(KILLS)}\n" in done.stdout
    assert f"losses  {len(LOSSES)}\n" in done.stdout
