"""Whatever is sent, the answer is a sentence, never a 500."""

import json
import re
from io import BytesIO

import pytest
from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from django.test import Client, RequestFactory
from django.urls import include, path
from rest_framework.views import APIView

from tasks_app.api.errors import exception_handler
from tasks_app.api.middleware import BodyLimitMiddleware
from tasks_app.models.states import ItemState
from tests.api.factories import BASE, client_of
from tests.factories import (
    finish,
    make_ended,
    make_task,
    make_user,
)

pytestmark = pytest.mark.django_db
START = f"{BASE}/historical"


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


def send(client, body, **headers):
    content_type = headers.pop("content_type", "application/json")
    return client.generic("POST", START, body, content_type=content_type, headers=headers)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[]", "object"),
        (b"3", "object"),
        (b"null", "object"),
        (b'"x"', "object"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"market": "\\ud800"}', "surrogate"),
        (b'{"stock_codes": ["\\ud800"]}', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"source": "a\\u0000b"}', "NUL"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 400_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"", "required"),
        (b"{}", "required"),
    ],
)
def test_a_body_that_can_not_be_read_is_refused_with_a_sentence(client, body, part):
    answer = send(client, body)
    assert answer.status_code == 400
    assert part in answer.json()["detail"]


def test_a_byte_order_mark_does_no_harm(client):
    assert send(client, b"\xef\xbb\xbf{}").json()["code"] == "invalid"


def test_a_thousand_wrong_codes_make_a_short_answer(client):
    order = {"start_date": "2024-01-01", "end_date": "2024-01-02", "stock_codes": ["é" * 90] * 1000}
    assert len(client.post(START, order).content) < 2000


@pytest.mark.parametrize("charset", ["hex", "utf-16", "rot13", "nonsense"])
def test_another_charset_changes_nothing(client, charset):
    answer = send(client, b'{"start_date": "x"}', content_type=f"application/json; charset={charset}")
    assert answer.json()["errors"].keys() == {"start_date", "end_date"}


def test_a_body_over_the_limit_is_refused(client, settings):
    body = json.dumps({"start_date": "x" * settings.MAX_BODY_BYTES}).encode()
    answer = send(client, body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert str(settings.MAX_BODY_BYTES) in answer.json()["detail"]


def _chunked(size):
    request = RequestFactory().post(START, content_type="application/json")
    del request.META["CONTENT_LENGTH"]
    request.META |= {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": BytesIO(b"x" * size),
    }
    return request


def test_a_chunked_body_over_the_limit_is_refused_and_not_read_further(settings):
    request = _chunked(settings.MAX_BODY_BYTES + 500)
    assert BodyLimitMiddleware(lambda _: None)(request).status_code == 413
    assert request.META["wsgi.input"].tell() == settings.MAX_BODY_BYTES + 1


def test_a_chunked_body_within_the_limit_is_handed_on():
    assert BodyLimitMiddleware(lambda request: request.read())(_chunked(500)) == b"x" * 500


def test_a_content_length_that_lies_low_cuts_the_body(client):
    body = b'{"start_date": "2024-01-01"}'
    answer = client.generic("POST", START, body, content_type="application/json", CONTENT_LENGTH="5")
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_another_content_type_is_unsupported(client, content_type):
    answer = send(client, b"x", content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_an_accept_header_that_nothing_fits_is_not_acceptable(client):
    answer = client.get(f"{BASE}/tasks", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


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
def test_a_wrong_method_is_told_the_right_ones(client, method, where, allowed):
    answer = getattr(client, method)(f"{BASE}/{where}")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize(
    "where", ["/api", "/api/", "/api/nothing", f"{BASE}/tasks/", f"{BASE}/a%0Ab", "/api/x%00"]
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_path_is_not_found_in_json_whoever_asks(method, where):
    answer = getattr(client_of(), method)(where)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_browser_gets_html_with_a_way_to_log_in():
    answer = client_of().get(f"{BASE}/tasks", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert "text/html" in answer.headers["Content-Type"]
    assert b"/api/auth/login/?next=" in answer.content
    assert client_of().get("/api/auth/login/").status_code == 200


@pytest.mark.parametrize("where", ["tasks", "current-task", "stock-list", "historical"])
def test_a_browser_gets_html(client, where):
    make_task()
    answer = client.get(f"{BASE}/{where}", headers={"Accept": "text/html,*/*;q=0.8"})
    assert "text/html" in answer.headers["Content-Type"]


def test_an_error_is_told_in_the_language_asked_for():
    def told(language):
        return client_of().get(f"{BASE}/tasks", headers={"Accept-Language": language}).json()["detail"]

    assert told("de, en;q=0.5") == "Authentication credentials were not provided."
    assert told("zh-CN,zh;q=0.9") == "身份认证信息未提供。"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a": 1,}', "请求正文不是 JSON：第 1 行第 9 列。"),
        (b'{"a": NaN}', "请求正文不是 JSON：其中有数字无法读取。"),
    ],
)
def test_what_is_wrong_with_a_body_is_told_in_chinese_too(client, body, told):
    assert send(client, body, **{"Accept-Language": "zh-CN"}).json()["detail"] == told


def test_a_session_without_its_csrf_token_is_refused_in_the_reader_s_language():
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("ann", is_superuser=True))
    answer = send(client, b"{}", **{"Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert answer.json()["detail"] == "CSRF 令牌缺失或有误。请重新加载页面，或改用 API 令牌。"


def test_kinds_of_failure_are_told_in_the_reader_s_language_and_as_recorded_in_english(client):
    task = make_task()
    finish(task, ItemState.FAILED, error_code="timeout", error_message="No answer within 30 s.")

    def told(language):
        answer = client.get(f"{BASE}/tasks/{task.pk}/errors", headers={"Accept-Language": language})
        return answer.json()[0]["message"]

    assert (told("en"), told("zh-CN")) == ("No answer within 30 s.", "数据源响应超时。")


def test_a_kind_of_failure_that_is_not_ours_is_told_as_recorded(client):
    task = make_task()
    finish(task, ItemState.FAILED, error_code="theirs", error_message="Their own sentence.")
    answer = client.get(f"{BASE}/tasks/{task.pk}/errors", headers={"Accept-Language": "zh-CN"})
    assert answer.json()[0]["message"] == "Their own sentence."


ENGLISH = re.compile("Log in|Log out|Are you sure|Media type|Content:|Framework|request on the|Any other")


@pytest.mark.parametrize(
    ("where", "title"),
    [
        ("historical", "启动采集"),
        ("status/{task}", "任务"),
        ("tasks", "任务"),
        ("tasks/{task}", "取消任务"),
        ("tasks/{task}/items", "条目"),
        ("tasks/{task}/errors", "失败分类"),
        ("tasks/{task}/retry", "重试"),
        ("current-task", "当前运行"),
        ("stock-list", "股票"),
        ("quotes/CN/000001", "日K线"),
        ("../", "API"),
    ],
)
def test_a_browser_s_pages_are_in_the_reader_s_language(client, where, title):
    path = f"{BASE}/{where.format(task=make_ended('failed').pk)}"
    for reader in (client, client_of()):
        page = reader.get(path, headers={"Accept": "text/html", "Accept-Language": "zh-CN"}).content.decode()
        assert f"<h1>{title}</h1>" in page
        assert '<html lang="zh-hans">' in page
        assert not ENGLISH.search(page)


class Broken(APIView):
    """Fails as told."""

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
def test_a_fault_of_ours_is_a_sentence_too(client, where, status, code):
    client.raise_request_exception = False
    answer = client.get(f"/api/{where}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "gone" not in answer.json()["detail"]


@pytest.mark.parametrize("query", ["SELECT * FROM nowhere", "SELECT lacking FROM auth_user"])
def test_what_was_never_migrated_is_told_as_such_on_every_database(query):
    with pytest.raises(DatabaseError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query)
    answer = exception_handler(error.value, {})
    assert (answer.status_code, answer.data["code"]) == (503, "unmigrated")
    assert "python manage.py migrate" in answer.data["detail"]


def test_a_host_that_is_not_ours_is_refused_in_json(client):
    answer = client.get(f"{BASE}/tasks", HTTP_HOST="evil.example")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_too_many_parameters_are_refused(client):
    answer = client.get(f"{BASE}/tasks?{'&'.join('a=1' for _ in range(1001))}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
