"""Clients of the old script move over unchanged, apart from a header with their token."""

import json
from dataclasses import replace

import pytest
from django.test import override_settings
from knox.models import AuthToken

from tasks_app.api.bodies import StartBody
from tasks_app.api.fields import validated
from tasks_app.models import CollectionTask
from tests.api.factories import BASE, START, client_of, make_stock
from tests.factories import finish, make_ended, make_task, make_user

pytestmark = pytest.mark.django_db
DAYS = {"start_date": "2024-01-01", "end_date": "2024-12-31"}
ORIGIN = "https://quant.example.com"


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


@pytest.fixture
def configure(settings):
    """Returns a function that changes COLLECTOR_* settings for the test."""

    def change(**values):
        settings.COLLECTOR = replace(settings.COLLECTOR, **values)

    return change


def start(client, **fields):
    return client.post(START, {**DAYS, "source": "simulated", "stock_codes": ["000001"], **fields})


def test_body_without_content_type_is_json(client):
    body = json.dumps({**DAYS, "source": "simulated", "stock_codes": ["000001"]})
    response = client.generic("POST", START, body, content_type="")
    assert (response.status_code, response.json()["status"]) == (200, "started")


def test_form_body_is_still_refused(client):
    response = client.generic("POST", START, "start_date=2024-01-01", "application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [(1, True), (0, False), ("1", True), ("yes", True), ("No", False), ("TRUE", True), (False, False)],
)
def test_words_and_digits_are_booleans(sent, meant):
    order = {"start_date": "2024-01-01", "end_date": "2024-01-02", "test_mode": sent}
    assert validated(StartBody, order)["test_mode"] is meant


@pytest.mark.parametrize("sent", [2, -1, 1.0, "on", "", [], {}])
def test_unclear_boolean_is_rejected(client, sent):
    response = start(client, force_update=sent)
    assert (response.status_code, list(response.json()["errors"])) == (400, ["force_update"])


def test_market_may_be_in_lower_case(client):
    assert start(client, market="sim").json()["market"] == "SIM"
    make_stock("US", "AAPL")
    assert client.get(f"{BASE}/stock-list?market=us").json()["total"] == 1
    assert client.get(f"{BASE}/tasks?market=sim").json()[0]["market"] == "SIM"
    assert client.get(f"{BASE}/quotes/us/aapl").status_code == 200


def test_dates_may_lack_zeros(client):
    body = start(client, start_date="2024-8-1", end_date="2024-08-9").json()
    assert (body["start_date"], body["end_date"]) == ("2024-08-01", "2024-08-09")
    assert client.get(f"{BASE}/stock-list").status_code == 200


@pytest.mark.parametrize("text", ["24-8-1", "2024-13-1", "2024-2-30", "2024-8", "8-1-2024", "2024-8-1 "])
def test_unclear_date_is_rejected(client, text):
    assert list(start(client, start_date=text).json()["errors"]) == ["start_date"]


def test_unknown_fields_are_named_as_ignored(client):
    body = start(client, indicators=["macd"], sync_from_realtime=True).json()
    assert body["ignored_fields"] == ["indicators", "sync_from_realtime"]
    assert "ignored: indicators, sync_from_realtime" in body["message"]


def test_known_fields_are_not_named(client):
    body = start(client, adjust="", force_update=False).json()
    assert body["ignored_fields"] == []
    assert "ignored" not in body["message"]


def test_retry_names_unknown_fields(client):
    task = make_ended("failed")
    body = client.post(f"{BASE}/tasks/{task.pk}/retry", {"pages": 3}).json()
    assert body["ignored_fields"] == ["pages"]


def test_error_message_is_null_without_an_error(client):
    task = make_task(stock_codes=("000001",))
    finish(task)
    assert client.get(f"{BASE}/status/{task.pk}").json()["error_message"] is None
    failed = make_ended("failed")
    assert (
        client.get(f"{BASE}/status/{failed.pk}").json()["error_message"].startswith("Every stock failed (1)")
    )


def test_stock_list_is_of_china_by_default(client):
    make_stock("CN", "000001")
    make_stock("US", "AAPL")
    make_stock("SIM", "000002")
    assert [row["market"] for row in client.get(f"{BASE}/stock-list").json()["stocks"]] == ["CN"]


def test_paths_answer_with_a_slash(client):
    body = client.post(f"{START}/", {**DAYS, "source": "simulated", "stock_codes": ["000001"]}).json()
    task = body["task_id"]
    for path in ("tasks", f"status/{task}", f"tasks/{task}/items", "current-task", "stock-list"):
        assert client.get(f"{BASE}/{path}/").json() == client.get(f"{BASE}/{path}").json()
    assert client.delete(f"{BASE}/tasks/{task}/").status_code == 200
    assert CollectionTask.objects.get().status == "cancelled"


def test_running_task_is_named_in_chinese(client):
    make_task()
    response = client.post(START, {**DAYS, "source": "simulated"}, headers={"Accept-Language": "zh-CN"})
    assert "已有采集任务正在运行" in response.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "word"),
    [({}, "必填"), ({"Accept-Language": "en"}, "required"), ({"Accept-Language": "*"}, "required")],
)
def test_language_of_clients_that_name_none(client, configure, headers, word):
    configure(language="zh-hans")
    assert word in str(client.post(START, {}, headers=headers).json()["errors"])


def test_fast_path_answers_with_cors_headers(settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:1],
        "corsheaders.middleware.CorsMiddleware",
        *settings.MIDDLEWARE[1:],
    ]
    _, token = AuthToken.objects.create(make_user("reader"))
    with override_settings(CORS_ALLOWED_ORIGINS=[ORIGIN], CORS_URLS_REGEX=r"^/api/"):
        client = client_of()
        headers = {"Authorization": f"Bearer {token}", "Origin": ORIGIN}
        answer = client.get(f"{BASE}/current-task", headers=headers)
        assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, ORIGIN)
        foreign = client.get(f"{BASE}/current-task", headers={**headers, "Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in foreign
        wish = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        preflight = client.options(START, headers=wish)
        assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (200, ORIGIN)
        assert "authorization" in preflight["Access-Control-Allow-Headers"]
