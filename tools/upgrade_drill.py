"""Compares an upgraded database with a new one: `python -m tools.upgrade_drill`.

A new database is made by one migration that replaces the first 59. This makes another one by those, as an
earlier version did, on SQLite and on PostgreSQL, and prints what differs: columns, indexes, constraints,
triggers, numbers of rows. Exits with 1 if anything does. `python -m tools.upgrade_drill 0040_totals` migrates
the database at DATABASE_URL up to that migration, and does nothing else.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models.signals import post_migrate

from tools.postgresql import new_database, postgresql
from tools.worker_machine import ROOT, environment

APP, LAST = "tasks_app", "0059_sorted_stocks"
NEW, UPGRADED, PRINT = ["manage.py", "migrate", "--verbosity", "0"], ["-m", __spec__.name, LAST], "--print"
DEFINITIONS = {
    "sqlite": "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT table_name || '.' || column_name, (data_type, character_maximum_length, is_nullable,
            column_default, is_identity)::text FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
            FROM pg_trigger WHERE NOT tgisinternal""",
}


def migrate_by_replaced(name: str) -> None:
    """Migrates this process's database to one of the migrations that were replaced."""
    executor = MigrationExecutor(connection)
    executor.loader = MigrationLoader(connection, replace_migrations=False)
    others = [key for key in executor.loader.graph.leaf_nodes() if key[0] != APP]
    executor.migrate([*others, (APP, name)])
    for config in apps.get_app_configs():  # what `migrate` does afterwards
        post_migrate.send(sender=config, app_config=config, using="default", verbosity=0, interactive=False)


def definitions() -> Iterator[str]:
    """Yields a line for each part of the schema of this process's database, and for each table's rows."""
    with connection.cursor() as cursor:
        cursor.execute(DEFINITIONS[connection.vendor])
        for name, text in cursor.fetchall():
            # SQLite keeps no lengths. A column that was added later stands behind the others of its table.
            parts = re.split(r", (?=CONSTRAINT|\")", re.sub(r"varchar\(\d+\)", "varchar", text))
            yield f"{name}: {' | '.join(sorted(part.rstrip(')') for part in parts))}"
    for model in apps.get_models():
        yield f"{model._meta.db_table}: {model._default_manager.count()} rows"


def schema_after(url: str, *commands: list[str]) -> set[str]:
    """Returns the schema of the database at that URL after these programs."""
    lines = ""
    for command in (*commands, ["-m", __spec__.name, PRINT]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(url),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        lines = done.stdout
    return set(lines.splitlines())


def main() -> int:
    if arguments := sys.argv[1:]:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
        django.setup()
        print("\n".join(definitions())) if arguments == [PRINT] else migrate_by_replaced(arguments[0])
        return 0
    failed = False
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql(durable=False) as server,
        new_database(server) as one,
        new_database(server) as other,
    ):
        files = (f"sqlite:///{Path(folder) / name}.sqlite3" for name in ("new", "upgraded"))
        for vendor, (new, upgraded) in {"SQLite": files, "PostgreSQL": (one, other)}.items():
            fresh, older = schema_after(new, NEW), schema_after(upgraded, UPGRADED, NEW)
            print(f"{vendor}: {len(fresh)} parts of a new database, {len(older)} of an upgraded one")
            print("".join(f"  new:      {line}\n" for line in sorted(fresh - older)), end="")
            print("".join(f"  upgraded: {line}\n" for line in sorted(older - fresh)), end="")
            failed = failed or fresh != older
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
