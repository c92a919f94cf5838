"""The root of the API says what there is."""

import html
import json

import pytest
from django.urls import URLPattern

from tasks_app.api import urls
from tasks_app.api.root import RootView
from tests.api.factories import BASE, START, client_of
from tests.factories import make_plan, make_user

pytestmark = pytest.mark.django_db
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize("path", ["/api/", BASE, f"{BASE}/"])
def test_root_lists_every_path(path):
    response = client_of().get(path)
    body = response.json()
    assert (response.status_code, body["docs"]) == (200, "http://testserver/api/docs")
    listed = {(row["method"], row["path"]) for row in body["paths"]}
    assert ("POST", f"http://testserver{START}") in listed
    assert ("GET", f"http://testserver{BASE}/quotes/{{market}}/{{code}}") in listed
    assert all(isinstance(each, URLPattern) for each in urls.data_collection)
    verbs = [set(each.callback.actions) - {"head"} for each in urls.data_collection]
    assert len(body["paths"]) == sum(map(len, verbs))


def test_root_page_links_to_admin_and_documentation():
    page = client_of().get("/api/", headers={**HTML, "Accept-Language": "zh-CN"}).content.decode()
    assert 'href="/admin/"' in page
    assert 'href="/api/docs"' in page
    assert "启动采集" in page


def test_root_page_links_each_path_that_can_be_opened():
    page = client_of().get("/api/", headers=HTML).content.decode()
    assert f'<a href="{BASE}/tasks">tasks</a>' in page
    assert f'<a href="{START}">historical</a>' in page  # its page has a form
    assert "status/{task_id}" in page
    assert '{task_id}"' not in page


@pytest.mark.parametrize("path", ["/api/", f"{BASE}/"])
def test_root_page_shows_groups_and_no_json(path):
    page = client_of().get(path, headers=HTML).content.decode()
    assert [title for title, _rows in RootView(groups=urls.groups).sections()] == [
        title for title, _paths in urls.groups if f">{title}</h2>" in page
    ]
    assert "&quot;paths&quot;" not in page


VERBS = [
    (method, each.callback.initkwargs["verbs"].get(method))
    for each in urls.data_collection
    for method in each.callback.actions
    if method not in ("get", "head")
]


def test_every_method_that_writes_says_what_it_does():
    assert all(verb and verb.effect for _method, verb in VERBS)


@pytest.mark.parametrize(
    "path", [START, f"{START}/estimate", f"{BASE}/plans", f"{BASE}/exports", f"{BASE}/bars"]
)
def test_page_with_a_form_begins_with_an_example(path):
    client = client_of(make_user("root", is_superuser=True))
    page = client.get(path, headers=HTML).content.decode()
    assert 'data-method="POST"' in page
    body = html.unescape(page.split('data-override="content">')[1].split("</textarea>")[0])
    assert json.loads(body)


def test_page_of_a_plan_changes_and_deletes_the_plan():
    plan = make_plan()
    administrator = make_user("root", is_superuser=True, is_staff=True)
    page = client_of(administrator).get(f"{BASE}/plans/{plan.pk}", headers=HTML)
    text = page.content.decode()
    assert 'data-method="PATCH"' in text
    assert "Delete the plan?" in text
    assert "What it has collected stays." in text
    assert "Cancel the task" not in text
    assert f'href="/admin/tasks_app/collectionplan/{plan.pk}/change/"' in text


def test_path_that_cannot_be_read_shows_no_error():
    page = client_of(make_user("root", is_superuser=True)).get(START, headers=HTML)
    assert page.status_code == 405
    assert "Nothing can be read at this path" in page.content.decode()
    assert "not allowed" not in page.content.decode()
