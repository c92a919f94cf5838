"""One rate limiter for all processes: together they keep the rate, and one request probes a paused source.

The limiter reserves a time for each request, by the database's clock. That no two processes reserve more
than the rate is exact, and so is that no request begins before its time; both are asserted. How long a busy
machine then takes from a request's beginning to its line in the log is nobody's promise.
"""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from tasks_app.lifecycle import payloads
from tasks_app.models import CollectionItem, SourceGate
from tasks_app.throttle.limiter import CLOCK_GRAIN
from tasks_app.throttle.windows import SPARE
from tests.concurrency.collection import Collections
from tests.concurrency.own_database import configured
from tools.request_rate import most_within
from tools.worker_machine import Machine, eventually

pytestmark = pytest.mark.xdist_group("rate_limit")  # the tests share a worker machine
RATES = {"fast": 20.0, "slow": 0.9, "rare": 0.001}
FAST_STOCKS = 25  # more than the rate of a second
FAKES = "tests.fakes.held_source"
HELD = f"{FAKES}:HeldSource"
SETTINGS = {
    "COLLECTOR_SOURCES": f"fast={HELD},slow={HELD},rare={HELD},refusing={FAKES}:RefusingSource",
    "COLLECTOR_RATES": ",".join(f"{source}={rate}" for source, rate in RATES.items()),
    "COLLECTOR_SIMULATED_STOCKS": "1000",
    "COLLECTOR_BREAKER_AFTER": "2",
    "COLLECTOR_BREAKER_PAUSE": "3600",
}
# A row for each update of a source's row that reserves times: the time after the last one, and their number.
NOTED = "CREATE TABLE reservations (source text, next_at {type}, count integer)"
COUNT = "CASE WHEN NEW.day = OLD.day THEN NEW.requests_today - OLD.requests_today ELSE NEW.requests_today END"
NOTE = f"INSERT INTO reservations VALUES (NEW.source, NEW.next_at, {COUNT});"
TRIGGERS = {
    "sqlite": [
        NOTED.format(type="text"),
        "CREATE TRIGGER note_reservation AFTER UPDATE OF requests_today ON tasks_app_sourcegate"
        f" BEGIN {NOTE} END",
    ],
    "postgresql": [
        NOTED.format(type="timestamptz"),
        f"CREATE FUNCTION note_reservation() RETURNS trigger LANGUAGE plpgsql"
        f" AS $$ BEGIN {NOTE} RETURN NULL; END $$",
        "CREATE TRIGGER note_reservation AFTER UPDATE OF requests_today ON tasks_app_sourcegate"
        " FOR EACH ROW EXECUTE FUNCTION note_reservation()",
    ],
}


@pytest.fixture(scope="module")
def collections(module_database: str, tmp_path_factory: Any) -> Iterator[Collections]:
    """Collections on two workers that serve sources of all these rates."""
    collections = Collections(tmp_path_factory.mktemp("collections"))
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)
    with configured(**{**collections.environment, **SETTINGS}):
        machine = Machine(collections.folder, module_database)
        machine.start()
        yield collections
        machine.close()


def reserved_times(source: str) -> list[float]:
    """Returns the times that were reserved for this source's requests, in ascending unix seconds."""
    step = (1 + SPARE) / RATES[source]
    with connection.cursor() as cursor:
        cursor.execute("SELECT next_at, count FROM reservations WHERE source = %s", [source])
        rows = cursor.fetchall()
    times = []
    for next_at, count in rows:
        after = datetime.fromisoformat(str(next_at))
        after = after if after.tzinfo else after.replace(tzinfo=UTC)
        times += [after.timestamp() - number * step for number in range(count, 0, -1)]
    return sorted(times)


def assert_none_early(collections: Collections, reserved: list[float]) -> None:
    """Each request has a reserved time of its own, and none began before it."""
    begun = sorted(line.at for line in collections.requests())
    assert len(begun) <= len(reserved), "a request was made without a permit"
    early = [at - began for began, at in zip(begun, reserved, strict=False) if at - began > CLOCK_GRAIN]
    assert not early, f"begun so many seconds before their time: {early}"


def start(collections: Collections, source: str, stocks: int) -> None:
    """Starts a task of so many stocks, and notes reservations anew."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM reservations")
    collections.start(source=source, stock_codes=tuple(f"{number:06d}" for number in range(1, stocks + 1)))


def start_on_both(collections: Collections) -> None:
    """Starts a task of which each process has requested a stock, and gets no answer yet."""
    start(collections, "fast", FAST_STOCKS)
    eventually(lambda: len({line.pid for line in collections.requests()}) == 2, what="both processes")


def test_two_processes_keep_the_rate_together(collections: Collections) -> None:
    start_on_both(collections)
    assert collections.finish().success_count == FAST_STOCKS
    reserved = reserved_times("fast")
    assert most_within(reserved, 1.0) <= RATES["fast"]
    assert_none_early(collections, reserved)


def test_rate_is_kept_when_a_process_is_killed(collections: Collections) -> None:
    start_on_both(collections)
    victim = collections.requests()[0].pid
    os.kill(victim, signal.SIGKILL)
    collections.end_leases([victim])
    assert collections.finish().success_count == FAST_STOCKS
    reserved = reserved_times("fast")
    assert most_within(reserved, 1.0) <= RATES["fast"]
    assert_none_early(collections, reserved)


def test_slow_rate_is_kept_between_requests(collections: Collections) -> None:
    start(collections, "slow", 3)
    assert collections.finish().success_count == 3
    reserved = reserved_times("slow")
    assert most_within(reserved, 1 / RATES["slow"]) == 1
    assert_none_early(collections, reserved)


def test_open_breaker_lets_one_probe_through(collections: Collections) -> None:
    gate = SourceGate.objects.filter(pk="refusing")
    claimed = CollectionItem.objects.filter(state="claimed")

    def paused() -> bool:
        """No request is in flight or has a time reserved: its stock would be claimed."""
        return gate.filter(open_until__gt=Now() + timedelta(seconds=1800)).exists() and not claimed.exists()

    start(collections, "refusing", 40)
    collections.answers.release_all()
    eventually(paused, what="the breaker")
    before = len(collections.requests())
    assert before in (2, 3), "the refusals that open it, and what the other process had in flight"
    collections.answers.hold()
    gate.update(open_until=Now())
    collections.wait_for_requests(before + 1)
    assert gate.filter(open_until__gt=Now()).exists(), "paused for all others while one probes"
    collections.answers.release_all()
    eventually(paused, what="a refused probe")
    assert len(collections.requests()) == before + 1
    assert gate.get().refusals == 3
    status = payloads.complete_status(payloads.task_status_summary(collections.task), collections.task)
    assert (status["status"], status["failed_count"], status["unattended"]) == ("running", 0, False)
    assert status["source_paused_until"]
    assert status["source_message"] == "The simulated vendor asks to slow down."
    collections.cancel()
    collections.wait_until_idle()


def test_cancel_reaches_waiting_stocks(collections: Collections) -> None:
    start(collections, "rare", 40)
    collections.wait_for_requests(1)
    waiting = CollectionItem.objects.filter(state="claimed")
    eventually(lambda: waiting.count() > 1, what="a stock that waits in the source's line")
    collections.cancel()
    collections.wait_until_idle()
    SourceGate.objects.filter(pk="rare").update(next_at=Now())  # their turn would have come
    assert len(collections.requests()) == 1
