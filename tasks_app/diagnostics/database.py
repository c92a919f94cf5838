"""The database: whether it answers, has this code's tables, triggers and constraints, and takes writes."""

from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.db import Error, connection

from tasks_app.db import migration_state, sqlite_priority, triggers
from tasks_app.db.server import database_name, database_version
from tasks_app.diagnostics import postgresql, sqlite
from tasks_app.diagnostics.findings import Finding, fault, ok, operations
from tasks_app.diagnostics.texts import gettext_lazy as _, join

ANSWERS = ok("database_answers", _("%(version)s answers: %(name)s"))
UNREACHABLE = fault(
    "database_unreachable",
    _("The database %(name)s does not respond: %(reason)s"),
    _("Start it, or correct DATABASE_URL. Tasks wait, and go on from their last stored stock."),
    operations("the-worker-machine"),
)
FILE_MISSING = fault(
    "database_file_missing",
    _("There is no database %(name)s."),
    _("Correct DATABASE_URL, or make a new one: %(manage)s migrate."),
)
TOO_OLD = fault(
    "database_too_old",
    _("%(version)s is too old: SQLite 3.35 or PostgreSQL 13 is the oldest that works."),
    _("Update it."),
)
MIGRATED = ok("migrations_applied", _("All migrations are applied."))
MIGRATIONS_MISSING = fault(
    "migrations_missing",
    _("Migrations are not applied: %(names)s"),
    _("Stop the workers, run %(manage)s migrate, and start them again."),
    operations("upgrades"),
)
MIGRATIONS_UNKNOWN = fault(
    "migrations_unknown",
    _("The tables are newer than this code. It lacks the migrations: %(names)s"),
    _("Update the code of this machine, and restart what runs on it."),
    operations("upgrades"),
)
GUARDED = ok("guards_present", _("All %(triggers)d triggers and %(constraints)d constraints exist."))
TRIGGERS_MISSING = fault(
    "triggers_missing",
    _("Triggers that guard the stored data are missing or switched off: %(names)s"),
    _("Run %(manage)s migrate, which installs them again; ALTER TABLE … ENABLE TRIGGER switches them on."),
)
CONSTRAINTS_MISSING = fault(
    "constraints_missing",
    _("Constraints are missing in the database: %(names)s"),
    _("Somebody removed them by hand. Restore a backup, or add them again as the migrations do."),
    operations("backups"),
)
OLDEST = {"sqlite": (3, 35), "postgresql": (13,)}


def reach() -> Finding:
    """Connects. Returns whether the database answers; raises nothing."""
    name = database_name()
    if (file := sqlite_priority.database_file()) and not sqlite.exists(file):
        return FILE_MISSING(name=name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return ANSWERS(version=database_version(), name=name)
    except Error as error:
        for finding in sqlite.why_not_written(Path(file)) if file else ():  # then WAL can't be opened, either
            return finding
        if sqlite.is_damage(error):
            return sqlite.DAMAGED(problem=str(error))
        return UNREACHABLE(name=name, reason=" ".join(str(error).split()) or type(error).__name__)


def tables() -> Iterator[Finding]:
    """Examines the version and the migrations. Takes four queries."""
    if version() < OLDEST[connection.vendor]:
        yield TOO_OLD(version=database_version())
    unknown = migration_state.unknown_migrations()
    missing = migration_state.missing_migrations()
    if unknown:
        yield MIGRATIONS_UNKNOWN(names=join(name for _app, name in unknown))
    elif missing:
        yield MIGRATIONS_MISSING(names=join(f"{app}.{name}" for app, name in missing))
    else:
        yield MIGRATED()


def version() -> tuple[int, ...]:
    """Returns the version of the database's program, such as (3, 40, 1)."""
    return connection.get_database_version()


def guards() -> Iterator[Finding]:
    """Looks for our triggers and constraints, and how the database is set up."""
    existing = sqlite.guards() if connection.vendor == "sqlite" else postgresql.guards()
    expected = triggers.names(connection.vendor, connection.introspection.table_names())
    constraints = {
        constraint.name
        for model in apps.get_app_config("tasks_app").get_models()
        for constraint in model._meta.constraints
    }
    missing = sorted(expected - existing.triggers), sorted(constraints - existing.constraints)
    if missing[0]:
        yield TRIGGERS_MISSING(names=join(missing[0]))
    if missing[1]:
        yield CONSTRAINTS_MISSING(names=join(missing[1]))
    if not any(missing):
        yield GUARDED(triggers=len(expected), constraints=len(constraints))
    yield from sqlite.examine() if connection.vendor == "sqlite" else postgresql.examine()
