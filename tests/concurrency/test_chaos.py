"""The short form of the soak: what is killed, lost and doubled changes nothing in the result."""

import sys

import pytest

from tests.concurrency.chaos_runner import run_chaos

KILLS = ("busy worker", "watchdog", "web", "idle worker", "whole lot")
LOSSES = ("queue tenfold", "cache flushed", "queue lost")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_result_is_that_of_an_undisturbed_run(
    database_url: str,
) -> None:
    output = run_chaos(database_url, *LOSSES, *KILLS)
    assert f"kills  {len(KILLS)}\n" in output
    assert f"losses  {len(LOSSES)}\n" in output
