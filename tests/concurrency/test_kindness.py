"""One gate for all processes: their requests together keep the rate, and one alone probes a sick source."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.concurrency.collection import Collection
from tests.concurrency.own_database import manage
from tools.request_rate import most_within
from tools.worker_machine import Machine, eventually

RATE = 20
STOCKS = 120
WINDOW = 0.9  # seconds: on a busy machine some pass between leaving the gate and the log's line


class Kind(Collection):
    """A collection from a source that is asked for no more than it allows, and the machine that does it."""

    def __init__(self, url: str, folder: Path, **extra: str) -> None:
        settings = {"COLLECTOR_SIMULATED_STOCKS": str(STOCKS), "COLLECTOR_SIMULATED_LATENCY": "0.1"}
        super().__init__(url, folder, **{**settings, **extra})
        self.machine = Machine(folder, url, **self.extra)
        self.machine.start()

    def times(self) -> list[float]:
        """When the source was asked, in unix seconds."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sorted(float(line.split()[0]) for line in lines)

    def pids(self) -> set[str]:
        return {line.split()[1] for line in self.log.read_text().splitlines()}


@pytest.fixture
def kind(database_url: str, tmp_path: Path) -> Iterator[type[Kind]]:
    """Makes a collection with these settings; its machine is gone afterwards."""
    made: list[Kind] = []

    def make(**extra: str) -> Kind:
        made.append(Kind(database_url, tmp_path, **extra))
        return made[-1]

    yield make  # type: ignore[misc]
    for one in made:
        one.machine.close()


def test_two_processes_never_ask_more_often_than_the_rate_allows(kind: type[Kind]) -> None:
    collection = kind(COLLECTOR_SIMULATED_RATE=str(RATE))
    collection.start()
    ended = collection.ends(60)
    assert (ended["status"], ended["success_count"]) == ("completed", STOCKS)
    begun = collection.times()
    assert len(collection.pids()) == 2
    assert len(begun) == STOCKS
    assert most_within(begun, WINDOW) <= RATE
    achieved = (len(begun) - 1) / (begun[-1] - begun[0]) / RATE
    print(f"achieved {achieved:.1%} of {RATE}/s")  # 95 % is the benchmark's to show


def test_a_slow_rate_is_kept_from_request_to_request(kind: type[Kind]) -> None:
    collection = kind(COLLECTOR_SIMULATED_RATE="0.7", COLLECTOR_SIMULATED_STOCKS="5")
    collection.start()
    assert collection.ends(60)["success_count"] == 5
    begun = collection.times()
    assert most_within(begun, WINDOW / 0.7) == 1


def test_a_killed_process_takes_no_more_than_its_own_requests_with_it(kind: type[Kind]) -> None:
    collection = kind(COLLECTOR_SIMULATED_RATE=str(RATE), COLLECTOR_SIMULATED_STOCKS="60")
    collection.start()
    eventually(lambda: len(collection.times()) > 10, 20, "some requests")
    victim = collection.machine.current().workers[0]
    os.kill(victim, signal.SIGKILL)
    assert collection.ends(60)["success_count"] == 60
    assert most_within(collection.times(), WINDOW) <= RATE


def test_two_processes_stop_asking_a_source_that_refuses_and_one_request_probes_it(kind: type[Kind]) -> None:
    collection = kind(
        COLLECTOR_SIMULATED_RATE="50",
        COLLECTOR_SIMULATED_THROTTLE_RATE="1",
        COLLECTOR_SIMULATED_LATENCY="0",
        COLLECTOR_BREAKER_AFTER="4",
        COLLECTOR_BREAKER_PAUSE="3",
    )
    collection.start()
    eventually(lambda: collection.status()["source_paused_until"], 20, "the breaker")
    time.sleep(1.1)  # until the requests whose time was reserved have been made
    before = len(collection.times())
    assert before < 60
    eventually(lambda: len(collection.times()) > before, 10, "a probe")
    time.sleep(1.0)
    assert len(collection.times()) == before + 1, "one probes, and the pause goes on"
    told = collection.status()
    assert (told["status"], told["failed_count"], told["unattended"]) == ("running", 0, False)
    assert told["source_message"] == "The simulated vendor asks to slow down."


def test_a_cancel_reaches_those_who_wait_at_the_gate(kind: type[Kind]) -> None:
    collection = kind(COLLECTOR_SIMULATED_RATE="1")
    collection.start()
    eventually(collection.times, 20, "a first request")
    manage(collection.url, "collect", "cancel", **collection.extra)
    answered = time.time()
    time.sleep(4)
    late = [at for at in collection.times() if at > answered]
    print(f"{len(late)} requests after the cancel: {[round(at - answered, 2) for at in late]}")
    assert all(at < answered + 2.5 for at in late)
    assert len(late) <= 2
