"""The search of Ctrl+K."""

import pytest

from tasks_app.models import Stock
from tests.admin.helpers import staff_client, superuser_client, url
from tests.factories import make_plan, make_task

pytestmark = pytest.mark.django_db


def make_stock(code, market="CN", name=""):
    return Stock.objects.create(market=market, code=code, name=name)


def found(client, term, **headers):
    response = client.get("/admin/search/", {"s": term}, headers=headers)
    return [(result.title, result.link) for result in response.context["results"]]


def test_search_finds_a_code_in_any_spelling():
    stock = make_stock("600519", name="贵州茅台")
    page = url("tasks_app_stock_change", stock.pk)
    client = superuser_client()
    for term in ("600519", "600519.SH", "sh600519", "60051", "茅台", " 600519 "):
        assert found(client, term) == [("600519 贵州茅台", page)]


def test_search_lists_the_exact_code_first():
    for code in ("0001", "00010"):
        make_stock(code, market="HK")
    make_stock("00001", market="HK")
    assert [title for title, _link in found(superuser_client(), "1.HK")][:1] == ["00001"]


def test_search_finds_a_task_by_the_beginning_of_its_id():
    task = make_task()
    page = url("tasks_app_collectiontask_change", task.pk)
    assert (str(task.pk)[:8], page) in found(superuser_client(), str(task.pk)[:6])


def test_search_finds_pages_in_the_readers_language():
    client = superuser_client()
    assert found(client, "delete da") == [("Delete data", url("delete_data"))]
    assert found(client, "删除数据", **{"Accept-Language": "zh-CN"}) == [("删除数据", url("delete_data"))]


def test_search_finds_plans_and_sources():
    plan = make_plan(name="Evening of A-shares")
    client = superuser_client()
    assert found(client, "evening") == [(plan.name, url("tasks_app_collectionplan_change", plan.pk))]
    assert ("baostock", url("source", "baostock")) in found(client, "BaoS")


def test_search_without_a_match_says_so():
    client = superuser_client()
    assert "Nothing found" in client.get("/admin/search/", {"s": "\0nonsense"}).content.decode()
    assert found(client, "") == []


def test_search_finds_only_what_the_user_may_view():
    make_stock("600519")
    task = make_task()
    client = staff_client("view_collectionplan")
    assert found(client, "600519") == []
    assert found(client, str(task.pk)[:8]) == []
    assert found(client, "users") == []
