"""The pages of the sources: what each has, and settings that are stored, masked, logged and permitted."""

import re
from dataclasses import replace
from datetime import date
from html import unescape

import pytest
from django.views.debug import get_default_exception_reporter_filter

from tasks_app.lifecycle import audit, source_settings
from tasks_app.models import Finding, SourceAgreement, SourceSetting
from tasks_app.models.audit import AuditEvent
from tasks_app.source_settings import MASK, Setting
from tasks_app.throttle.history import RequestCounter
from tasks_app.throttle.limiter import limiter_for
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.fakes.scripted_sources import First

pytestmark = pytest.mark.django_db
SECRET = "a-vendors-secret-token"


@pytest.fixture(autouse=True)
def first(settings, monkeypatch):
    """The source `first`, which needs a token; `mine` can't be loaded."""
    token = Setting("token", help="The key of your account.", secret=True, required=True)
    monkeypatch.setattr(First, "settings", (token,), raising=False)
    paths = (("first", "tests.fakes.scripted_sources:First"), ("mine", "no.such:Thing"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths, environment=())


@pytest.fixture
def client():
    return staff_client("view_sourcesetting", "change_sourcesetting")


def post(client, **fields):
    return client.post(url("source", "first"), {"action": "store", "setting": "token", **fields}, follow=True)


def test_list_says_what_sources_have_and_lack(client):
    text = text_of(client.get(url("sources")))
    assert "It needs COLLECTOR_FIRST_TOKEN" in text
    assert "no.such:Thing can" in text
    assert "bars by stock" in text


def test_stored_secret_is_masked_and_logged_without_its_value(client):
    response = post(client, value=SECRET)
    text = text_of(response)
    assert (MASK in text, SECRET in response.content.decode()) == (True, False)
    assert "stored here" in text
    entry = AuditEvent.objects.get(subject="sourcesetting")
    assert (entry.object_name, SECRET in entry.detail) == ("first token", False)
    assert (SourceSetting.objects.get().changed_by, entry.user_name) == ("staff", "staff")


def test_stored_value_is_left_out_of_error_reports(client):
    response = client.post(url("source", "first"), {"setting": "token", "action": "store", "value": SECRET})
    request = response.wsgi_request
    assert SECRET not in repr(get_default_exception_reporter_filter().get_post_parameters(request))


def test_malformed_value_is_refused_with_its_sentence(client):
    response = post(client, setting="rate", value="many")
    assert "COLLECTOR_FIRST_RATE: “many” is not a number." in messages_of(response)
    assert not SourceSetting.objects.exists()


def test_stored_value_is_removed(client):
    source_settings.store("first", "token", SECRET, "alice")
    post(client, action="remove")
    assert not SourceSetting.objects.exists()
    assert audit.translated(AuditEvent.objects.get(subject="sourcesetting").detail) == "Removed token."


def test_value_of_the_environment_is_shown_as_such_and_not_changed(client, settings):
    variables = (("COLLECTOR_FIRST_TOKEN", SECRET),)
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=variables)
    response = post(client, value="another-secret")
    text = text_of(response)
    assert "from the environment" in text
    assert "It is changed in the environment." in text
    assert SECRET not in response.content.decode()
    assert not SourceSetting.objects.exists()


@pytest.mark.parametrize("fields", [{"setting": "nothing", "value": "x"}, {"action": "unknown"}, {}])
def test_malformed_post_changes_nothing(client, fields):
    assert post(client, **fields).status_code in (200, 404)
    assert not SourceSetting.objects.exists()


def test_viewer_sees_the_settings_and_changes_none():
    client = staff_client("view_sourcesetting")
    page = client.get(url("source", "first"))
    assert "COLLECTOR_FIRST_TOKEN" in text_of(page)
    assert b'name="value"' not in page.content
    assert post(client, value=SECRET).status_code == 403
    assert not SourceSetting.objects.exists()


def test_unusable_source_has_no_page(client):
    assert client.get(url("source", "mine")).status_code == 404


def test_page_shows_the_last_days_and_todays_quota(client, settings):
    assert "No requests in the last 30 days" in text_of(client.get(url("source", "first")))
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("first", 5000),), no_throttle=False)
    limiter_for("first", settings.COLLECTOR).reserve(12)
    counter = RequestCounter("first")
    for code in ("", "", "timeout"):
        counter.count("failed" if code else "answered", 0.3, code)
    counter.store()
    response = client.get(url("source", "first"))
    text = text_of(response)
    assert "12 of 5,000 permits today; resets 00:00 Asia/Shanghai" in text
    assert "The source did not respond in time. (1)" in text
    assert [(row["permits"], row["requests"], row["median"]) for row in response.context["newest"]] == [
        ("12 of 5,000", "3", "≤ 300 ms")
    ]
    assert response.context["chart"].top == "3"


def test_limits_that_are_switched_off_are_said_to_be(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, rates=(("first", 0.25),), no_throttle=True)
    text = text_of(client.get(url("source", "first")))
    assert "Limits: limits switched off" in text
    off = "All limits are switched off (COLLECTOR_NO_THROTTLE): the limits below are not in force"
    assert f"{off}, the other settings are." in text
    text = text_of(client.get(url("sources")))
    assert text.count("COLLECTOR_NO_THROTTLE") == 1, "once above the table, not in each row"
    assert "limits switched off" in text
    assert "limits switched off" in text_of(superuser_client().get(url("start")))
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=False)
    text = text_of(client.get(url("source", "first")))
    assert "Limits: 1 request every 4 s" in text
    assert "switched off" not in text


# ---------------------------------------------------------------- the agreement of sources


def add_agreement(month, field="close", **fields):
    row = {"source": "first", "other_source": "second", "market": "CN", "compared": 52_192, "differing": 3}
    SourceAgreement.objects.create(**{**row, "worst": 0.0123, "field": field, "month": month, **fields})


def test_agreement_is_summed_by_pair_and_shown_by_month(client):
    assert "Nothing has been compared yet" in text_of(client.get(url("agreement")))
    add_agreement(date(2024, 3, 1))
    add_agreement(date(2024, 2, 1), compared=8, differing=0, worst=0.0)
    add_agreement(date(2024, 3, 1), source="third", other_source="fourth", differing=7)
    response = client.get(url("agreement"))
    assert "3 (max. 1.23%) of 52,200" in text_of(response)
    assert "third / fourth" not in text_of(client.get(url("agreement"), {"of": "second"}))
    (address,) = re.findall(r'href="([^"]+other_source=second[^"]*)"', response.content.decode())
    months = text_of(client.get(unescape(address)))
    assert re.search(r"2024-03 .* 3 \(.* of 52,192 .* 2024-02 .* 0 of 8", months)


def test_agreement_links_the_findings_if_there_are_any():
    client, words = superuser_client(), "Show these differences in Findings"
    add_agreement(date(2024, 3, 1))
    assert words not in text_of(client.get(url("agreement")))
    key = {"market": "CN", "symbol": "600000", "day": date(2024, 3, 1), "kind": "differs"}
    Finding.objects.create(**key, code="value_differs", source="first", other_source="second")
    page = client.get(url("agreement"))
    assert words in text_of(page)
    (address,) = re.findall(r'href="([^"]+kind__exact=differs)"', page.content.decode())
    assert client.get(address).context["cl"].result_count == 1


def test_agreement_has_pages_of_two_years(client):
    for n in range(30):
        add_agreement(date(2020 + n // 12, n % 12 + 1, 1))
    pair = {"source": "first", "other_source": "second", "market": "CN", "adjust": ""}
    page = client.get(url("agreement"), pair).content.decode()
    (address,) = re.findall(r'href="([^"]+before=[^"]*)"', page)
    earlier = text_of(client.get(unescape(address)))
    assert ("2020-07" in text_of(client.get(url("agreement"), pair)), "2020-07" in earlier) == (True, False)
    assert ("2020-06" in earlier, "Earlier months" in earlier) == (True, False)


@pytest.mark.parametrize("query", [{"before": "soon"}, {"other_source": "nobody"}])
def test_agreement_of_an_unknown_pair_or_day_is_not_found(client, query):
    pair = {"source": "first", "other_source": "second", "market": "CN"}
    assert client.get(url("agreement"), {**pair, **query}).status_code == 404
