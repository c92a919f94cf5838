"""A cancel is final from its answer on, by whatever way it comes; and a hung source holds nobody up."""

import time
from pathlib import Path

import pytest

from tests.concurrency.collection import Collections
from tests.concurrency.own_database import configured, on_postgresql, soak_on_sqlite
from tools import cancel_storm
from tools.worker_machine import Machine, eventually

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


@soak_on_sqlite
def test_cancel_frees_workers_for_the_next_task(database: str, tmp_path: Path) -> None:
    collections = Collections(tmp_path)
    with configured(**collections.environment):
        machine = Machine(tmp_path, database)
        machine.start()
        try:
            collections.start()
            hung = {line.pid for line in collections.wait_for_requests(2)}
            assert len(hung) == 2
            collections.cancel()
            collections.wait_until_idle()  # although both requests still hang
            eventually(lambda: not hung & set(machine.living()), what="the end of the hung requests")
            assert len(collections.requests()) == 2
            collections.start()
            collections.finish()
            collections.assert_complete()
        finally:
            machine.close()
