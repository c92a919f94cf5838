"""The outcome of a task, for every way in which tasks and their stocks can end."""

from datetime import date
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionTask, Stock
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.quotes import coverage
from tests.factories import ACTOR, make_claim, make_lane, make_task
from tools.in_process import work

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL

SUCCEEDED, SKIPPED, FAILED = ItemState.SUCCEEDED, ItemState.SKIPPED, ItemState.FAILED
NEW, CORRECTED = Outcome(SUCCEEDED, collected=3), Outcome(SUCCEEDED, corrected=1)
UNCHANGED, EMPTY = Outcome(SUCCEEDED, skipped=3), Outcome(SUCCEEDED)
STORED, CLOSED = Outcome(SKIPPED, skipped=3), Outcome(SKIPPED)  # no request was made
REFUSED, FLAGGED = Outcome(SUCCEEDED, collected=2, refused=1), Outcome(SUCCEEDED, collected=3, flagged=1)
LOST = Outcome(FAILED, error_code="timeout")


def end_with(*ends: Outcome, **fields: Any) -> CollectionTask:
    """Returns a task that ended with one stock for each of `ends`."""
    task = make_task(stock_codes=tuple(f"{n + 1:06d}" for n in range(len(ends))), **fields)
    for claim, end in zip(lifecycle.claim(make_lane(task), len(ends)), ends, strict=True):
        lifecycle.record(claim, end)
    task.refresh_from_db()
    return task


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        ([NEW, NEW], "complete"),
        ([CORRECTED], "complete"),
        pytest.param([FLAGGED], "complete", marks=pytest.mark.soak),
        pytest.param([NEW, EMPTY], "complete", marks=pytest.mark.soak),
        pytest.param([NEW, STORED], "complete", marks=pytest.mark.soak),
        ([NEW, LOST], "with_failures"),
        ([EMPTY, LOST], "with_failures"),
        pytest.param([STORED, LOST], "with_failures", marks=pytest.mark.soak),
        ([NEW, REFUSED], "with_failures"),
        ([STORED, STORED], "nothing_new"),
        ([UNCHANGED], "nothing_new"),
        pytest.param([STORED, EMPTY], "nothing_new", marks=pytest.mark.soak),
        ([EMPTY, EMPTY], "no_bars"),
        pytest.param([CLOSED, CLOSED], "no_bars", marks=pytest.mark.soak),
        pytest.param([EMPTY, CLOSED], "no_bars", marks=pytest.mark.soak),
    ],
)
def test_completed_task_says_what_it_brought(ends: list[Outcome], outcome: str) -> None:
    task = end_with(*ends)
    assert (task.status, task.outcome) == ("completed", outcome)
    assert CollectionTask.objects.filter(outcome=outcome).get() == task


@any_database
def test_stored_data_are_counted_anew_when_a_task_has_ended(
    own_cache: None, django_capture_on_commit_callbacks: Any
) -> None:
    assert coverage.cached_coverage() == []
    Stock.objects.create(market="CN", code="000001")
    with django_capture_on_commit_callbacks(execute=True):
        end_with(NEW)
    assert [row.empty for row in coverage.cached_coverage()] == [1]


@any_database
def test_left_out_code_is_a_failure() -> None:
    task = end_with(NEW)
    running = make_task(stock_codes=("000001",))
    CollectionTask.objects.filter(pk=running.pk).update(unknown_codes=["999999"])
    lifecycle.record(make_claim(running), NEW)
    running.refresh_from_db()
    assert (task.outcome, running.outcome) == ("complete", "with_failures")


@any_database
def test_plan_without_stocks_brings_nothing_new() -> None:
    """That no stock was asked for says nothing about bars of these days."""
    task = make_task(stock_codes=None)
    lifecycle.plan(make_lane(task), [])
    task.refresh_from_db()
    assert (task.status, task.outcome) == ("completed", "nothing_new")


@any_database
@pytest.mark.parametrize(
    "end", [NEW, *(pytest.param(end, marks=pytest.mark.soak) for end in (STORED, EMPTY))]
)
def test_retry_has_an_outcome_of_its_own(end: Outcome) -> None:
    old = end_with(NEW, LOST)
    new = lifecycle.retry(old.pk, ACTOR)
    assert new.outcome is None
    lifecycle.record(make_claim(new), end)
    new.refresh_from_db()
    old.refresh_from_db()
    assert (old.outcome, new.outcome) == ("with_failures", end_with(end).outcome)


def test_task_without_the_status_completed_has_no_outcome() -> None:
    running = make_task()
    lifecycle.record(make_claim(running), NEW)
    running.refresh_from_db()
    assert (running.status, running.outcome) == ("running", None)
    cancelled = lifecycle.cancel(running.pk, ACTOR)
    assert (cancelled.status, cancelled.collected_count, cancelled.outcome) == ("cancelled", 3, None)
    failed = end_with(LOST, LOST)
    assert (failed.status, failed.outcome) == ("failed", None)


@pytest.mark.parametrize("status", TaskStatus.values)
def test_outcome_of_a_stored_task_follows_its_counters(status: str) -> None:
    """Also of tasks from before there were outcomes, which were only ever stored with these columns."""
    day, ended = date(2024, 1, 2), None if status == "running" else timezone.now()
    fields = {"market": "US", "source": "sample", "start_date": day, "end_date": day, "end_time": ended}
    task = CollectionTask.objects.create(status=status, skipped_count=5, **fields)
    expected = TaskOutcome.NOTHING_NEW if status == "completed" else None
    assert CollectionTask.objects.values_list("outcome", flat=True).get(pk=task.pk) == expected


def test_outcome_of_an_ended_task_does_not_change() -> None:
    task = CollectionTask.objects.filter(pk=end_with(EMPTY).pk)
    for change in ({"unknown_codes": ["1"]}, {"collected_count": 1}, {"failed_count": 1}):
        with pytest.raises(DatabaseError, match="final tasks do not change"), transaction.atomic():
            task.update(**change)
    assert task.get().outcome == "no_bars"


def collect(first: date, last: date) -> CollectionTask:
    task = make_task(
        start_date=first, end_date=last, source="sample", market="US", stock_codes=("AAPL",), fallbacks=()
    )
    work()
    task.refresh_from_db()
    return task


@any_database
def test_run_that_brought_nothing_says_why() -> None:
    first, again = (collect(date(2013, 2, 4), date(2013, 2, 8)) for _ in range(2))
    weekend = collect(date(2013, 2, 2), date(2013, 2, 3))
    assert [task.outcome for task in (first, again, weekend)] == ["complete", "nothing_new", "no_bars"]
    assert first.collected_count == again.skipped_count == 5
