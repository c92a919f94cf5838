"""Probes, the root, and the documents."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.cache import cache
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django_q.brokers import get_broker
from django_q.signing import SignedPackage
from django_q.status import Stat, Status

from tests.api.factories import client_of


@pytest.fixture(autouse=True)
def own_cache(settings):
    """Heartbeats of clusters that run beside the tests are not heard."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "health"}
    }
    yield
    cache.clear()


def beat():
    """A cluster's heartbeat, without the cluster."""
    get_broker().set_stat(Stat.get_key("test"), SignedPackage.dumps(Status(1, "test"), True), 3)


def test_alive_asks_nobody_and_needs_no_database():
    answer = client_of().get("/healthz", headers={"Accept": "text/plain"})
    assert (answer.status_code, answer.json()) == (200, {"alive": True})
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_ready_says_what_is_missing():
    answer = client_of().get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "database": True,
        "migrations": True,
        "queue": True,
        "worker": False,
    }


@pytest.mark.django_db
def test_ready_with_a_live_worker():
    beat()
    answer = client_of().get("/readyz")
    assert (answer.status_code, answer.json()["ready"], answer.json()["worker"]) == (200, True, True)


@pytest.mark.django_db
def test_a_missing_migration_is_not_ready():
    newest = max(MigrationLoader(connection).graph.leaf_nodes("tasks_app"))
    MigrationRecorder(connection).record_unapplied(*newest)
    assert client_of().get("/readyz").json()["migrations"] is False


@pytest.mark.django_db
def test_the_root_leads_to_the_admin():
    assert client_of().get("/").headers["Location"] == "/admin/"


@pytest.mark.django_db
def test_the_docs_need_nothing_from_other_hosts():
    page = client_of().get("/api/docs").content.decode()
    found = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(found) >= 4
    assert found.pop() == "/api/docs?script="  # apart from the page: no inline script
    for url in found:
        assert url.startswith("/static/")
        assert finders.find(url.removeprefix("/static/"))


@pytest.mark.django_db
def test_the_language_can_be_switched():
    answer = Client().post("/i18n/setlang/", {"language": "zh-hans"})
    assert answer.cookies["django_language"].value == "zh-hans"
