"""The plans' pages: permissions, the form's errors, and plans on the overview."""

from dataclasses import replace
from datetime import time, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from tasks_app import roles
from tasks_app.models import CollectionPlan
from tasks_app.orders import plans
from tests.admin.helpers import superuser_client, text_of, url
from tests.admin.test_roles import client_of
from tests.factories import make_ended, make_plan

pytestmark = pytest.mark.django_db
PLANS = "tasks_app_collectionplan"


def make_post(**fields):
    defaults = {
        "name": "nightly",
        "enabled": "on",
        "market": "SIM",
        "source": "simulated",
        "kind": "stock",
        "adjust": "",
        "days": "30",
        "codes": "000001，000002",
        "rhythm": "daily",
        "weekday": "4",
        "at": "18:00",
        "export_layout": "parquet",
        "verify_sample": "100",
    }
    return {name: value for name, value in {**defaults, **fields}.items() if value is not None}


def test_plan_is_not_compared_with_its_own_source():
    client = client_of(roles.OPERATOR)
    response = client.post(url(f"{PLANS}_add"), make_post(verify_with="simulated"))
    assert "verify_with" in response.context["adminform"].form.errors
    client.post(url(f"{PLANS}_add"), make_post(verify_sample="20"))
    plan = CollectionPlan.objects.get()
    assert (plan.verify_with, plan.verify_sample) == ("", 20)


def test_saved_plan_has_next_run_and_creator():
    client = client_of(roles.OPERATOR)
    response = client.post(url(f"{PLANS}_add"), make_post())
    assert response.status_code == 302
    plan = CollectionPlan.objects.get()
    assert timezone.now() < plan.next_at <= timezone.now() + timedelta(days=1)
    assert (plan.created_by.username, plan.stock_codes, plan.at) == (
        "operator",
        ["000001", "000002"],
        time(18),
    )
    text = text_of(client.get(url(f"{PLANS}_changelist")))
    for words in (
        "nightly",
        "SIM (synthetic) · simulated",
        "the last 30 days",
        "every day, 18:00",
        "Asia/Shanghai",
    ):
        assert words in text


def test_plan_that_exports_needs_the_permission_to_export(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    client = client_of(roles.OPERATOR)
    client.post(url(f"{PLANS}_add"), make_post(export_to="nightly"))
    plan = CollectionPlan.objects.get()
    Group.objects.get(name=roles.OPERATOR).permissions.remove(Permission.objects.get(codename="export_data"))

    def change(**fields):
        post = make_post(**{"export_to": "nightly", "codes": "000001 000002", **fields})
        response = client.post(url(f"{PLANS}_change", plan.pk), post)
        plan.refresh_from_db()
        return [] if response.status_code == 302 else list(response.context["adminform"].form.errors)

    assert change(days="5") == ["export_to"]
    assert change(days="5", enabled=None) == ["export_to"]
    assert plan.days == 30
    assert change(enabled=None) == [], "it may always be switched off"
    assert change() == ["export_to"]
    assert change(export_to="") == []
    assert (plan.export_to, plan.enabled) == ("", True)
    assert change() == ["export_to"]


def test_saved_plan_says_what_it_would_take(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, rates=(("simulated", 0.1),), no_throttle=False)
    plan, client = make_plan(stock_codes=["000001", "000002"]), superuser_client()
    text = text_of(client.get(url(f"{PLANS}_change", plan.pk)))
    for words in ("Stocks: 2", "Requests: at most 2", "Duration: at least 20 s", "It ends at the earliest"):
        assert words in text


def test_forecast_follows_the_form_before_it_is_saved(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("simulated", 10),), no_throttle=False)
    client, address = superuser_client(), url("plan_forecast")
    assert address in client.get(url(f"{PLANS}_add")).content.decode()
    text = text_of(client.post(address, make_post(name="", at="", codes="000001 000002 000003")))
    assert "Stocks: 3 Requests: at most 3" in text
    assert "It fits today's allowance: it takes at most 3 permits, and 10 are left." in unescape(text)
    many = " ".join(f"{code:06d}" for code in range(1, 12))
    text = unescape(text_of(client.post(address, make_post(codes=many))))
    assert "It does not fit today's allowance: it takes at least 11 permits, and 10 are left." in text
    assert "It ends at the earliest" in text
    assert "Malformed stock codes" in text_of(client.post(address, make_post(codes="a/b")))
    assert client.get(address).status_code == 405
    assert not CollectionPlan.objects.exists()


def test_forecast_of_the_form_is_for_those_who_may_start():
    plan, client = make_plan(), client_of(roles.VIEWER)
    address = url("plan_forecast")
    assert client.post(address, make_post()).status_code == 403
    page = client.get(url(f"{PLANS}_change", plan.pk))
    assert "Stocks:" in text_of(page)
    assert address not in page.content.decode()


def test_plan_that_could_not_start_now_says_why():
    plan = make_plan(source="gone")
    text = text_of(superuser_client().get(url(f"{PLANS}_change", plan.pk)))
    assert "gone" in text.split("If it started now", 1)[1]


def test_disabled_plan_has_no_next_run():
    plan, client = make_plan(error_code="odd", error_message="Odd."), superuser_client()
    client.post(url(f"{PLANS}_change", plan.pk), make_post(enabled=None))
    plan.refresh_from_db()
    assert (plan.enabled, plan.next_at) == (False, None)
    client.post(url(f"{PLANS}_change", plan.pk), make_post())
    plan.refresh_from_db()
    assert plan.next_at > timezone.now()
    assert plan.error_code == ""


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"source": "sample"}, "market", "does not support the market SIM"),
        ({"market": "US", "source": "sample", "adjust": "qfq"}, "adjust", "does not support the adjustment"),
        ({"codes": "a/b"}, "codes", "Malformed stock codes"),
        ({"days": "0"}, "days", "greater than or equal to 1"),
        ({"at": "late"}, "at", "Enter a valid time"),
        ({"name": ""}, "name", "required"),
    ],
)
def test_invalid_plan_is_an_error_of_its_field(fields, field, words):
    response = superuser_client().post(url(f"{PLANS}_add"), make_post(**fields))
    assert words in response.context["adminform"].form.errors[field][0]
    assert not CollectionPlan.objects.exists()


@pytest.mark.parametrize(("text", "stored"), [("", None), ("none", []), ("sample", ["sample"])])
def test_plan_has_fallbacks_of_its_own(text, stored):
    fields = {"market": "US", "source": "sample", "further": text, "codes": "AAPL"}
    superuser_client().post(url(f"{PLANS}_add"), make_post(**fields))
    plan = CollectionPlan.objects.get()
    assert plan.fallbacks == stored
    order = plans.build_order(plan, timezone.now())
    assert order.fallbacks == (None if stored is None else tuple(stored))


@pytest.mark.parametrize(
    ("role", "looks", "changes"),
    [
        ("nobody", 403, 403),
        (roles.VIEWER, 200, 403),
        (roles.OPERATOR, 200, 302),
        (roles.ADMINISTRATOR, 200, 302),
    ],
)
def test_plan_pages_open_only_for_permitted_roles(role, looks, changes):
    plan, client = make_plan(), client_of(role)
    assert client.get(url(f"{PLANS}_changelist")).status_code == looks
    assert client.get(url(f"{PLANS}_change", plan.pk)).status_code == looks
    assert client.post(url(f"{PLANS}_change", plan.pk), make_post(name="other")).status_code == changes
    assert client.post(url(f"{PLANS}_add"), make_post(name="more")).status_code == changes
    assert client.post(url(f"{PLANS}_delete", plan.pk), {"post": "yes"}).status_code == changes


def test_overview_lists_next_and_waiting_plans():
    make_ended("completed")
    make_plan(name="soon", next_at=timezone.now() + timedelta(hours=1))
    make_plan(name="stuck", waiting_since=timezone.now())
    make_plan(name="asleep", enabled=False, next_at=None)
    text = text_of(superuser_client().get(url("index")))
    assert text.index("stuck") < text.index("soon")
    assert "waiting for another task" in text
    assert "asleep" not in text


def test_overview_says_when_no_plan_is_active():
    assert "No active plans" in text_of(superuser_client().get(url("index")))
