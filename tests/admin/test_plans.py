"""The plans' pages: permissions, the form's errors, and plans on the overview."""

from dataclasses import replace
from datetime import time, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from tasks_app import roles
from tasks_app.admin.common.formatting import time_until
from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent, PlanRun, PlanStep
from tasks_app.models.states import ItemState
from tasks_app.orders import plans
from tasks_app.workers import plan_scheduler
from tests.admin.helpers import insert_ended, messages_of, superuser_client, text_of, url
from tests.admin.test_roles import client_of
from tests.factories import finish, make_plan, make_user

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
        "priority": "0",
        "export_layout": "parquet",
        "verify_sample": "100",
        "steps-TOTAL_FORMS": "0",
        "steps-INITIAL_FORMS": "0",
    }
    return {name: value for name, value in {**defaults, **fields}.items() if value is not None}


@pytest.mark.usefixtures("without_html")
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
        "the last 30 days · 2 stocks",
        "every day, 18:00",
        "Beijing time",
    ):
        assert words in text


@pytest.mark.usefixtures("without_html")
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


@pytest.mark.usefixtures("without_html")
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
    ("fields", "expected"),
    [
        (
            {"days": "0", "at": "late", "name": ""},
            {"days": "greater than or equal to 1", "at": "Enter a valid time", "name": "required"},
        ),
        ({"codes": "a/b"}, {"codes": "Malformed stock codes"}),
        ({"source": "sample"}, {"market": "does not support the market SIM"}),
        (
            {"market": "US", "source": "sample", "adjust": "qfq"},
            {"adjust": "does not support the adjustment"},
        ),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_invalid_plan_has_an_error_at_each_wrong_field(fields, expected):
    response = superuser_client().post(url(f"{PLANS}_add"), make_post(**fields))
    errors = response.context["adminform"].form.errors
    assert set(errors) == set(expected)
    for field, words in expected.items():
        assert words in errors[field][0]
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
        pytest.param(roles.ADMINISTRATOR, 200, 302, marks=pytest.mark.soak),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_plan_pages_open_only_for_permitted_roles(role, looks, changes):
    plan, client = make_plan(), client_of(role)
    assert client.get(url(f"{PLANS}_changelist")).status_code == looks
    assert client.get(url(f"{PLANS}_change", plan.pk)).status_code == looks
    assert client.post(url(f"{PLANS}_change", plan.pk), make_post(name="other")).status_code == changes
    assert client.post(url(f"{PLANS}_add"), make_post(name="more")).status_code == changes
    assert client.post(url(f"{PLANS}_delete", plan.pk), {"post": "yes"}).status_code == changes


def test_list_and_page_tell_the_next_five_runs():
    at = timezone.now() + timedelta(hours=3, minutes=5)
    local = at.astimezone(ZoneInfo("Asia/Shanghai"))
    plan, client = make_plan(next_at=at, at=local.time()), superuser_client()
    days = [f"{local + timedelta(days=n):%Y-%m-%d %H:%M}" for n in range(5)]
    for page in (url(f"{PLANS}_changelist"), url(f"{PLANS}_change", plan.pk)):
        text = text_of(client.get(page))
        assert [day for day in days if day in text] == days
        assert "in 3 hours" in text
        assert "in 4 days" in text
    client.cookies["django_language"] = "zh-hans"
    assert "3 小时后" in text_of(client.get(url(f"{PLANS}_changelist")))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "due now"),
        (20, "in less than a minute"),
        (61, "in 1 minute"),
        (3599, "in 1 hour"),
        (30 * 3600, "in 1 day"),
        (72 * 3600, "in 3 days"),
    ],
)
def test_time_until_is_told_in_its_largest_unit(seconds, words):
    now = timezone.now()
    assert time_until(now + timedelta(seconds=seconds), now) == words


def test_plan_is_run_now_after_a_question():
    user = make_user("ann", "run_plan", "view_collectionplan", "view_collectiontask", is_staff=True)
    client, plan = Client(), make_plan(market="SIM", next_at=timezone.now() + timedelta(hours=3))
    client.force_login(user)
    assert "Run now" in text_of(client.get(url(f"{PLANS}_changelist")))
    address = url(f"{PLANS}_run", plan.pk)
    text = text_of(client.get(address))
    assert "Run this plan now?" in text
    stocks = "the last 30 days of 3 stocks (000001, 000002, 000003)"
    assert f"It collects {stocks}, market SIM (synthetic), from simulated." in text
    assert not CollectionTask.objects.exists(), "a question starts nothing"
    response = client.post(address)
    task = CollectionTask.objects.get()
    assert response.url == url("tasks_app_collectiontask_change", task.pk)
    assert PlanEvent.objects.values_list("kind", "user_name", "channel").get() == ("run", "ann", "admin")
    due = plan.next_at
    plan.refresh_from_db()
    assert (plan.next_at, plan.last_task_id) == (due, task.pk)
    for response in (client.get(address), client.post(address)):
        assert response.url == url(f"{PLANS}_change", plan.pk)
        assert f"was not run. A task is already running: {task.pk}" in messages_of(response)
    assert CollectionTask.objects.count() == 1


def test_plan_that_is_not_valid_any_more_says_so_everywhere_and_is_not_run():
    plan, client = make_plan(market="CN", source="simulated"), superuser_client()
    reason = "The source “simulated” does not support the market CN, only SIM."
    question = client.get(url(f"{PLANS}_run", plan.pk))
    assert reason in text_of(question)
    assert b'class="sc-disabled" disabled' in question.content
    for page in (url(f"{PLANS}_changelist"), url(f"{PLANS}_change", plan.pk)):
        assert f"Not valid any more. {reason}" in text_of(client.get(page))
    response = client.post(url(f"{PLANS}_run", plan.pk))
    assert f"was not run. {reason}" in messages_of(response)
    assert not CollectionTask.objects.exists()


def test_question_names_the_whole_market_and_the_steps():
    plan = make_plan(market="SIM", stock_codes=None, days=1, enabled=False, next_at=None)
    PlanStep.objects.create(plan=plan, position=1, kind="stock_list")
    PlanStep.objects.create(plan=plan, position=2, kind="bars")
    text = text_of(superuser_client().get(url(f"{PLANS}_run", plan.pk)))
    assert "It collects the last day of the whole market SIM (synthetic) from simulated." in text
    assert "Its steps: stock list, daily bars." in text
    assert "The plan is switched off and stays so." in text


def test_plan_is_switched_in_the_list():
    plan, client = make_plan(market="SIM"), client_of(roles.OPERATOR)
    address, page = url(f"{PLANS}_switch", plan.pk), url(f"{PLANS}_changelist") + "?enabled__exact=1"
    html = client.get(page).content.decode()
    assert f'formaction="{address}" name="enabled" value="0"' in html
    assert unescape(html).count(f'name="back" value="{page}"') == 1
    response = client.post(address, {"enabled": "0", "back": page})
    assert (response.url, messages_of(response)) == (page, "“nightly” was switched off.")
    plan.refresh_from_db()
    assert (plan.enabled, plan.next_at) == (False, None)
    assert client.post(address, {"enabled": "1", "back": "https://elsewhere.test/"}).url == url(
        f"{PLANS}_changelist"
    )
    plan.refresh_from_db()
    assert plan.enabled
    kinds = list(PlanEvent.objects.order_by("pk").values_list("kind", "user_name"))
    assert kinds == [("disabled", "operator"), ("enabled", "operator")]
    assert client.get(address).status_code == 405


def test_plan_that_is_no_longer_valid_is_not_switched_on():
    plan, client = make_plan(source="gone", enabled=False, next_at=None), client_of(roles.OPERATOR)
    response = client.post(url(f"{PLANS}_switch", plan.pk), {"enabled": "1"})
    assert "was not switched on" in messages_of(response)
    assert "gone" in messages_of(response)
    plan.refresh_from_db()
    assert not plan.enabled


def test_verbs_of_plans_are_shown_and_taken_only_with_permission(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    plan = make_plan(market="SIM", export_to="nightly", enabled=False, next_at=None)
    viewer, operator = client_of(roles.VIEWER), client_of(roles.OPERATOR)
    page = viewer.get(url(f"{PLANS}_changelist")).content.decode()
    assert "pl-button" not in page
    for verb in ("run", "switch"):
        assert viewer.post(url(f"{PLANS}_{verb}", plan.pk), {"enabled": "1"}).status_code == 403
    Group.objects.get(name=roles.OPERATOR).permissions.remove(Permission.objects.get(codename="export_data"))
    assert operator.post(url(f"{PLANS}_run", plan.pk)).status_code == 403, "it exports"
    assert operator.post(url(f"{PLANS}_switch", plan.pk), {"enabled": "1"}).status_code == 403
    assert not CollectionTask.objects.exists()


def make_steps(*steps):
    """Returns the fields of these rows of the form, of the kind bars unless they say so."""
    defaults = {"kind": "bars", "verify_sample": "100", "export_layout": "parquet"}
    defaults |= {"retries": "0", "retry_wait": "5", "on_failure": "stop"}
    rows = {
        f"steps-{number}-{name}": value
        for number, step in enumerate(steps)
        for name, value in {**defaults, **step}.items()
    }
    return {"steps-TOTAL_FORMS": str(len(steps)), **rows}


def test_steps_are_rows_of_the_form():
    client = client_of(roles.OPERATOR)
    steps = make_steps(
        {"position": "2", "days": "3", "export_to": "x"}, {"position": "1", "kind": "stock_list"}
    )
    assert client.post(url(f"{PLANS}_add"), make_post(**steps)).status_code == 302
    plan = CollectionPlan.objects.get()
    stored = list(plan.steps.values_list("position", "kind", "days", "export_to"))
    assert stored == [(1, "stock_list", None, ""), (2, "bars", 3, "")]
    assert PlanEvent.objects.latest("pk").params["steps"][1]["days"] == 3
    html = client.get(url(f"{PLANS}_change", plan.pk)).content.decode()
    assert 'name="steps-1-kind"' in html
    first, second = plan.steps.all()
    kept = make_steps({"id": first.pk, "kind": "stock_list", "DELETE": "on"}, {"id": second.pk, "days": "4"})
    changed = make_post(**kept | {"steps-INITIAL_FORMS": "2"})
    assert client.post(url(f"{PLANS}_change", plan.pk), changed).status_code == 302
    assert list(plan.steps.values_list("position", "kind", "days")) == [(1, "bars", 4)]


INVALID_STEPS = [
    ({"kind": "verification"}, "verify_with", "required"),
    ({"kind": "verification", "verify_with": "sample"}, "verify_with", "does not support the market SIM"),
    ({"source": "sample"}, "source", "does not support the market SIM"),
    ({"days": "0"}, "days", "greater than or equal to 1"),
    ({"retries": "11"}, "retries", "less than or equal to 10"),
    ({"kind": "export"}, "export_to", "required"),
    ({"kind": "export", "export_to": "x"}, "export_to", "COLLECTOR_EXPORT_DIR"),
    ({"kind": ""}, "kind", "required"),
]


@pytest.mark.usefixtures("without_html")
def test_invalid_step_is_an_error_beside_its_field_or_row():
    steps = make_steps(*({"days": "2", **step} for step, *_ in INVALID_STEPS))
    response = superuser_client().post(url(f"{PLANS}_add"), make_post(**steps))
    found = response.context["inline_admin_formsets"][0].formset.errors
    for (step, field, words), errors in zip(INVALID_STEPS, found, strict=True):
        assert len(errors) == 1, step
        assert words in (errors.get(field) or errors["__all__"])[0], step
    assert not CollectionPlan.objects.exists()


def test_page_shows_the_last_runs_with_their_steps():
    plan = make_plan(market="SIM")
    for position in (1, 2):
        PlanStep.objects.create(plan=plan, position=position)
    client = superuser_client()
    assert "The plan has not run yet." in text_of(client.get(url(f"{PLANS}_change", plan.pk)))
    plan_scheduler.start_due()
    task = CollectionTask.objects.get()
    finish(task, ItemState.FAILED)
    plan_scheduler.continue_runs()
    PlanRun.objects.update(is_late=True, skipped=2)
    page = client.get(url(f"{PLANS}_change", plan.pk))
    text = text_of(page)
    for words in (
        "1. daily bars",
        "2. daily bars",
        "skipped",
        "late: it waited",
        "2 later times were skipped",
    ):
        assert words in text
    assert url("tasks_app_collectiontask_change", task.pk) in page.content.decode()
    for page in (url("tasks_app_collectiontask_changelist"), url("tasks_app_collectiontask_change", task.pk)):
        html = client.get(page).content.decode()
        assert f'href="{url(f"{PLANS}_change", plan.pk)}"' in html
        assert "plan “nightly”" in html


def test_overview_lists_next_and_waiting_plans():
    insert_ended("completed")
    make_plan(name="soon", next_at=timezone.now() + timedelta(hours=1))
    make_plan(name="stuck", waiting_since=timezone.now())
    make_plan(name="asleep", enabled=False, next_at=None)
    text = text_of(superuser_client().get(url("index")))
    assert text.index("stuck") < text.index("soon")
    assert "waiting for another task" in text
    assert "asleep" not in text


def test_overview_says_when_no_plan_is_active():
    assert "No active plans." in text_of(superuser_client().get(url("index")))
