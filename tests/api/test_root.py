"""The root of the API says what there is."""

import pytest
from django.urls import URLPattern

from tasks_app.api import urls
from tests.api.factories import BASE, START, client_of
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
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
    table = page[page.index("<table") : page.index("</table>")]
    assert f'<a href="http://testserver{BASE}/tasks">' in table
    assert f"http://testserver{BASE}/status/{{task_id}}" in table
    assert f'href="http://testserver{START}"' not in table  # POST
    assert '{task_id}"' not in table


def test_start_page_begins_with_an_example():
    client = client_of(make_user("root", is_superuser=True))
    page = client.get(START, headers=HTML).content.decode()
    assert "&quot;stock_codes&quot;: [&quot;600519&quot;, &quot;000001&quot;]" in page
