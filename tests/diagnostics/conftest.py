"""A well installation."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.cache import cache
from django.db import connection

from tasks_app.db import disk_reserve
from tasks_app.diagnostics import postgresql
from tests.diagnostics.machines import publish_machine
from tests.diagnostics.site import Site


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture
def folder(session_folder: Path) -> Path:
    """An empty folder, the same one in each test: so sources are read once for the same settings."""
    shutil.rmtree(session_folder)
    session_folder.mkdir()
    return session_folder


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `collectstatic` leaves, for tests that only read it."""
    root = tmp_path_factory.mktemp("static")
    shutil.copytree(str(finders.find("tasks_app")), root / "tasks_app")
    return root


@pytest.fixture
def collected(settings: Any, static_root: Path) -> Any:
    """The settings, with the collected static files."""
    settings.STATIC_ROOT = static_root
    return settings


@pytest.fixture
def site(
    db: None, own_cache: None, collected: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[Site]:
    """An installation for production without a fault: workers, a backup, collected files, secure cookies."""
    settings = collected
    site = Site(settings, monkeypatch, folder)
    settings.IS_LOCAL = False
    settings.ALLOWED_HOSTS = ["quotes.example.org"]
    settings.SECRET_KEY = "k" * 20 + "".join(map(chr, range(50, 100)))
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 3600, True
    settings.SECURE_HSTS_PRELOAD = True
    backups = folder / "backups"
    backups.mkdir()
    for number in range(2):
        (backups / f"{number}.dump").write_bytes(b"x" * 1000)
    site.conf(backup_dir=str(backups), environment=(), no_throttle=False)
    monkeypatch.setattr(postgresql, "SWITCHES", ())  # a server for tests may have them off
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '10s'")
    reserve = folder / "ballast"
    reserve.touch()
    monkeypatch.setattr(disk_reserve, "path", lambda: reserve)
    publish_machine("here", workers=2)
    yield site
    cache.clear()
