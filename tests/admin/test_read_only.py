"""No row is edited by hand, not even by superusers; every page needs a login."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User

from tasks_app.models import CollectionItem, CollectionTask, DailyBar, Stock
from tests.admin.helpers import staff_client, superuser_client, url
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db
READ_ONLY = ["collectiontask", "collectionitem", "dailybar", "stock"]


def make_row(model):
    """Creates a row of the model."""
    if model == "stock":
        return Stock.objects.create(market="US", code="AAPL")
    if model == "dailybar":
        prices = {"open": 1, "high": 2, "low": 1, "close": 2, "volume": 3}
        return DailyBar.objects.create(
            market="US", symbol="AAPL", day="2024-01-02", source="sample", **prices
        )
    task = make_task()
    return task if model == "collectiontask" else task.items.first()


@pytest.mark.parametrize("model", READ_ONLY)
@pytest.mark.usefixtures("without_html")
def test_superuser_cannot_add_change_or_delete(model):
    row, client = make_row(model), superuser_client()
    page = f"tasks_app_{model}"
    before = type(row).objects.filter(pk=row.pk).values().get()
    assert client.get(url(f"{page}_changelist")).status_code == 200
    assert client.get(url(f"{page}_change", row.pk)).status_code == 200
    for address in (url(f"{page}_add"), url(f"{page}_delete", row.pk)):
        assert client.get(address).status_code == 403
        assert client.post(address, {"post": "yes"}).status_code == 403
    assert client.post(url(f"{page}_change", row.pk), {"status": "completed"}).status_code == 403
    assert type(row).objects.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("model", READ_ONLY)
def test_detail_page_has_no_form(model):
    row = make_row(model)
    body = superuser_client().get(url(f"tasks_app_{model}_change", row.pk)).content.decode()
    main = body[body.index('id="content-main"') : body.index('id="modal-overlay"')]
    assert "<input" not in main
    assert "<form" not in main


def test_delete_action_does_nothing():
    task, client = make_task(), superuser_client()
    data = {"action": "delete_selected", "index": "0", "_selected_action": [task.pk], "post": "yes"}
    client.post(url("tasks_app_collectiontask_changelist"), data)
    assert CollectionTask.objects.filter(pk=task.pk).exists()
    assert CollectionItem.objects.filter(task=task).count() == 3


def test_internal_tables_have_no_pages():
    shown = {model._meta.label for model in admin.site._registry}
    queue = {model._meta.label for model in apps.get_app_config("django_q").get_models()}
    assert not shown & queue
    assert {label for label in shown if label.startswith("tasks_app")} == {
        "tasks_app.CollectionTask",
        "tasks_app.CollectionItem",
        "tasks_app.CollectionPlan",
        "tasks_app.Correction",
        "tasks_app.DailyBar",
        "tasks_app.Finding",
        "tasks_app.RecordedCall",
        "tasks_app.Stock",
        "tasks_app.Incident",
        "tasks_app.NoticeChannel",
        "tasks_app.NoticePing",
        "tasks_app.QueuedOrder",
        "tasks_app.Target",
    }


def test_visitor_is_redirected_to_login():
    task = make_task()
    pages = [url(f"tasks_app_{model}_changelist") for model in READ_ONLY]
    pages += [url("index"), url("knox_authtoken_add"), url("tasks_app_collectiontask_cancel", task.pk)]
    client = staff_client(name="gone")
    client.logout()
    for page in pages:
        for response in (client.get(page), client.post(page)):
            assert (response.status_code, response.url) == (302, f"{url('login')}?next={page}")
    assert CollectionTask.objects.get(pk=task.pk).status == "running"


def test_staff_without_permissions_see_no_rows():
    client = staff_client()
    for model in READ_ONLY:
        assert client.get(url(f"tasks_app_{model}_changelist")).status_code == 403
    body = client.get(url("index")).content.decode()
    assert "have permission to view or edit anything" in body
    assert url("tasks_app_dailybar_changelist") not in body


def test_navigation_shows_only_permitted_pages():
    body = staff_client("view_dailybar").get(url("index")).content.decode()
    side_bar, start = body.split('class="sc-start"')
    for part in (side_bar, start):
        assert url("tasks_app_dailybar_changelist") in part
        assert url("tasks_app_collectiontask_changelist") not in part


def test_user_is_created_through_the_form():
    response = superuser_client().post(
        url("auth_user_add"),
        {
            "username": "bob",
            "password1": "a-long-pass-1",
            "password2": "a-long-pass-1",
            "usable_password": "true",
        },
    )
    bob = User.objects.get(username="bob")
    assert response.url == url("auth_user_change", bob.pk)
    assert bob.check_password("a-long-pass-1")


def test_users_and_groups_are_listed():
    make_user("ann")
    client = superuser_client()
    assert "ann" in client.get(url("auth_user_changelist")).content.decode()
    assert client.get(url("auth_group_changelist")).status_code == 200
    assert client.get(url("auth_group_add")).status_code == 200


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_pages_render_in_each_language(language):
    client, task = superuser_client(), make_task()
    client.cookies["django_language"] = language
    for page in (
        url("index"),
        url("tasks_app_collectiontask_changelist"),
        url("tasks_app_collectiontask_change", task.pk),
    ):
        response = client.get(page)
        assert response.status_code == 200
        assert f'<html lang="{language}"' in response.content.decode()
