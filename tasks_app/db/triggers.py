"""Triggers for the promises that a CHECK constraint can't express; they hold against any program.

A final task does not change, the number of a task's processed stocks never falls, and no item of a final
task and no ended item changes. A session under a target is judged once. Quotes of the sources in
`SyntheticSource` are made up: they are stored in the synthetic market only, and nothing else is. The sums of
stocks are those of their series.

They are installed after every `migrate`, and on SQLite removed before one that has something to do: SQLite
rebuilds a table by renaming a new one, drops the old one's triggers, and refuses while a trigger of another
table names it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import connections

from tasks_app.db import change_triggers, reason_triggers, stock_triggers
from tasks_app.models.audit import AuditEvent
from tasks_app.models.quotes import Market
from tasks_app.models.states import FINAL_STATES, FINAL_STATUSES

FROZEN_COLUMNS = (
    *("status", "end_time", "total_stocks", "processed_stocks", "success_count", "failed_count"),
    *("collected_count", "corrected_count", "skipped_count", "refused_count", "flagged_count"),
    *("compared_count", "differing_count", "uncompared_count"),
    "unknown_codes",  # of which the outcome is made, like of the counters
)
TASK, ITEM, BAR = "tasks_app_collectiontask", "tasks_app_collectionitem", "tasks_app_dailybar"
AUDIT = str(AuditEvent._meta.db_table)
AUDIT_DAYS = 30  # the least that COLLECTOR_AUDIT_DAYS may be
SYNTHETIC_SOURCES = "tasks_app_syntheticsource"
TARGET_SESSION = "tasks_app_targetsession"
# Tables whose rows are of one market and of one source. A finding's source may be unknown ("").
OF_A_SOURCE = (
    *(TASK, BAR, "tasks_app_stocklist", "tasks_app_correction", "tasks_app_finding"),
    *("tasks_app_adjustmenttable", "tasks_app_adjustmentfactor", "tasks_app_corporateaction"),
    "tasks_app_sourceagreement",
)
NOT_EQUAL = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}  # for nulls, too
UPDATE, INSERT, DELETE, MOVE = "UPDATE", "INSERT", "DELETE", "UPDATE OF market, source"


def install(using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate. Leaves out tables that an earlier migration than the last one lacks."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if not {TASK, SYNTHETIC_SOURCES} <= tables:
        return
    with connection.cursor() as cursor:
        for statement in statements(connection.vendor, tables):
            cursor.execute(statement)


def remove(using: str = "default", plan: Sequence[Any] = (), **_: Any) -> None:
    """Receiver of pre_migrate, with the migrations that will run."""
    connection = connections[using]
    if connection.vendor != "sqlite" or not plan:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tasks_app_%'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{name}"')


def names(vendor: str, tables: Collection[str]) -> frozenset[str]:
    """Returns the names of the triggers that `statements` makes of these tables."""
    return frozenset(
        match[1]
        for statement in statements(vendor, tables)
        if (match := re.match(r"CREATE (?:CONSTRAINT )?TRIGGER (\w+)", statement))
    )


def statements(vendor: str, tables: Collection[str]) -> list[str]:
    """Returns the SQL that installs the triggers of these tables. Raises `KeyError` for other databases."""
    create = {"sqlite": _sqlite, "postgresql": _postgresql}[vendor]
    recorded = change_triggers.statements(vendor, set(tables))
    reasons = reason_triggers.statements(vendor, set(tables))
    sums = stock_triggers.statements(vendor, set(tables))
    judged = _judged_once(vendor, create) if TARGET_SESSION in tables else []
    audit = _audit(vendor, create) if AUDIT in tables else []
    apart = _apart(vendor, create, tables)
    return [*_final(vendor, create), *judged, *audit, *apart, *recorded, *reasons, *sums]


def _final(vendor: str, create: Any) -> list[str]:
    """What has ended stays as it is."""
    changed = " OR ".join(f"NEW.{column} {NOT_EQUAL[vendor]} OLD.{column}" for column in FROZEN_COLUMNS)
    final = _in(FINAL_STATUSES)
    task_violation = f"(OLD.status {final} AND ({changed})) OR NEW.processed_stocks < OLD.processed_stocks"
    item_violation = (
        f"OLD.state {_in(FINAL_STATES)} OR (SELECT status FROM {TASK} WHERE id = OLD.task_id) {final}"
    )
    task_message = "final tasks do not change, processed never falls"
    item_message = "an ended item or task does not change"
    return [
        *create(TASK, "tasks_app_task_is_final", UPDATE, task_violation, task_message),
        *create(ITEM, "tasks_app_item_is_final", UPDATE, item_violation, item_message),
    ]


def _judged_once(vendor: str, create: Any) -> list[str]:
    """A missed session may be complete later; nothing else of a judgement changes."""
    columns = ("state", "target_id", "session", "deadline", "minimum", "judged_at")
    changed = " OR ".join(f"NEW.{column} {NOT_EQUAL[vendor]} OLD.{column}" for column in columns)
    again = f"OLD.complete_at IS NOT NULL AND NEW.complete_at {NOT_EQUAL[vendor]} OLD.complete_at"
    violation = f"OLD.state <> 'pending' AND ({changed} OR ({again}))"
    message = "a session is judged once"
    return create(TARGET_SESSION, "tasks_app_session_is_judged_once", UPDATE, violation, message)  # type: ignore[no-any-return]


def _audit(vendor: str, create: Any) -> list[str]:
    """Events stay as they are; a deleted user leaves the name. Retention may delete what is old enough."""
    columns = [str(field.column) for field in AuditEvent._meta.concrete_fields if field.name != "user"]
    changed = " OR ".join(f"NEW.{column} {NOT_EQUAL[vendor]} OLD.{column}" for column in columns)
    moved = f"(NEW.user_id IS NOT NULL AND NEW.user_id {NOT_EQUAL[vendor]} OLD.user_id)"
    young = {
        "sqlite": f"OLD.at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-{AUDIT_DAYS} days')",
        "postgresql": f"OLD.at > now() - interval '{AUDIT_DAYS} days'",
    }[vendor]
    return [
        *create(AUDIT, f"{AUDIT}_stays", UPDATE, f"{changed} OR {moved}", "events do not change"),
        *create(AUDIT, f"{AUDIT}_kept", DELETE, young, "events of the last month are not deleted"),
    ]


def _apart(vendor: str, create: Any, tables: Collection[str]) -> list[str]:
    """Made-up and real quotes are stored apart. Of a row that is not moved nothing is asked."""
    message = f"made-up quotes belong in the market {Market.SIM.value}, and no others do"
    statements = []
    for table in filter(tables.__contains__, OF_A_SOURCE):
        name = f"{table}_apart"
        statements += create(table, f"{name}_moved", MOVE, _misplaced("NEW"), message)
        if vendor == "postgresql" and table == BAR:  # thousands of rows in a statement
            statements += _postgresql_copied(name, message)
        else:
            statements += create(table, name, INSERT, _misplaced("NEW"), message)
    return statements


def _misplaced(row: str) -> str:
    return (
        f"{row}.source <> '' AND ({row}.market = '{Market.SIM.value}') <> "
        f"EXISTS (SELECT 1 FROM {SYNTHETIC_SOURCES} WHERE name = {row}.source)"
    )


def _in(values: Iterable[str]) -> str:
    return "IN ('" + "', '".join(sorted(values)) + "')"


def _sqlite(table: str, name: str, event: str, violation: str, message: str) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {name}",
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW WHEN {violation} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END",
    ]


def _postgresql(table: str, name: str, event: str, violation: str, message: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {violation} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF; "
        f"RETURN {'OLD' if event == DELETE else 'NEW'}; END $$",
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def _postgresql_copied(name: str, message: str) -> list[str]:
    """Asks once per statement: a function called for each bar would cost a fifth of the writing."""
    pairs = "(SELECT DISTINCT market, source FROM added) AS pair"
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF EXISTS (SELECT 1 FROM {pairs} WHERE {_misplaced('pair')}) "
        f"THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN NULL; END $$",
        f"DROP TRIGGER IF EXISTS {name} ON {BAR}",
        f"CREATE TRIGGER {name} AFTER INSERT ON {BAR} REFERENCING NEW TABLE AS added "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    ]
