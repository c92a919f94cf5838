"""Fallbacks in an order, over HTTP and in the terminal."""

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
    ("given", "understood"),
    [
        ({}, ["second"]),
        ({"fallbacks": ["third"]}, ["third"]),
        ({"fallbacks": []}, []),
        ({"fallbacks": None}, ["second"]),
    ],
)
def test_an_order_s_fallbacks_are_told_as_understood(client, given, understood):
    started = client.post(f"{URL}/historical", {**BODY, **given}, format="json")
    assert (started.status_code, started.json()["fallbacks"]) == (200, understood)
    told = client.get(f"{URL}/status/{started.json()['task_id']}").json()
    assert (told["fallbacks"], told["sources"], told["source_paused_until"]) == (understood, {}, None)


@pytest.mark.parametrize("given", ["second", [1], ["x"] * 11, ["nowhere"], {"a": 1}])
def test_fallbacks_that_make_no_sense_are_refused(client, given):
    refused = client.post(f"{URL}/historical", {**BODY, "fallbacks": given}, format="json")
    assert refused.status_code == 400
    assert refused.json()["detail"]


@pytest.mark.parametrize(
    ("words", "understood"),
    [((), ["second"]), (("--fallbacks", "third"), ["third"]), (("--fallbacks", ""), [])],
)
def test_the_terminal_takes_fallbacks_too(client, words, understood):
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
    call_command("collect", "start", *order, *words, "--json", stdout=out)
    assert json.loads(out.getvalue())["fallbacks"] == understood
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
