"""The check of a source that is asked for on its page, from the button to what the page tells."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app.engine import source_check_job
from tasks_app.lifecycle import source_checks
from tasks_app.lifecycle.source_checks import StaleCheck
from tasks_app.models import SourceCheck, SourceGate
from tasks_app.sources.base import Transient
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.admin.test_roles import client_of
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import Teller, whole_market
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def teller(settings, monkeypatch):
    """The source `teller`, which has everything but batches."""
    settings.COLLECTOR = scripted_sources.with_scripted_sources(
        settings.COLLECTOR, monkeypatch, rates=(("teller", 0.0),)
    )
    monkeypatch.setattr(Teller, "days", staticmethod(whole_market))
    monkeypatch.setattr(Teller, "factors", staticmethod(lambda code: []))


@pytest.fixture
def client():
    return superuser_client()


def ask(client, name="teller", market="CN"):
    return client.post(url("source", name), {"action": "check", "market": market}, follow=True)


def page(client, name="teller"):
    return text_of(client.get(url("source", name)))


def test_check_is_asked_for_made_and_told(client):
    assert "Not checked from this page yet." in page(client)
    assert "The check waits for a worker." in messages_of(ask(client))
    text = page(client)
    assert "It waits for a worker." in text
    assert "works" not in text.split("Check now")[0].split("It waits")[1]
    assert not Teller.calls
    work()
    assert [call.split()[0] for call in Teller.calls][:2] == ["list", "000001"]
    assert len(Teller.calls) == SourceGate.objects.get(pk="teller").requests_today == 5
    check = SourceCheck.objects.get()
    assert [(each["capability"], each["works"], each["is_empty"]) for each in check.results] == [
        ("list", True, False),
        ("bars", True, False),
        ("day", True, False),
        ("factors", True, True),
        ("actions", True, True),
    ]
    text = page(client)
    assert "asked for by" in text
    assert f"{scripted_sources.STOCKS} stocks" in text
    row = text.split("adjustment factors")[-1].split("corporate actions")[0]
    assert ("works" in row, "0 factors" in row) == (False, True)  # nothing came: no green tick


def test_failed_requests_are_told(client, monkeypatch):
    def refuse(code):
        raise Transient("Not now.", code="throttled")

    monkeypatch.setattr(Teller, "factors", staticmethod(refuse))
    ask(client)
    work()
    text = page(client)
    assert "1 of 5 failed" in text
    assert "failed Not now." in text
    assert "throttled" not in text, "a code is no word"
    assert "Not now." in text


def test_second_check_is_refused_while_one_runs(client):
    ask(client)
    assert "being checked already" in messages_of(ask(client))
    assert OrmQ.objects.count() == 1
    SourceCheck.objects.update(alive_until=Now() - timedelta(seconds=1))
    assert "interrupted: no worker finished it" in page(client)
    assert "waits for a worker" in messages_of(ask(client))
    assert SourceCheck.objects.get().generation == 1


def test_job_of_an_earlier_check_does_nothing(client):
    ask(client)
    old = source_checks.begin("teller", 0, 60)
    SourceCheck.objects.update(alive_until=Now() - timedelta(seconds=1))
    ask(client)
    with pytest.raises(StaleCheck):
        source_checks.add_result(old, {}, 60)
    with pytest.raises(StaleCheck):
        source_checks.end(old)
    source_check_job.run("teller", 0)
    assert not Teller.calls
    source_check_job.run("teller", 1)
    source_check_job.run("teller", 1)  # delivered twice
    assert len(Teller.calls) == 5


def test_machine_without_the_source_says_so(client, settings):
    ask(client)
    conf = settings.COLLECTOR
    settings.COLLECTOR = type(conf)()
    work()
    settings.COLLECTOR = conf
    assert "1 of 1 failed" in page(client)
    assert SourceCheck.objects.get().results[0]["error_code"] == "unknown_source"


def test_page_follows_a_check_until_it_ends(client):
    ask(client)
    address = url("source_check", "teller")
    assert f'hx-get="{address}"' in client.get(address).content.decode()
    work()
    assert "hx-get" not in client.get(address).content.decode()
    assert client.get(url("source_check", "no-such")).status_code == 404


def test_check_needs_the_permission_to_start():
    reader = staff_client("view_sourcesetting")
    assert "Check now" not in page(reader)
    assert ask(reader).status_code == 403
    assert reader.get(url("source_check", "teller")).status_code == 200
    assert client_of("nobody").get(url("source_check", "teller")).status_code == 403
    assert not SourceCheck.objects.exists()


def test_unknown_market_is_refused(client):
    assert ask(client, market="US").status_code == 404
    assert not SourceCheck.objects.exists()
