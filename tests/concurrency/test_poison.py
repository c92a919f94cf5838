"""Poison stocks take no good stock with them: the short form of `tools.poison_drill`."""

import sys
from pathlib import Path

import pytest

from tests.concurrency.own_database import configured, soak_on_sqlite
from tools import poison_drill
from tools.worker_machine import Machine

GOOD, POISON = 5, 1
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
LOSSES = 4  # of each poison stock: the first one with companions or not, and three in isolation


def collect(kind: str, good: int, poison: int, database: str, folder: Path) -> poison_drill.Result:
    """Returns the result of a collection in which every good stock succeeded and every poison one failed."""
    environment = poison_drill.settings(kind, good, poison)
    # Leases that never expire: the supervisor's reports alone release what dead workers held.
    environment |= {"COLLECTOR_LEASE": "600", "COLLECTOR_BACKOFF": "0.1"}
    with configured(**environment):
        machine = Machine(folder, database)
        machine.start()
        try:
            result = poison_drill.run(machine, kind, good, poison)
        finally:
            machine.close()
    assert result.holds(kind), result
    return result


@pytest.mark.any_database  # on PostgreSQL, workers are killed by test_chaos.py and test_promises.py
def test_stocks_that_kill_their_workers_fail_alone(database: str, tmp_path: Path) -> None:
    result = collect("killer", GOOD, POISON, database, tmp_path)
    assert result.deaths <= POISON * LOSSES
    (message,) = result.messages
    assert message.endswith("only this stock: 3. The last worker lost with it was killed by SIGKILL.")


@soak_on_sqlite
def test_stock_that_fills_the_memory_fails_alone(database: str, tmp_path: Path) -> None:
    result = collect("sweller", GOOD, POISON, database, tmp_path)
    # Memory that was reserved before, such as stacks and arenas, may be touched beyond the limit of 320.
    assert 200 < result.peak_mb < 400
    assert result.deaths <= 2, "only if another thread of the worker got the error"


@pytest.mark.soak  # tests/workers/test_memory.py finds such a process
def test_worker_above_its_limit_of_memory_is_killed(database: str, tmp_path: Path) -> None:
    result = collect("shared sweller", GOOD, POISON, database, tmp_path)
    assert 2 <= result.deaths <= LOSSES, "once with companions or not, once in isolation"
