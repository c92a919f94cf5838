"""Whether the database's tables are those of this code."""

from functools import cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

Migration = tuple[str, str]  # the application's label and the migration's name


@cache
def _loader() -> MigrationLoader:
    return MigrationLoader(None)


def missing_migrations() -> list[Migration]:
    """Returns the latest migration of each application that is not applied. Takes two queries."""
    applied = MigrationRecorder(connection).applied_migrations().keys()
    return sorted(set(_loader().graph.leaf_nodes()) - applied)


def unknown_migrations() -> list[Migration]:
    """Returns the applied migrations of our applications that this code does not have: it is too old."""
    loader = _loader()
    applied = MigrationRecorder(connection).applied_migrations().keys()
    replaced = {old for migration in loader.disk_migrations.values() for old in migration.replaces}
    ours = {key for key in applied if key[0] == "tasks_app"}
    return sorted(ours - loader.disk_migrations.keys() - replaced)
