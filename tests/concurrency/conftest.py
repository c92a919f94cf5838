"""Databases for tests with real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.concurrency import own_database


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the supervisor's tests in their order: they share a machine, and those that stop it come last."""
    shared = [item for item in items if item.path.name == "test_supervisor.py"]
    ordered = iter(sorted(shared, key=lambda item: item.location[1] or 0))
    items[:] = [next(ordered) if item in shared else item for item in items]


@pytest.fixture(scope="session")
def template_url(django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[str]:
    """An empty, migrated database, made once."""
    with own_database.migrated(tmp_path_factory.mktemp("template"), django_db_blocker) as url:
        yield url


@pytest.fixture
def database_url(template_url: str, tmp_path: Path) -> Iterator[str]:
    """A fresh database for one test, on the kind that the suite runs on."""
    with own_database.copied(template_url, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str, django_db_blocker: Any) -> Iterator[str]:
    """A fresh database for one test, on which this process works as well."""
    with own_database.opened(database_url, django_db_blocker):
        yield database_url


@pytest.fixture(scope="module")
def module_database(template_url: str, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[str]:
    """The same for all tests of a module."""
    folder = tmp_path_factory.mktemp("module")
    with own_database.copied(template_url, folder) as url, own_database.opened(url, django_db_blocker):
        yield url
