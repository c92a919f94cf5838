"""One rate limiter for all processes: together they keep the rate, and one request probes a paused source."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.concurrency.collection import Collection
from tests.concurrency.own_database import manage, rows
from tools.request_rate import most_within
from tools.worker_machine import Machine, eventually

RATE = 20
PAUSED = "SELECT 1 FROM tasks_app_sourcegate WHERE open_until IS NOT NULL"
STOCKS = 120
WINDOW = 0.9  # seconds: on a busy machine time passes between the permit and the line in the log


class LimitedCollection(Collection):
    """A collection from a source with a rate limit, and the worker machine that runs it."""

    def __init__(self, url: str, folder: Path, **extra: str) -> None:
        settings = {"COLLECTOR_SIMULATED_STOCKS": str(STOCKS), "COLLECTOR_SIMULATED_LATENCY": "0.1"}
        super().__init__(url, folder, **{**settings, **extra})
        self.machine = Machine(folder, url, **self.extra)
        self.machine.start()

    def times(self) -> list[float]:
        """Returns when requests were sent, in ascending unix seconds."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted(float(line.split()[0]) for line in lines)

    def pids(self) -> set[str]:
        return {line.split()[1] for line in self.log.read_text().splitlines()}


@pytest.fixture
def make_collection(database_url: str, tmp_path: Path) -> Iterator[type[LimitedCollection]]:
    """Makes a collection with these settings; its machine is stopped afterwards."""
    made: list[LimitedCollection] = []

    def make(**extra: str) -> LimitedCollection:
        made.append(LimitedCollection(database_url, tmp_path, **extra))
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        one.machine.close()


def test_two_processes_keep_the_rate_together(make_collection: type[LimitedCollection]) -> None:
    collection = make_collection(COLLECTOR_SIMULATED_RATE=str(RATE))
    collection.start()
    ended = collection.wait_for_end(60)
    assert (ended["status"], ended["success_count"]) == ("completed", STOCKS)
    begun = collection.times()
    assert len(collection.pids()) == 2
    assert len(begun) == STOCKS
    assert most_within(begun, WINDOW) <= RATE
    achieved = (len(begun) - 1) / (begun[-1] - begun[0]) / RATE
    print(f"achieved {achieved:.1%} of {RATE}/s")  # 95 % is the benchmark's to show


def test_slow_rate_is_kept_between_requests(make_collection: type[LimitedCollection]) -> None:
    collection = make_collection(COLLECTOR_SIMULATED_RATE="0.7", COLLECTOR_SIMULATED_STOCKS="5")
    collection.start()
    assert collection.wait_for_end(60)["success_count"] == 5
    begun = collection.times()
    assert most_within(begun, WINDOW / 0.7) == 1


def test_rate_is_kept_when_a_process_is_killed(make_collection: type[LimitedCollection]) -> None:
    collection = make_collection(COLLECTOR_SIMULATED_RATE=str(RATE), COLLECTOR_SIMULATED_STOCKS="60")
    collection.start()
    eventually(lambda: len(collection.times()) > 10, 20, "some requests")
    victim = collection.machine.current().workers[0]
    os.kill(victim, signal.SIGKILL)
    assert collection.wait_for_end(60)["success_count"] == 60
    assert most_within(collection.times(), WINDOW) <= RATE


def test_open_breaker_lets_one_probe_through(make_collection: type[LimitedCollection]) -> None:
    collection = make_collection(
        COLLECTOR_SIMULATED_RATE="50",
        COLLECTOR_SIMULATED_THROTTLE_RATE="1",
        COLLECTOR_SIMULATED_LATENCY="0",
        COLLECTOR_BREAKER_AFTER="4",
        COLLECTOR_BREAKER_PAUSE="3",
    )
    collection.start()
    eventually(lambda: rows(collection.url, PAUSED), 20, "the breaker")
    time.sleep(1.1)  # until the requests whose time was reserved have been made
    before = len(collection.times())
    assert before < 60
    eventually(lambda: len(collection.times()) > before, 10, "a probe")
    time.sleep(1.0)
    assert len(collection.times()) == before + 1, "one probes, and the pause goes on"
    output = collection.status()
    assert (output["status"], output["failed_count"], output["unattended"]) == ("running", 0, False)
    assert output["source_paused_until"]
    assert output["source_message"] == "The simulated vendor asks to slow down."


def test_cancel_reaches_waiting_requests(make_collection: type[LimitedCollection]) -> None:
    collection = make_collection(COLLECTOR_SIMULATED_RATE="1")
    collection.start()
    eventually(collection.times, 20, "a first request")
    manage(collection.url, "collect", "cancel", **collection.extra)
    answered = time.time()
    time.sleep(4)
    late = [at for at in collection.times() if at > answered]
    print(f"{len(late)} requests after the cancel: {[round(at - answered, 2) for at in late]}")
    assert all(at < answered + 2.5 for at in late)
    assert len(late) <= 2
