"""Databases for tests with real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.concurrency import own_database


@pytest.fixture(scope="session")
def template_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty, migrated database, made once."""
    with own_database.migrated(tmp_path_factory.mktemp("template")) as url:
        yield url


@pytest.fixture
def database_url(template_url: str, tmp_path: Path) -> Iterator[str]:
    """A fresh database for one test, on the kind that the suite runs on."""
    with own_database.copied(template_url, tmp_path) as url:
        yield url
