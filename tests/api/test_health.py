"""Probes, the root, and the API's documentation."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django_q.brokers import get_broker
from django_q.signing import SignedPackage
from django_q.status import Stat, Status

from tests.api.factories import client_of

pytestmark = pytest.mark.usefixtures("own_cache")


def send_heartbeat():
    """Stores a cluster's heartbeat, without the cluster."""
    get_broker().set_stat(Stat.get_key("test"), SignedPackage.dumps(Status(1, "test"), True), 3)


def test_liveness_needs_no_database():
    response = client_of().get("/healthz", headers={"Accept": "text/plain"})
    assert (response.status_code, response.json()) == (200, {"alive": True})
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db
def test_readiness_names_failed_checks():
    response = client_of().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "database": True,
        "migrations": True,
        "queue": True,
        "worker": False,
    }


@pytest.mark.django_db
def test_ready_with_a_live_worker():
    send_heartbeat()
    response = client_of().get("/readyz")
    assert (response.status_code, response.json()["ready"], response.json()["worker"]) == (200, True, True)


@pytest.mark.django_db
def test_missing_migration_is_not_ready():
    newest = max(MigrationLoader(connection).graph.leaf_nodes("tasks_app"))
    MigrationRecorder(connection).record_unapplied(*newest)
    assert client_of().get("/readyz").json()["migrations"] is False


@pytest.mark.django_db
def test_root_redirects_to_admin():
    assert client_of().get("/").headers["Location"] == "/admin/"


@pytest.mark.django_db
def test_docs_have_no_metadata():
    response = client_of().options("/api/docs")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


def test_docs_load_nothing_from_other_hosts():
    page = client_of().get("/api/docs").content.decode()
    urls = re.findall(r'<(?!a\s)[^>]+\s(?:src|href)="([^"]+)"', page)  # a link loads nothing
    assert len(urls) >= 4
    assert urls.pop() == "/api/docs?script="  # a script of its own, not inline
    for url in urls:
        assert url.startswith("/static/")
        assert finders.find(url.removeprefix("/static/"))


@pytest.mark.django_db
def test_language_can_be_switched():
    response = Client().post("/i18n/setlang/", {"language": "zh-hans"})
    assert response.cookies["django_language"].value == "zh-hans"
