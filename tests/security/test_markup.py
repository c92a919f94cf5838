"""Text from sources and users is escaped: the admin's policy would let Alpine evaluate its attributes."""

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionItem
from tasks_app.models.states import ItemState
from tests.admin.helpers import superuser_client, url
from tests.api.factories import BASE, make_stock
from tests.factories import make_lane, make_task

pytestmark = pytest.mark.django_db
MARKUP = '<img src=x onerror=alert(1)><b x-init="alert(2)">\'"{{7*7}}</script>'
RAW = ("<img src=x", "<b x-init", '"alert(2)"', "'\"{{7*7}}")


def test_stock_name_is_escaped():
    stock = make_stock("US", "AAPL")
    type(stock).objects.update(name=MARKUP)
    client = superuser_client()
    assert_escaped(client, url("tasks_app_stock_changelist"), url("tasks_app_stock_change", stock.pk))
    assert_escaped(client, f"{BASE}/stock-list?market=US")


def test_source_error_is_escaped():
    task = make_task()
    failed = Outcome(ItemState.FAILED, error_code="odd", error_message=MARKUP)
    lifecycle.record(lifecycle.claim(make_lane(task), 1)[0], failed)
    item, client = CollectionItem.objects.get(error_code="odd"), superuser_client()
    assert_escaped(
        client, url("tasks_app_collectiontask_change", task.pk), url("tasks_app_collectionitem_changelist")
    )
    assert_escaped(client, url("tasks_app_collectionitem_change", item.pk), f"{BASE}/tasks/{task.pk}/errors")
    assert_escaped(client, f"{BASE}/status/{task.pk}")


def test_user_name_is_escaped_in_page_header():
    client = superuser_client()
    user = client.get(url("index")).wsgi_request.user
    user.first_name = user.last_name = MARKUP
    user.save()
    assert_escaped(client, url("index"), url("auth_user_changelist"))


@pytest.mark.parametrize(
    "path",
    [
        "/admin/tasks_app/stock/?q={}",
        "/admin/tasks_app/collectiontask/?q={}&source={}",
        "/admin/tasks_app/collectionitem/?error_code={}&task__id__exact={}",
        "/admin/login/?next={}",
        "/api/auth/login/?next={}",
        "/api/docs?lang={}",
        "/api/docs?x={}",
        "/api/docs?script=&lang={}",
        "/api/data-collection/quotes/US/{}",
        "/api/data-collection/tasks?status={}",
        "/admin/no/{}",
    ],
)
def test_address_is_escaped(path):
    client = superuser_client()
    if "login" in path:
        client.logout()
    assert_escaped(client, path.replace("{}", "%3Cimg src=x%3E%3Cb x-init=%22alert(2)%22%3E"), present=False)


def assert_escaped(client, *paths, present=True):
    for path in paths:
        response = client.get(path, headers={"Accept": "text/html"})
        body = response.content.decode()
        assert not [raw for raw in RAW if raw in body], path
        assert not present or "&lt;img src=x" in body or "\\u003cimg" in body, path
