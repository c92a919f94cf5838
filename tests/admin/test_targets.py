"""The targets' pages: permissions, the form's errors, what is missing and why, and the overview."""

import math
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from tasks_app import roles
from tasks_app.models import CollectionItem, Target, TargetSession
from tasks_app.targets import judgement
from tests.admin.helpers import staff_client, text_of, url
from tests.admin.test_roles import client_of
from tests.factories import finish, make_task
from tests.targets.factories import SESSION, at, make_target, seal, store, suspend

pytestmark = pytest.mark.django_db
TARGETS = "tasks_app_target"
SHARE = Decimal("99.5")


def make_post(**fields):
    defaults = {
        "name": "A-shares",
        "enabled": "on",
        "market": "CN",
        "kind": "stock",
        "adjust": "",
        "source": "",
        "minimum": "99.5",
        "at": "17:30",
        "days_after": "0",
    }
    return {name: value for name, value in {**defaults, **fields}.items() if value is not None}


def form_errors(client, **fields):
    response = client.post(url(f"{TARGETS}_add"), make_post(**fields))
    return response.context["adminform"].form.errors if response.status_code == 200 else {}


def test_operator_makes_a_target_and_its_scope_stays():
    client = client_of(roles.OPERATOR)
    assert not form_errors(client)
    target = Target.objects.get()
    assert (target.minimum, target.at.hour, target.enabled) == (SHARE, 17, True)
    client.post(url(f"{TARGETS}_change", target.pk), make_post(market="US", at="18:00"))
    target.refresh_from_db()
    assert (target.market, target.at.hour) == ("CN", 18)
    text = text_of(client.get(url(f"{TARGETS}_changelist")))
    for words in ("A-shares", "18:00", "Asia/Shanghai", "at least 99.5% of the stocks"):
        assert words in text


def test_empty_list_offers_to_add_to_those_who_may():
    page, button = url(f"{TARGETS}_changelist"), f'href="{url(f"{TARGETS}_add")}"'
    shown = client_of(roles.OPERATOR).get(page).content.decode()
    assert shown.count(button) == 2, "the button, and the one of the page's head"
    assert button not in client_of(roles.VIEWER).get(page).content.decode()
    total = shown.partition('<nav class="sc-pages"')[2].partition("</nav>")[0]
    assert total and "<ul>" not in total, "links of no pages would indent the total"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"at": "15:29"}, "at"),
        ({"market": "US", "at": "09:00"}, "at"),
        ({"minimum": "0.5"}, "minimum"),
        ({"minimum": "100.01"}, "minimum"),
        ({"days_after": "8"}, "days_after"),
        ({"source": "sample"}, "source"),
        ({"market": "XX"}, "market"),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_form_refuses_what_no_session_could_meet(fields, field):
    assert list(form_errors(client_of(roles.OPERATOR), **fields)) == [field]
    assert not Target.objects.exists()


def test_deadline_on_the_next_day_may_be_in_the_morning():
    assert not form_errors(client_of(roles.OPERATOR), market="US", at="08:00", days_after="1")


@pytest.mark.usefixtures("without_html")
def test_each_verb_needs_its_permission():
    target = make_target()
    pages = {"changelist": (), "add": (), "change": (target.pk,), "delete": (target.pk,)}
    for permission, allowed in [
        ("view_target", {"changelist", "change"}),
        ("add_target", {"add"}),
        ("change_target", {"changelist", "change"}),
        ("delete_target", {"delete"}),
    ]:
        client = staff_client(permission, name=permission)
        opened = {
            page
            for page, args in pages.items()
            if client.get(url(f"{TARGETS}_{page}", *args)).status_code == 200
        }
        assert opened == allowed, permission
        status = client.get(url("target", target.pk)).status_code
        assert status == (200 if permission == "view_target" else 403)
    reader = client_of(roles.VIEWER)
    assert reader.post(url(f"{TARGETS}_change", target.pk), make_post()).status_code == 403
    assert reader.post(url(f"{TARGETS}_delete", target.pk), {"post": "yes"}).status_code == 403


def test_target_that_is_switched_on_judges_what_is_ahead():
    target = make_target(enabled=False)
    client_of(roles.OPERATOR).post(url(f"{TARGETS}_change", target.pk), make_post())
    target.refresh_from_db()
    assert timezone.now() - target.since < timedelta(minutes=1)
    assert target.enabled


@pytest.fixture
def session():
    """A session of which stocks are missing for each reason, and one is suspended."""
    make_target(minimum=SHARE)
    store("600000", at("30 16:10"))
    suspend("600001", at("30 16:10"))
    for code in ("600002", "600003", "600004"):
        store(code, None)
    day = {"start_date": SESSION, "end_date": SESSION, "market": "CN", "source": "akshare"}
    failed = make_task(stock_codes=("600002",), **day)
    finish(failed, "failed", error_code="timeout", error_message="No answer in 30 s.")
    make_task(stock_codes=("600003",), **day)
    judgement.judge(at("30 18:00"))
    return TargetSession.objects.get()


def test_page_says_what_is_missing_and_why(session):
    page = url("target", session.target_id)
    client = client_of(roles.VIEWER)
    text = text_of(client.get(page))
    assert "Stored bars now: 1. Stocks missing: 3, without a bar for a reason: 1." in text
    assert "deadline passed" in text
    for line in (
        "600002 600002 Inc. failed: No answer in 30 s.",
        "600003 600003 Inc. is being collected",
        "600004 600004 Inc. not collected",
    ):
        assert line in text
    assert "600001" not in text
    assert "Collect what is missing" not in text, "a viewer may not start"
    reasons = text_of(client.get(page, {"list": "reasons", "session": SESSION.isoformat()}))
    assert "600001" in reasons
    assert "suspended, according to recording" in reasons
    assert "600002" not in reasons


@pytest.mark.usefixtures("without_html")
def test_missing_stocks_are_paged(session):
    for number in range(60):
        store(f"601{number:03}", None)
    client, page = client_of(roles.OPERATOR), url("target", session.target_id)
    first = client.get(page).context["chosen"]
    assert (len(first["lacks"]), first["now"]["missing"]) == (50, "63")
    second = client.get(page + first["next_page"]).context["chosen"]
    assert (len(second["lacks"]), second["next_page"]) == (13, "")
    assert "601059" in str(second["lacks"][-1]["code"])
    assert "600002" in str(client.get(page + second["first_page"]).context["chosen"]["lacks"][0]["code"])


@pytest.mark.usefixtures("without_html")
def test_button_fills_in_the_start_form_with_exactly_what_is_missing(session):
    client = client_of(roles.OPERATOR)
    address = client.get(url("target", session.target_id)).context["chosen"]["collect_url"]
    initial = client.get(address).context["form"].initial
    assert initial["stock_codes"] == "600002 600003 600004"
    assert (initial["start_date"], initial["end_date"]) == (SESSION, SESSION)
    assert (initial["market"], initial["scope"], initial["force_update"]) == ("CN", "some", False)
    TargetSession.objects.filter(target=session.target).update(target=session.target_id)
    Target.objects.update(source="akshare")
    initial = client.get(address).context["form"].initial
    assert initial["scope"] == "all", "no stock has a bar of this source"
    assert (initial["source"], initial["force_update"]) == ("akshare", True)
    no_targets = staff_client("start_task", name="starter").get(address).context["form"].initial
    assert no_targets["start_date"] != SESSION


def test_overview_shows_each_target_s_last_session():
    make_target()
    seal(at("30 18:05"))
    judgement.judge(at("30 18:06"))
    make_target(name="switched off", enabled=False)
    text = text_of(client_of(roles.VIEWER).get(url("index")))
    assert "A-shares China A-shares · 17:30 history late 2024-04-30 · 35 min" in text
    assert "switched off" not in text
    assert CollectionItem.objects.count() == 0
    assert "All targets" not in text_of(staff_client("view_collectiontask").get(url("index")))


@pytest.mark.usefixtures("without_html")
def test_page_shows_the_last_thirty_sessions(monkeypatch):
    monkeypatch.setattr(judgement, "BUDGET", math.inf)  # all in one call, however busy the machine is
    target = make_target(since=at("01-02 09:00"))
    judgement.judge(at("30 18:00"))
    seal(at("30 16:05"))
    judgement.judge(at("30 18:01"))
    context = client_of(roles.VIEWER).get(url("target", target.pk)).context
    assert (len(context["newest"]), len(context["older"])) == (7, 23)
    assert context["newest"][0]["deadline"].startswith('<time datetime="2024-04-30T17:30:00+08:00"')
    assert dict(context["counts"])["missed"] == 29
    assert context["chosen"]["session"] == "2024-04-30"
    assert context["chosen"]["is_unknown"]
    assert client_of(roles.OPERATOR).get("/admin/targets/99999999999999999999/").status_code == 404


def test_page_of_a_new_target_says_that_no_session_has_begun():
    text = text_of(client_of(roles.VIEWER).get(url("target", make_target().pk)))
    assert "No session has begun" in text
