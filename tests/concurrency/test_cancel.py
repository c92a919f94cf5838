"""A cancel is final from its answer on, by whatever way it comes."""

import time

import pytest

from tests.concurrency.own_database import configured, on_postgresql
from tools import cancel_storm

MANY = {"COLLECTOR_SIMULATED_STOCKS": "1000000", "COLLECTOR_SIMULATED_BARS": "20"}
MET = 5


# In the suite one way on each database. All of them lead to the same verb.
SUITE = "api" if on_postgresql() else "code"


@pytest.mark.parametrize(
    "by", [pytest.param(by, marks=() if by == SUITE else pytest.mark.soak) for by in cancel_storm.CHANNELS]
)
def test_nothing_is_written_after_cancel(database: str, by: str) -> None:
    with configured(**MANY):
        seen = cancel_storm.run(by, seed=time.time_ns() % 10_000, rounds=1000, met=MET)
    print(seen)
    assert seen["broken"] == [], seen
    assert seen[cancel_storm.MET] == MET, f"too few met a write: {seen}"
