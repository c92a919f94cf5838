"""Poison stocks take no good stock with them: the short form of `tools.poison_drill`."""

import sys
from pathlib import Path

import pytest

from tests.concurrency.own_database import configured
from tools import poison_drill
from tools.worker_machine import Machine

GOOD, POISON = 10, 2
LOSSES = 4  # of each poison stock: the first one with companions or not, and three in isolation


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_stocks_that_kill_their_workers_fail_alone(database: str, tmp_path: Path) -> None:
    settings = poison_drill.settings("killer", GOOD, POISON)
    # Leases that never expire: the supervisor's reports alone release what dead workers held.
    settings |= {"COLLECTOR_LEASE": "600", "COLLECTOR_BACKOFF": "0.1"}
    with configured(**settings):
        machine = Machine(tmp_path, database)
        machine.start()
        try:
            result = poison_drill.run(machine, "killer", GOOD, POISON)
        finally:
            machine.close()
    assert result.holds("killer"), result
    assert result.deaths <= POISON * LOSSES
    (message,) = result.messages
    assert message.endswith("with no other stock in hand: 3. The last one was killed by SIGKILL.")
