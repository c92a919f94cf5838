"""Lists and forms have titles in our words, and forms lead to what the audit record says of their row."""

import html
import re

import pytest
from django.contrib.auth.models import Group, User

from tasks_app.lifecycle import plan_actions
from tasks_app.models import CollectionPlan
from tests.admin.helpers import staff_client, superuser_client, text_of, url
from tests.factories import ACTOR, make_plan, make_user

pytestmark = pytest.mark.django_db
FORMS = {
    "auth_user": ("Users", "Add a user", "新建用户"),
    "auth_group": ("Groups", "Add a group", "新建用户组"),
    "tasks_app_collectionplan": ("Plans", "Add a plan", "新建定时采集"),
    "tasks_app_target": ("Targets", "Add a target", "新建时效目标"),
    "tasks_app_noticechannel": ("Notice channels", "Add a notice channel", "新建通知渠道"),
    "tasks_app_noticeping": ("Dead man's switches", "Add a dead man's switch", "新建失联告警"),
}


def trail_of(response):
    """Returns the steps of the trail in the page's head, and the page's title."""
    page = html.unescape(response.content.decode())
    head = page.split("<h1", 1)[1].split("</h1>", 1)[0]
    return re.findall(r'class="sc-crumb">([^<]*)<', head), page.split("<title>", 1)[1].split("|", 1)[
        0
    ].strip()


@pytest.mark.parametrize(
    "model",
    [
        *("auth_user", "tasks_app_collectionplan", "tasks_app_target", "tasks_app_noticechannel"),
        *(pytest.param(model, marks=pytest.mark.soak) for model in ("auth_group", "tasks_app_noticeping")),
    ],
)
def test_list_and_form_have_titles_and_the_list_leads_to_the_form(model):
    client, (plural, english, chinese) = superuser_client(), FORMS[model]
    listed, form = (client.get(url(f"{model}_{page}")) for page in ("changelist", "add"))
    assert trail_of(listed) == ([plural], plural)
    assert trail_of(form) == ([plural, english], english)
    assert ['class="addlink' in page.content.decode() for page in (listed, form)] == [True, False]
    trail, title = trail_of(client.get(url(f"{model}_add"), headers={"Accept-Language": "zh-CN"}))
    assert (trail[-1], title) == (chinese, chinese)
    assert listed.context["cl"].columns, "it is written in short rows"
    assert "unfold/helpers/change_list_results.html" not in [each.name for each in listed.templates]


@pytest.mark.parametrize(
    "model",
    [
        *("stock", "dailybar", "incident"),
        *(pytest.param(model, marks=pytest.mark.soak) for model in ("correction", "finding", "recordedcall")),
    ],
)
def test_trail_of_a_read_only_list_is_its_name(model):
    response = superuser_client().get(url(f"tasks_app_{model}_changelist"))
    name = response.context["cl"].opts.verbose_name_plural
    assert trail_of(response)[0] == [str(name).capitalize()]


def test_users_list_says_where_each_may_sign_in():
    make_user("off", is_active=False)
    make_user("machine", is_staff=False)
    text = text_of(superuser_client().get(url("auth_user_changelist")))
    assert "switched off" in text
    assert "API only" in text


@pytest.mark.parametrize(
    ("model", "english", "chinese"),
    [
        ("auth_group", "3 groups", "共 3 条记录"),
        pytest.param("tasks_app_collectionplan", "0 plans", "共 0 条记录", marks=pytest.mark.soak),
        ("tasks_app_collectiontask", "0 tasks", "共 0 条记录"),
    ],
)
def test_total_of_a_list_has_a_measure_word(model, english, chinese):
    client = superuser_client()
    assert english in text_of(client.get(url(f"{model}_changelist")))
    response = client.get(url(f"{model}_changelist"), headers={"Accept-Language": "zh-CN"})
    assert chinese in text_of(response)


def test_history_of_a_plan_is_its_audit_record():
    plan = make_plan(market="SIM")
    plan_actions.change(plan.pk, {"days": 5}, ACTOR)
    client = superuser_client()
    form = client.get(url("tasks_app_collectionplan_change", plan.pk))
    history = url("tasks_app_collectionplan_history", plan.pk)
    assert history in form.content.decode()
    page = client.get(history, follow=True)
    assert plan.name in text_of(page)
    assert not page.context["form"].errors


@pytest.mark.usefixtures("without_html")
def test_history_names_what_the_audit_page_knows():
    client = superuser_client()
    for model in FORMS:
        page = client.get(url(f"{model}_history", 1), follow=True)
        assert page.status_code == 200
        assert not page.context["form"].errors, model


def test_history_is_offered_to_those_who_may_see_the_record():
    user = make_user("mei")
    page = staff_client("auth.view_user", "auth.change_user").get(url("auth_user_change", user.pk))
    assert url("auth_user_history", user.pk) not in page.content.decode()


def test_form_of_a_user_shows_no_digest_and_no_manual():
    user = make_user("mei")
    page = text_of(superuser_client().get(url("auth_user_change", user.pk)))
    assert "Set another password" in page
    assert "pbkdf2" not in page
    assert "md5" not in page
    assert "Control" not in page
    assert "Set another password" not in text_of(
        staff_client("auth.view_user").get(url("auth_user_change", user.pk))
    )


def test_question_before_a_deletion_has_names_only():
    user = make_user("mei")
    user.groups.add(Group.objects.get(name="viewer"))
    page = text_of(superuser_client().get(url("auth_user_delete", user.pk)))
    assert "mei" in page
    assert "object (" not in page


def test_superuser_is_not_deleted_by_others_in_bulk():
    root = make_user("boss", is_superuser=True)
    client = staff_client("auth.view_user", "auth.delete_user")
    data = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
    client.post(url("auth_user_changelist"), data)
    assert User.objects.filter(pk=root.pk).exists()


def test_plan_form_begins_with_a_time():
    page = superuser_client().get(url("tasks_app_collectionplan_add")).content.decode()
    assert 'value="18:00"' in page
    assert not CollectionPlan.objects.exists()
