"""The short form of the soak: what is killed, lost and doubled changes nothing in the result."""

import sys

import pytest

from tests.concurrency.chaos_runner import struck

KILLS = ("busy worker", "watchdog", "web", "idle worker", "whole lot")
LOSSES = ("queue tenfold", "cache flushed", "queue lost")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_whatever_is_killed_lost_or_doubled_the_result_is_that_of_an_undisturbed_run(
    database_url: str,
) -> None:
    told = struck(database_url, *LOSSES, *KILLS)
    assert f"kills  {len(KILLS)}\n" in told
    assert f"losses  {len(LOSSES)}\n" in told
