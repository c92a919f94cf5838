"""Compiled queries give what the ORM gives."""

from uuid import uuid4

import pytest
from django.db.models import F

from tasks_app.db.compiled_queries import CompiledQuery
from tasks_app.models import CollectionTask
from tests.factories import make_task

pytestmark = pytest.mark.django_db
COLUMNS = ["id", "status", "start_time"]


def test_row_is_converted_as_by_the_orm():
    task = make_task()
    query = CompiledQuery(lambda key: CollectionTask.objects.filter(pk=key), COLUMNS, uuid4())
    assert query.row(task.pk) == (task.pk, "running", task.start_time)
    assert query.row(uuid4()) is None


def test_instance_has_annotations_and_defers_the_rest():
    task = make_task()
    query = CompiledQuery(
        lambda key: CollectionTask.objects.annotate(stocks=F("total_stocks")).filter(pk=key),
        COLUMNS,
        uuid4(),
        annotations=["stocks"],
    )
    instance = query.instance(task.pk)
    assert (instance, instance.start_time, instance.stocks) == (task, task.start_time, 3)
    assert "total_stocks" in instance.get_deferred_fields()


def test_constants_of_the_query_are_kept():
    task = make_task()
    running = CompiledQuery(
        lambda key: CollectionTask.objects.filter(pk=key, status="running"), COLUMNS, uuid4()
    )
    failed = CompiledQuery(
        lambda key: CollectionTask.objects.filter(pk=key, status="failed"), COLUMNS, uuid4()
    )
    assert (running.instance(task.pk), failed.instance(task.pk)) == (task, None)


def test_query_without_its_parameter_is_rejected():
    query = CompiledQuery(lambda key: CollectionTask.objects.all(), COLUMNS, uuid4())
    with pytest.raises(ValueError, match="not a parameter"):
        query.row(uuid4())
