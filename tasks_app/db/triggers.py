"""The promises that a CHECK can't express, as triggers: they hold against any program.

A final task stays as it is, a running one never has fewer processed stocks than before, and no item of
a final task changes. Installed after every `migrate`, since SQLite drops a table's triggers when a
migration rebuilds the table.
"""

from typing import Any

from django.db import connections

FROZEN = (
    "status",
    "end_time",
    "total_stocks",
    "processed_stocks",
    "success_count",
    "failed_count",
    "collected_count",
    "corrected_count",
    "skipped_count",
    "refused_count",
    "flagged_count",
)
TASK, ITEM = "tasks_app_collectiontask", "tasks_app_collectionitem"


def _changed(operator: str) -> str:
    return " OR ".join(f"NEW.{column} {operator} OLD.{column}" for column in FROZEN)


_TASK_BROKEN = "(OLD.status <> 'running' AND ({changed})) OR NEW.processed_stocks < OLD.processed_stocks"
_ITEM_BROKEN = (
    "OLD.state IN ('succeeded', 'failed', 'skipped')"
    f" OR (SELECT status FROM {TASK} WHERE id = OLD.task_id) <> 'running'"
)


def _sqlite(table: str, name: str, broken: str, message: str) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {name}",
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN {broken} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END",
    ]


def _postgresql(table: str, name: str, broken: str, message: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {broken} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN NEW; END $$",
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def statements(vendor: str) -> list[str]:
    """The SQL that installs both triggers. Raises KeyError for a database we do not support."""
    make, differs = {"sqlite": (_sqlite, "IS NOT"), "postgresql": (_postgresql, "IS DISTINCT FROM")}[vendor]
    broken = _TASK_BROKEN.format(changed=_changed(differs))
    return [
        *make(TASK, "tasks_app_task_is_final", broken, "final tasks do not change, processed never falls"),
        *make(ITEM, "tasks_app_item_is_final", _ITEM_BROKEN, "an ended item or task does not change"),
    ]


def install(using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate. Does nothing before the tables exist (a migration back to zero)."""
    connection = connections[using]
    if TASK not in connection.introspection.table_names():
        return
    with connection.cursor() as cursor:
        for statement in statements(connection.vendor):
            cursor.execute(statement)
