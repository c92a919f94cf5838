"""How fast a task goes, when it may end, and how it went over time."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from tasks_app.lifecycle import progress
from tasks_app.models import CollectionTask
from tests.factories import make_ended, make_run, make_task

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL


def minutes(length: timedelta | None) -> float:
    assert length is not None
    return length.total_seconds() / 60


@any_database
def test_pace_of_a_steady_run_has_a_narrow_range():
    now = timezone.now()
    task = make_run(total=1000, ages=[n * 0.6 for n in range(500)], planned=300, now=now)
    found = progress.estimate_pace(task, now)
    assert found.per_minute == pytest.approx(100)
    assert minutes(found.low) < 5 < minutes(found.high)
    assert minutes(found.high) - minutes(found.low) < 2


def test_pace_of_a_slowing_run_has_a_wide_range():
    now = timezone.now()
    ages = [600 + n * 0.1 for n in range(500)] + [n * 6.0 for n in range(50)]
    found = progress.estimate_pace(make_run(total=1100, ages=ages, planned=660, now=now), now)
    assert found.per_minute == pytest.approx(10)
    assert minutes(found.low) < 550 / 50
    assert minutes(found.high) > 550 / 10


def test_time_left_is_unknown_without_recent_stocks():
    now = timezone.now()
    assert progress.estimate_pace(make_task(), now) == progress.UNKNOWN
    CollectionTask.objects.all().delete()
    silent = progress.estimate_pace(make_run(total=10, ages=[400.0], planned=500, now=now), now)
    assert silent == progress.Pace(0.0, None, None)


@any_database
def test_pace_of_an_ended_task_costs_no_query(django_assert_num_queries):
    task = make_ended("completed")
    with django_assert_num_queries(0):
        assert progress.estimate_pace(task) == progress.UNKNOWN


@any_database
def test_pace_costs_one_query(django_assert_num_queries):
    task = make_run(total=50, ages=[1.0] * 20, planned=60)
    with django_assert_num_queries(1):
        progress.estimate_pace(task)


@pytest.mark.parametrize(
    ("hours", "width"),
    [
        (0.01, 1),
        (29, 1800),
        pytest.param(0.45, 30, marks=pytest.mark.soak),
        pytest.param(24 * 90, 172_800, marks=pytest.mark.soak),
    ],
)
def test_throughput_has_at_most_sixty_intervals(hours, width):
    now = timezone.now()
    span = hours * 3600
    task = make_run(total=200, ages=[span * n / 100 for n in range(100)], planned=span, failed=30, now=now)
    found = progress.throughput(task.pk, now=now)
    assert 10 < len(found) <= 60
    assert {bucket.width.total_seconds() for bucket in found} == {width}
    assert [later.at - earlier.at for earlier, later in pairwise(found)] == [timedelta(seconds=width)] * (
        len(found) - 1
    )
    assert sum(bucket.failed for bucket in found) == 30
    assert sum(bucket.succeeded for bucket in found) == 70


@any_database
def test_throughput_costs_two_queries(django_assert_num_queries):
    task = make_run(total=50, ages=[float(n) for n in range(50)], planned=50)
    with django_assert_num_queries(2):
        progress.throughput(task.pk)


@any_database
def test_throughput_is_empty_before_the_first_stock():
    assert progress.throughput(make_task().pk) == []
    assert progress.throughput(CollectionTask(pk="0" * 32).pk) == []
