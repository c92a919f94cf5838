"""A pause on real workers: no request after it, over their loss and return, and nothing lost or doubled."""

import time
from pathlib import Path

from tasks_app import lifecycle
from tests.concurrency.collection import STOCKS, Collections
from tests.concurrency.own_database import configured, soak_on_sqlite
from tests.factories import ACTOR
from tools.worker_machine import Machine, eventually


@soak_on_sqlite
def test_paused_task_outlives_its_workers_and_loses_nothing(database: str, tmp_path: Path) -> None:
    collections = Collections(tmp_path)
    with configured(**collections.environment):
        machine = Machine(tmp_path, database)
        machine.start()
        try:
            held = collections.start_and_answer(2)
            lifecycle.pause(collections.pk, ACTOR)
            paused_at = time.time()
            collections.wait_until_idle()  # although both requests still hang
            assert time.time() - paused_at < 10
            eventually(lambda: not set(held) & set(machine.living()), what="the end of the hung requests")
            task = collections.task
            assert (task.status, task.processed_stocks) == ("running", 2)
            machine.close()
            machine.start()  # a deploy
            eventually(lambda: len(machine.living()) >= 2, what="the new workers")
            assert len(collections.requests()) == 4
            lifecycle.resume(collections.pk, ACTOR)
            collections.finish()
            collections.assert_complete()
            assert sorted(collections.repeated()) == sorted(held.values())  # only what was under way
            assert len(collections.requests()) == STOCKS + 2
            assert all(line.at < paused_at for line in collections.requests()[:4])
        finally:
            machine.close()
