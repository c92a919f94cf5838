"""The migration adds up what was stored before there were totals, to what the verbs would have."""

from importlib import import_module

import pytest
from django.db import connection

from tasks_app.models import SourceDay, SourceGate, SourceRequestTotals, TaskTotals
from tasks_app.throttle.history import Kind, RequestCounter
from tests.factories import make_ended, make_outcome, make_task

pytestmark = pytest.mark.django_db
migration = import_module("tasks_app.migrations.0040_totals")


def rows(model):
    """Returns all rows of a model without their ids, in one order."""
    names = [field.name for field in model._meta.fields if field.name != "id"]
    return sorted(model.objects.values_list(*names))


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_ended_tasks_are_added_up():
    for _ in range(2):
        make_outcome("complete")
    make_outcome("with_failures")
    make_ended("failed")
    make_ended("cancelled")
    make_task()
    expected = rows(TaskTotals)
    assert len(expected) == 4
    TaskTotals.objects.all().delete()
    execute(migration.ADD_ENDED_TASKS)
    assert rows(TaskTotals) == expected


def test_requests_of_all_days_are_added_up():
    counter = RequestCounter("simulated")
    for seconds in (0.25, 0.25, 4.0):
        counter.count(Kind.ANSWERED, seconds)
    counter.count(Kind.REFUSED, 0.5, "throttled")
    counter.store()
    expected = rows(SourceRequestTotals)
    assert len(expected) == 3
    SourceRequestTotals.objects.all().delete()
    execute(migration.ADD_REQUESTS)
    assert rows(SourceRequestTotals) == expected


def test_permits_of_all_days_are_added_up():
    SourceGate.objects.create(source="a", requests_today=3)
    SourceGate.objects.create(source="b", requests_today=5)
    for day in ("2024-01-02", "2024-01-03"):
        SourceDay.objects.create(source="a", day=day, permits=10, cap=0)
    execute(migration.ADD_PERMITS)
    assert dict(SourceGate.objects.values_list("source", "permits")) == {"a": 23, "b": 5}
