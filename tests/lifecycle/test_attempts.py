"""The history of a stock's attempts: written with what ends a claim, bounded, and by nobody else."""

import pytest

from tasks_app import lifecycle
from tasks_app.errors import StaleClaim
from tasks_app.lifecycle import Outcome, attempts
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.models import CollectionItem
from tasks_app.models.states import ItemState
from tasks_app.source_settings import MASK, remember_secret
from tests.factories import ACTOR, make_claim, make_task

AT = "2024-03-01T10:00:00.000+00:00"
BUSY = Attempt(AT, "first", latency_ms=30, error_code="throttled", error_message="Not now.", worker="host:7")
BARS = Attempt(AT, "first", latency_ms=12, bars=250, worker="host:8")


def stored():
    return attempts.read(CollectionItem.objects.order_by("position").values_list("attempt_log", flat=True)[0])


@pytest.mark.django_db
def test_attempts_of_all_claims_are_kept_in_order():
    task = make_task()
    claim = make_claim(task)
    claim.add_attempt(BUSY)
    lifecycle.requeue(claim, "throttled", "Not now.", 0.0)
    again = lifecycle.claim(claim.lane, 1)[0]
    again.add_attempt(BARS)
    lifecycle.record(again, Outcome(ItemState.SUCCEEDED, collected=250))
    assert stored() == [BUSY, BARS]


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["record", "requeue", "suspect"])
def test_attempt_is_not_written_after_a_cancel(end):
    task = make_task()
    claim = make_claim(task)
    claim.add_attempt(BUSY)
    lifecycle.cancel(task.pk, ACTOR)
    with pytest.raises(StaleClaim):
        if end == "record":
            lifecycle.record(claim, Outcome(ItemState.SUCCEEDED))
        elif end == "requeue":
            lifecycle.requeue(claim, "throttled", "Not now.", 0.0)
        else:
            lifecycle.suspect(claim, "memory_limit", "Too much.")
    assert stored() == []


@pytest.mark.django_db
def test_lost_worker_is_an_attempt():
    claim = make_claim(make_task())
    lifecycle.rescue_lane(claim.lane, -9)
    (lost,) = stored()
    assert (lost.source, lost.error_code, lost.error_message) == ("", "worker_lost", "was killed by SIGKILL")


def test_attempts_are_bounded():
    log = []
    for number in range(attempts.MOST + 5):
        log = attempts.added(log, Attempt(AT, error_code="odd", error_message="x" * 5000, stocks=number + 2))
    assert [one.stocks for one in attempts.read(log)] == list(range(7, attempts.MOST + 7))
    assert len(log[0]["error_message"]) == attempts.MOST_CHARACTERS


def test_error_of_an_attempt_is_masked():
    remember_secret("s3cret-of-an-attempt")
    (entry,) = attempts.added(None, Attempt(AT, error_code="odd", error_message="with s3cret-of-an-attempt"))
    assert entry["error_message"] == f"with {MASK}"


@pytest.mark.parametrize(
    ("attempt", "result"),
    [
        (BUSY, "error"),
        (BARS, "bars"),
        (Attempt(AT, bars=0), "empty"),
        (Attempt(AT, purpose="factors"), "answered"),
    ],
)
def test_result_of_an_attempt(attempt, result):
    assert attempts.describe(attempt)["result"] == result
