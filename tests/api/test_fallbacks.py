"""Fallback sources of an order, over HTTP and on the command line."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from tasks_app import lifecycle
from tasks_app.models import CollectionTask
from tests.api.factories import client_of
from tests.factories import ACTOR, make_user
from tests.fakes import scripted_sources

pytestmark = pytest.mark.django_db
URL = "/api/data-collection"
BODY = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "first", "stock_codes": ["000001"]}


@pytest.fixture
def client(settings, monkeypatch):
    settings.COLLECTOR = scripted_sources.with_scripted_sources(
        settings.COLLECTOR, monkeypatch, fallbacks=(("CN", ("first", "second")),)
    )
    return client_of(make_user("root", is_superuser=True))


@pytest.mark.parametrize(
    ("fields", "resolved"),
    [
        ({}, ["second"]),
        ({"fallbacks": ["third"]}, ["third"]),
        ({"fallbacks": []}, []),
        ({"fallbacks": None}, ["second"]),
    ],
)
def test_start_returns_resolved_fallbacks(client, fields, resolved):
    started = client.post(f"{URL}/historical", {**BODY, **fields}, format="json")
    assert (started.status_code, started.json()["fallbacks"]) == (200, resolved)
    status = client.get(f"{URL}/status/{started.json()['task_id']}").json()
    assert (status["fallbacks"], status["sources"], status["source_paused_until"]) == (resolved, {}, None)


@pytest.mark.parametrize("fields", ["second", [1], ["x"] * 11, ["nowhere"], {"a": 1}])
def test_invalid_fallbacks_are_rejected(client, fields):
    response = client.post(f"{URL}/historical", {**BODY, "fallbacks": fields}, format="json")
    assert response.status_code == 400
    assert response.json()["detail"]


@pytest.mark.parametrize(
    ("options", "resolved"),
    [((), ["second"]), (("--fallbacks", "third"), ["third"]), (("--fallbacks", ""), [])],
)
def test_command_accepts_fallbacks(client, options, resolved):
    out = StringIO()
    order = [
        "--source",
        "first",
        "--codes",
        "000001",
        "--start-date",
        "2024-01-01",
        "--end-date",
        "2024-12-31",
    ]
    call_command("collect", "start", *order, *options, "--json", stdout=out)
    assert json.loads(out.getvalue())["fallbacks"] == resolved
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
