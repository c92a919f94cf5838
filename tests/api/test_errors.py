"""Errors: every response has a sentence and a code, in the reader's language."""

import re

import pytest
from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from django.test import Client
from django.urls import include, path
from rest_framework.views import APIView

from tasks_app.api.errors import exception_handler
from tasks_app.models.states import ItemState
from tests.api.factories import BASE, START, client_of, send
from tests.factories import finish, make_ended, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


def test_thousand_invalid_codes_get_a_short_error(client):
    order = {"start_date": "2024-01-01", "end_date": "2024-01-02", "stock_codes": ["é" * 90] * 1000}
    assert len(client.post(START, order).content) < 2000


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_other_content_type_is_unsupported(client, content_type):
    response = send(client, b"x", content_type=content_type)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_unsatisfiable_accept_is_406(client):
    response = client.get(f"{BASE}/tasks", headers={"Accept": "image/png"})
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    ("method", "where", "allowed"),
    [
        ("put", "historical", "POST"),
        ("get", "historical", "POST"),
        ("post", "tasks", "GET"),
        ("delete", "current-task", "GET"),
        ("patch", "tasks/1", "DELETE"),
    ],
)
def test_wrong_method_lists_allowed_ones(client, method, where, allowed):
    response = getattr(client, method)(f"{BASE}/{where}")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert allowed in response.headers["Allow"]


@pytest.mark.parametrize("where", ["/api", "/api/nothing", f"{BASE}/tasks//", f"{BASE}/a%0Ab", "/api/x%00"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_unknown_path_is_404_in_json(method, where):
    response = getattr(client_of(), method)(where)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_browser_gets_html_with_login_link():
    response = client_of().get(f"{BASE}/tasks", headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert "text/html" in response.headers["Content-Type"]
    assert b"/api/auth/login/?next=" in response.content
    assert client_of().get("/api/auth/login/").status_code == 200


def test_browser_gets_html(client):
    response = client.get(f"{BASE}/tasks", headers={"Accept": "text/html,*/*;q=0.8"})
    assert "text/html" in response.headers["Content-Type"]


def test_error_follows_accept_language():
    def detail(language):
        return client_of().get(f"{BASE}/tasks", headers={"Accept-Language": language}).json()["detail"]

    assert detail("de, en;q=0.5") == "Authentication credentials were not provided."
    assert detail("zh-CN,zh;q=0.9") == "身份认证信息未提供。"


def test_csrf_error_in_chinese():
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("ann", is_superuser=True))
    response = send(client, b"{}", **{"Accept-Language": "zh-CN"})
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert response.json()["detail"] == "CSRF 令牌缺失或有误。请重新加载页面，或改用 API 令牌。"


def test_error_groups_follow_accept_language(client):
    task = make_task()
    finish(task, ItemState.FAILED, error_code="timeout", error_message="No answer within 30 s.")

    def message(language):
        response = client.get(f"{BASE}/tasks/{task.pk}/errors", headers={"Accept-Language": language})
        return response.json()[0]["message"]

    assert (message("en"), message("zh-CN")) == ("No answer within 30 s.", "数据源响应超时。")


def test_foreign_error_code_keeps_its_message(client):
    task = make_task()
    finish(task, ItemState.FAILED, error_code="theirs", error_message="Their own sentence.")
    response = client.get(f"{BASE}/tasks/{task.pk}/errors", headers={"Accept-Language": "zh-CN"})
    assert response.json()[0]["message"] == "Their own sentence."


ENGLISH = re.compile("Sign in|Sign out|Are you sure|Media type|Content:|Framework|request on the|Any other")


TITLES = {
    "historical": "启动采集",
    "status/{task}": "单个任务",
    "tasks": "任务列表",
    "tasks/{task}": "取消任务",
    "tasks/{task}/items": "股票明细",
    "tasks/{task}/errors": "失败分类",
    "tasks/{task}/retry": "重试",
    "current-task": "当前任务",
    "stock-list": "股票",
    "quotes/CN/000001": "日K线",
    "../": "页面不存在",
}


def test_browsable_pages_are_in_chinese(client):
    task = make_ended("failed").pk
    pages = [(client, where, title) for where, title in TITLES.items()]
    for reader, where, title in (*pages, (client_of(), "tasks", "任务列表")):
        path = f"{BASE}/{where.format(task=task)}"
        page = reader.get(path, headers={"Accept": "text/html", "Accept-Language": "zh-CN"}).content.decode()
        assert f"<h1>{title}</h1>" in page
        assert '<html lang="zh-hans">' in page
        assert not ENGLISH.search(page), where


class Broken(APIView):
    """Raises `error`."""

    error: Exception = Exception()

    def get(self, request):
        raise self.error


urlpatterns = [
    path("api/away", Broken.as_view(error=OperationalError("gone"))),
    path("api/unfit", Broken.as_view(error=DataError("unfit"))),
    path("api/bare", Broken.as_view(error=OperationalError("no such table: tasks_app_collectiontask"))),
    path("api/bug", Broken.as_view(error=ZeroDivisionError("bug"))),
    path("", include("collector_site.urls")),
]
handler500 = "tasks_app.api.errors.server_error"


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("where", "status", "code"),
    [
        ("away", 503, "unavailable"),
        ("bare", 503, "unmigrated"),
        ("unfit", 400, "bad_request"),
        ("bug", 500, "error"),
    ],
)
def test_server_fault_is_a_sentence(client, where, status, code):
    client.raise_request_exception = False
    response = client.get(f"/api/{where}")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "gone" not in response.json()["detail"]


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELECT lacking FROM auth_user"])
def test_missing_tables_are_503_unmigrated(query):
    with pytest.raises(DatabaseError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query)
    response = exception_handler(error.value, {})
    assert (response.status_code, response.data["code"]) == (503, "unmigrated")
    assert "manage.py migrate" in response.data["detail"]


def test_foreign_host_is_400_in_json(client):
    response = client.get(f"{BASE}/tasks", HTTP_HOST="evil.example")
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


def test_too_many_parameters_are_rejected(client):
    response = client.get(f"{BASE}/tasks?{'&'.join('a=1' for _ in range(1001))}")
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
