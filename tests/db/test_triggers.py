"""Triggers make way for migrations, which on SQLite rebuild the tables that they name."""

import pytest
from django.db import OperationalError, connection, transaction

from tasks_app.db import reason_triggers, stock_triggers, triggers
from tasks_app.db.change_triggers import statements
from tasks_app.models import CollectionItem, CollectionLane, TaskEvent
from tests.factories import make_ended

pytestmark = pytest.mark.django_db


def names():
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        return {name for (name,) in cursor.fetchall() if name.startswith("tasks_app_")}


def tables():
    return set(connection.introspection.table_names())


def test_triggers_make_way_for_migrations_and_come_back():
    before = names()
    makers = (statements, reason_triggers.statements, stock_triggers.statements)
    sql = [statement for make in makers for statement in make(connection.vendor, tables())]
    recorded = [each for each in sql if each.startswith(("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER"))]
    assert len(before) == 2 + 3 + 2 * len(triggers.OF_A_SOURCE) + len(recorded)
    triggers.remove(plan=[])
    assert names() == before, "nothing will be migrated"
    triggers.remove(plan=["a migration"])
    assert names() == (set() if connection.vendor == "sqlite" else before)
    triggers.install()
    assert names() == before


def test_triggers_of_tables_to_come_are_left_out():
    sql = "\n".join(triggers.statements(connection.vendor, {triggers.TASK, triggers.BAR}))
    assert triggers.BAR in sql
    assert "tasks_app_corporateaction" not in sql


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite rebuilds a table to change it")
def test_table_that_a_trigger_names_can_be_rebuilt():
    task = make_ended("completed")
    for model in (CollectionItem, CollectionLane, TaskEvent):  # a migration does without foreign keys
        model.objects.all().delete()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE rebuilt AS SELECT * FROM {triggers.TASK}")
        cursor.execute(f"DROP TABLE {triggers.TASK}")
        with pytest.raises(OperationalError, match="error in trigger"), transaction.atomic():
            cursor.execute(f"ALTER TABLE rebuilt RENAME TO {triggers.TASK}")
        triggers.remove(plan=["a migration"])
        cursor.execute(f"ALTER TABLE rebuilt RENAME TO {triggers.TASK}")
        cursor.execute(f"SELECT COUNT(*) FROM {triggers.TASK} WHERE id = %s", [task.pk.hex])
        assert cursor.fetchone() == (1,)
        transaction.set_rollback(True)  # the rebuilt table has no keys, which the test's end would miss
