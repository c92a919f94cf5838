"""Fixtures and settings of every test."""

import gc
import math
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone, translation
from hypothesis import HealthCheck, settings as hypothesis_settings

if TYPE_CHECKING:
    from tests.fakes.clock import Clock

# A busy machine makes an example slow, not wrong.
hypothesis_settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("no clock")
MIGRATED = os.environ.get("MIGRATED_DATABASE_URL", "")  # by `tests.run`
os.environ["LC_ALL"] = "C.UTF-8"  # commands use the terminal's language

collect_ignore = ["browser"]  # a run of its own: `make browser`


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Hides from the garbage collector what collection makes: half a million objects that live to the end.

    To look through them again and again would take a twentieth of the processor time, and so would the usual
    thresholds: what a test leaves behind is mostly freed without the collector, and fits into memory.
    """
    gc.disable()
    if not session.config.getoption("numprocesses", None):  # else xdist's workers collect
        import collector_site.urls  # noqa: F401  registers the admin's pages, which tests import one by one

    result = yield
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()
    return result


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the tests of processes first: they mostly wait, which the others then fill with work.

    Then those of the sources, whose largest group, the clients, would be the last to end.

    xdist tells its groups by an attribute that pytest 9.2 no longer reads: without the first statement,
    each test would be a group of its own (pytest-xdist, issue 1386).
    """
    for item in items:
        if grouped := getattr(item, "_nodeid", ""):
            item._id = type(item.id).parse(grouped)
    first = ("concurrency", "sources")
    items.sort(key=lambda item: [part not in item.path.parts for part in first])


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Starts every test in English: a request's language stays with its thread, which tests share."""
    with translation.override("en"), timezone.override(None):
        yield


@pytest.fixture(autouse=True)
def fresh_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts a permit however late the request is: a busy machine is no reason for another one."""
    from tasks_app.sources import permits

    monkeypatch.setattr(permits, "FRESH_SECONDS", math.inf)


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """Has a flush empty only the tables that have rows, even those that a trigger protects on SQLite.

    PostgreSQL makes new files of each table and index: of 80, in a third of a second. Permissions stay: they
    would be the same ones again.
    """
    from django.core.management.commands import flush

    from tasks_app.db.triggers import AUDIT

    operations = type(connection.ops)
    sql_flush = operations.sql_flush

    def of_filled_tables(self: Any, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        found = (
            f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {self.quote_name(table)})" for table in tables
        )
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(found))
            filled = {table for (table,) in cursor.fetchall()} - {"auth_permission", "django_content_type"}
        if connection.vendor == "sqlite":
            return [
                f"DROP TRIGGER IF EXISTS {AUDIT}_kept",
                *sql_flush(self, style, sorted(filled), **options),
            ]
        return list(sql_flush(self, style, sorted(filled), **{**options, "allow_cascade": True}))

    setattr(operations, "sql_flush", of_filled_tables)  # noqa: B010 - mypy forbids the assignment
    setattr(flush, "emit_post_migrate_signal", put_back)  # noqa: B010


def put_back(verbosity: int, interactive: bool, db: str) -> None:
    """Creates anew what a flush has taken away and migrations have made.

    In place of the signal post_migrate, which would also have Django look for permissions to create.
    """
    from tasks_app import roles
    from tasks_app.db import triggers
    from tasks_app.models import SyntheticSource

    triggers.install(db)
    roles.create_groups(db)
    SyntheticSource.objects.using(db).get_or_create(name="simulated")


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """SQLite's copied file is to be used, not to be replaced by an empty one."""
    return django_db_keepdb or MIGRATED.startswith("sqlite")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """Makes the test database a copy of the run's migrated one, where there is one: that saves seconds."""
    test = connection.settings_dict["TEST"]
    if MIGRATED.startswith("sqlite"):
        shutil.copy(MIGRATED.removeprefix("sqlite:///"), test["NAME"])
    elif MIGRATED:
        test["TEMPLATE"] = urlsplit(MIGRATED).path[1:]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Iterator[Clock]":
    """The clock of slices, limiters and the database, which moves only when all of them wait."""
    from tests.fakes.clock import install

    clock = install(monkeypatch)
    yield clock
    clock.end()


@pytest.fixture(autouse=True)
def no_stored_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads no stored settings of sources, which would cost a query now and then."""
    from tasks_app.sources import registry

    monkeypatch.setattr(registry, "_stored_settings", dict)


@pytest.fixture
def own_cache(settings: Any) -> Iterator[None]:
    """A cache of the test's own: it neither sees nor leaves a heartbeat of a worker machine."""
    settings.CACHES = {
        **settings.CACHES,
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }
    yield
    cache.clear()
