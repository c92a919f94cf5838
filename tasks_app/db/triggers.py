"""Triggers for the promises that a CHECK constraint can't express; they hold against any program.

A final task does not change, the number of a task's processed stocks never falls, and no item of a final
task and no ended item changes. Installed after every `migrate`, because SQLite drops a table's triggers
when a migration rebuilds the table.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connections

from tasks_app.models.states import FINAL_STATES, FINAL_STATUSES

FROZEN_COLUMNS = (
    *("status", "end_time", "total_stocks", "processed_stocks", "success_count", "failed_count"),
    *("collected_count", "corrected_count", "skipped_count", "refused_count", "flagged_count"),
)
TASK, ITEM = "tasks_app_collectiontask", "tasks_app_collectionitem"
NOT_EQUAL = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}  # for nulls, too


def install(using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate. Does nothing before the tables exist (a migration back to zero)."""
    connection = connections[using]
    if TASK not in connection.introspection.table_names():
        return
    with connection.cursor() as cursor:
        for statement in statements(connection.vendor):
            cursor.execute(statement)


def statements(vendor: str) -> list[str]:
    """Returns the SQL that installs both triggers. Raises `KeyError` for an unsupported database."""
    changed = " OR ".join(f"NEW.{column} {NOT_EQUAL[vendor]} OLD.{column}" for column in FROZEN_COLUMNS)
    final = _in(FINAL_STATUSES)
    task_violation = f"(OLD.status {final} AND ({changed})) OR NEW.processed_stocks < OLD.processed_stocks"
    item_violation = (
        f"OLD.state {_in(FINAL_STATES)} OR (SELECT status FROM {TASK} WHERE id = OLD.task_id) {final}"
    )
    create = _sqlite if vendor == "sqlite" else _postgresql
    return [
        *create(
            TASK,
            "tasks_app_task_is_final",
            task_violation,
            "final tasks do not change, processed never falls",
        ),
        *create(ITEM, "tasks_app_item_is_final", item_violation, "an ended item or task does not change"),
    ]


def _in(values: Iterable[str]) -> str:
    return "IN ('" + "', '".join(sorted(values)) + "')"


def _sqlite(table: str, name: str, violation: str, message: str) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {name}",
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN {violation} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END",
    ]


def _postgresql(table: str, name: str, violation: str, message: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {violation} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN NEW; END $$",
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]
