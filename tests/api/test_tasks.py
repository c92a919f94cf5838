"""The task endpoints: their keys, status codes and errors."""

import uuid
from dataclasses import replace
from datetime import datetime

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.models import CollectionTask, StockList
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskOutcome
from tasks_app.queue import dispatch
from tasks_app.sources import registry
from tests.api.factories import BASE, client_of
from tests.factories import (
    age_heartbeat,
    finish,
    make_claim,
    make_ended,
    make_lane,
    make_outcome,
    make_task,
    make_user,
)
from tests.fakes.scripted_sources import without_token

pytestmark = pytest.mark.django_db
ORDER = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}
STATUS_KEYS = {
    "task_id",
    "status",
    "progress",
    "total_stocks",
    "processed_stocks",
    "success_count",
    "failed_count",
    "collected_count",
    "skipped_count",
    "start_time",
    "end_time",
    "error_message",
    "failed_details",
}


@pytest.fixture
def user():
    return make_user("root", is_superuser=True)


@pytest.fixture
def client(user):
    return client_of(user)


def start(client, **fields):
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    return client.post(f"{BASE}/historical", {**ORDER, **fields}, headers=headers)


def test_start_returns_the_resolved_order(client, user):
    response = start(client, stock_codes=["000001", "600519"])
    task = CollectionTask.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "task_id": str(task.pk),
        "status": "started",
        "message": "The collection was started: 2024-01-01 to 2024-12-31. Its quotes are made up. They are "
        "stored in the market SIM, apart from real ones.",
        "start_date": "2024-01-01",
        "end_date": "2024-12-31",
        "stock_codes": ["000001", "600519"],
        "test_mode": False,
        "full_collection_mode": False,
        "market": "SIM",
        "source": "simulated",
        "synthetic": True,
        "adjust": "",
        "kind": "stock",
        "force_update": False,
        "fallbacks": [],
        "verify_with": "",
        "verify_sample": 100,
        "unknown_codes": [],
        "ignored_fields": [],
        "total_stocks": 2,
        "retry_of": None,
        "priority": "normal",
    }
    event = task.events.get(kind=EventKind.STARTED)
    assert (event.user, event.channel) == (user, "api")


def test_start_accepts_nulls_and_boolean_words(client):
    fields = {"stock_codes": None, "market": None, "adjust": None, "test_mode": "true", "pages": 3}
    response = start(client, **fields, full_collection_mode=None).json()
    assert (response["test_mode"], response["full_collection_mode"], response["stock_codes"]) == (
        True,
        False,
        None,
    )


def test_unlisted_codes_are_named_and_left_out(client):
    synced_at = datetime.fromisoformat("2024-01-01T00:00:00Z")
    StockList.objects.create(market="SIM", source="simulated", size=1, codes=["000001"], synced_at=synced_at)
    response = start(client, stock_codes=["000001", "999999"]).json()
    assert (response["stock_codes"], response["unknown_codes"]) == (["000001"], ["999999"])
    assert "999999" in response["message"]


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"start_date": "yesterday"}, "start_date", "YYYY-MM-DD"),
        ({"start_date": "20240101"}, "start_date", "YYYY-MM-DD"),
        ({"start_date": "2024-02-30"}, "start_date", "YYYY-MM-DD"),
        ({"start_date": 20240101}, "start_date", "YYYY-MM-DD"),
        ({"start_date": None}, "start_date", "required"),
        ({"end_date": "2023-01-01"}, "end_date", "before"),
        ({"start_date": "2999-01-01", "end_date": "2999-01-02"}, "start_date", "future"),
        ({"market": "XX"}, "market", "CN, HK, US"),
        ({"source": "nowhere"}, "source", "simulated"),
        ({"source": "sample", "market": "CN"}, "market", "US"),
        ({"adjust": "xfq"}, "adjust", "qfq"),
        ({"adjust": "none", "source": "sample", "market": "US"}, "adjust", "only: “” (unadjusted)."),
        ({"fallbacks": ["nowhere"]}, "fallbacks", "nowhere"),
        ({"fallbacks": ["sample"]}, "fallbacks", "only US"),
        ({"stock_codes": [""]}, "stock_codes", "Malformed stock codes: “”."),
        ({"stock_codes": ["60 05"]}, "stock_codes", "60 05"),
        ({"stock_codes": "600519"}, "stock_codes", "list of strings"),
        ({"stock_codes": {"a": 1}}, "stock_codes", "list of strings"),
        ({"stock_codes": [600519]}, "stock_codes", "zeros"),
        ({"stock_codes": ["600519", None]}, "stock_codes", "zeros"),
        ({"stock_codes": ["600519"] * 10_001}, "stock_codes", "10000"),
        ({"test_mode": "perhaps"}, "test_mode", "boolean"),
        ({"test_mode": 2}, "test_mode", "boolean"),
        ({"market": ["CN"]}, "market", "string"),
    ],
)
def test_invalid_order_is_rejected_at_its_field(client, fields, field, part):
    response = start(client, **fields)
    assert response.status_code == 400
    body = response.json()
    assert set(body) == {"detail", "code", "errors"}
    assert part in body["detail"]
    assert part in body["errors"][field][0]
    assert not CollectionTask.objects.exists()


def test_market_with_only_synthetic_source_is_rejected(client, monkeypatch):
    sources = {name: registry.load(registry.BUILT_IN[name]) for name in ("sample", "simulated")}
    monkeypatch.setattr(registry, "available", lambda conf: sources)
    body = start(client, market="CN", source="").json()
    assert body["code"] == "no_source_for_market"
    assert "Available sources: sample (US)." in body["detail"]
    assert body["detail"].endswith("only if the request names it: simulated (SIM).")


def test_broken_source_is_rejected_alone(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=(("mine", "tests.api.factories:BASE"),))
    response = start(client, source="mine")
    assert (response.status_code, response.json()["code"]) == (400, "source_broken")
    assert "lacks a class" in response.json()["errors"]["source"][0]
    assert start(client).status_code == 200


def test_source_keeps_its_registered_name(client, settings):
    paths = (("foo", "tests.fakes.scripted_sources:First"), ("bar", "tests.fakes.scripted_sources:First"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths)
    body = start(client, source="foo", market="CN", fallbacks=["bar"]).json()
    assert (body["source"], body["fallbacks"]) == ("foo", ["bar"])


def test_start_while_running_names_the_task(client):
    task = make_task()
    response = start(client)
    assert response.status_code == 400
    assert str(task.pk) in response.json()["detail"]
    assert response.json()["code"] == "task_running"


def test_latest_date_on_earth_is_not_future(client):
    from tasks_app.orders.order import latest_today

    today = latest_today().isoformat()
    assert start(client, start_date=today, end_date=today).status_code == 200


def test_same_idempotency_key_returns_same_task(client):
    first = start(client, key="one")
    lifecycle.fail(uuid.UUID(first.json()["task_id"]), "x", "x")
    again = start(client, key="one")
    assert (again.status_code, again.json()) == (200, first.json())
    assert CollectionTask.objects.count() == 1


def test_idempotency_key_with_other_body_is_rejected(client):
    start(client, key="one")
    response = start(client, key="one", test_mode=True)
    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == (
        "idempotency_conflict",
        ["Idempotency-Key"],
    )


def test_idempotency_key_belongs_to_its_user(client):
    start(client, key="one")
    other = start(client_of(make_user("bea", is_superuser=True)), key="one")
    assert other.json()["code"] == "task_running"


@pytest.mark.parametrize("key", ["x" * 256, "a\x07b", "schlüssel", ""])
def test_invalid_idempotency_key_is_rejected(client, key):
    response = start(client, key=key)
    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])


def test_status_shows_counters_and_failures(client):
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED, collected=10, skipped=2))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout", error_message="no answer"))
    response = client.get(f"{BASE}/status/{task.pk}")
    body = response.json()
    assert response.status_code == 200
    assert set(body) >= STATUS_KEYS
    counters = [
        body[key] for key in ("progress", "total_stocks", "processed_stocks", "success_count", "failed_count")
    ]
    assert counters == [66, 3, 2, 1, 1]
    assert (body["collected_count"], body["skipped_count"], body["status"]) == (10, 2, "running")
    assert body["failed_details"] == ["000002: no answer"]
    assert (body["end_time"], body["error_message"]) == (None, None)
    assert datetime.fromisoformat(body["start_time"]).utcoffset() is not None
    assert body["start_time"][-6] in "+-"


def test_status_shows_first_hundred_failures(client):
    task = make_task(stock_codes=tuple(f"{n:06}" for n in range(102)))
    finish(task, ItemState.FAILED, error_message="no answer")
    details = client.get(f"{BASE}/status/{task.pk}").json()["failed_details"]
    assert (len(details), details[0], details[-1]) == (100, "000000: no answer", "000099: no answer")


@pytest.mark.parametrize(
    "bad",
    [
        str(uuid.UUID(int=7)),
        "%00",
        *(pytest.param(bad, marks=pytest.mark.soak) for bad in ("nonsense", "1", "%F0%9F%92%A9", "x" * 500)),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "status/{}"),
        ("delete", "tasks/{}"),
        ("get", "tasks/{}/items"),
        ("get", "tasks/{}/errors"),
        ("post", "tasks/{}/pause"),
        ("post", "tasks/{}/resume"),
        ("post", "tasks/{}/retry"),
    ],
)
def test_unknown_or_malformed_id_is_not_found(client, method, path, bad):
    response = getattr(client, method)(f"{BASE}/{path.format(bad)}")
    assert response.status_code == 404
    assert response.json()["code"] == "task_not_found"
    assert len(response.json()["detail"]) < 100


@pytest.mark.parametrize("form", ["{{{}}}", "urn:uuid:{}", "-{}-"])
def test_id_in_other_uuid_form_is_not_found(client, form):
    task = make_ended("failed")
    response = client.get(f"{BASE}/status/{form.format(task.pk)}")
    assert (response.status_code, response.json()["code"]) == (404, "task_not_found")


def test_cancel_of_running_task(client, user):
    task = make_task()
    response = client.delete(f"{BASE}/tasks/{task.pk}")
    assert (response.status_code, set(response.json())) == (200, {"message", "task_id"})
    task.refresh_from_db()
    assert (task.status, task.events.get(kind=EventKind.CANCELLED).user) == ("cancelled", user)


def test_pause_and_resume_are_shown_in_the_status(client, user):
    task = make_task()
    assert client.post(f"{BASE}/tasks/{task.pk}/resume").json()["code"] == "task_not_paused"
    paused = client.post(f"{BASE}/tasks/{task.pk}/pause").json()
    assert set(paused) == {"message", "task_id", "paused_at"}
    assert client.post(f"{BASE}/tasks/{task.pk}/pause").json()["code"] == "task_paused"
    status = client.get(f"{BASE}/status/{task.pk}").json()
    assert (status["status"], status["paused_at"], status["paused_by"]) == (
        "running",
        paused["paused_at"],
        user.username,
    )
    assert set(client.get(f"{BASE}/current-task").json()["current_task"]) == {
        "task_id",
        "status",
        "start_time",
    }
    assert "is paused" in start(client).json()["detail"]
    assert client.post(f"{BASE}/tasks/{task.pk}/resume").json()["paused_at"] is None
    assert client.get(f"{BASE}/status/{task.pk}").json()["paused_by"] is None


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_pause_of_ended_task_is_rejected(client, status, verb):
    response = client.post(f"{BASE}/tasks/{make_ended(status).pk}/{verb}")
    assert (response.status_code, response.json()["code"]) == (400, "task_not_running")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_cancel_of_ended_task_is_rejected(client, status):
    response = client.delete(f"{BASE}/tasks/{make_ended(status).pk}")
    assert (response.status_code, response.json()["code"]) == (400, "task_not_running")
    assert status in response.json()["detail"]


def test_current_task_is_null_or_three_keys(client):
    assert client.get(f"{BASE}/current-task").json() == {"current_task": None}
    task = make_task()
    body = client.get(f"{BASE}/current-task").json()
    assert set(body) == {"current_task"}
    assert set(body["current_task"]) == {"task_id", "status", "start_time"}
    assert (body["current_task"]["task_id"], body["current_task"]["status"]) == (str(task.pk), "running")


def test_source_without_its_token_is_refused_at_the_start(client, settings, monkeypatch):
    settings.COLLECTOR = without_token(settings.COLLECTOR, monkeypatch)
    response = start(client, source="first")
    assert response.status_code == 400
    assert response.json()["code"] == "source_unusable"
    assert "VENDOR_TOKEN is not set" in response.json()["detail"]


def test_retry_starts_only_failed_stocks(client):
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout"))
    assert client.post(f"{BASE}/tasks/{task.pk}/retry").json()["code"] == "task_still_running"
    client.delete(f"{BASE}/tasks/{task.pk}")
    body = client.post(f"{BASE}/tasks/{task.pk}/retry").json()
    assert (body["stock_codes"], body["retry_of"], body["status"]) == (
        ["000002", "000003"],
        str(task.pk),
        "started",
    )


@pytest.mark.parametrize("how", ["body", "query"])
def test_retry_of_one_error_code(client, how):
    task = make_task()
    first, second, _ = lifecycle.claim(make_lane(task), 3)
    lifecycle.record(first, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.record(second, Outcome(ItemState.FAILED, error_code="unknown_stock"))
    client.delete(f"{BASE}/tasks/{task.pk}")
    url = f"{BASE}/tasks/{task.pk}/retry"
    wanted = {"error_code": "timeout"}
    response = client.post(url, wanted) if how == "body" else client.post(f"{url}?error_code=timeout")
    assert response.json()["stock_codes"] == ["000001"]


def test_retry_of_nothing_or_while_running_is_rejected(client):
    done, failed = make_ended("completed"), make_ended("failed")
    assert client.post(f"{BASE}/tasks/{done.pk}/retry").json()["code"] == "nothing_to_retry"
    make_task()
    response = client.post(f"{BASE}/tasks/{failed.pk}/retry")
    assert (response.status_code, response.json()["code"]) == (400, "task_running")


def test_errors_are_grouped_by_code(client):
    task = make_task()
    for claim, code in zip(
        lifecycle.claim(make_lane(task), 3), ("timeout", "timeout", "unknown_stock"), strict=True
    ):
        lifecycle.record(claim, Outcome(ItemState.FAILED, error_code=code, error_message=f"{code}!"))
    groups = client.get(f"{BASE}/tasks/{task.pk}/errors").json()
    assert [(g["error_code"], g["message"], g["count"], g["sample_codes"]) for g in groups] == [
        ("timeout", "timeout!", 2, ["000001", "000002"]),
        ("unknown_stock", "unknown_stock!", 1, ["000003"]),
    ]
    assert set(groups[0]) == {"error_code", "message", "count", "first_seen", "last_seen", "sample_codes"}


def test_item_shows_its_outcome(client):
    task = make_task()
    outcome = Outcome(
        ItemState.SUCCEEDED, collected=7, corrected=1, skipped=2, refused=3, note="suspended: 2"
    )
    lifecycle.record(make_claim(task), outcome)
    first, second, _ = client.get(f"{BASE}/tasks/{task.pk}/items").json()
    assert datetime.fromisoformat(first.pop("started_at")) <= datetime.fromisoformat(first.pop("finished_at"))
    assert first == {
        "position": 0,
        "code": "000001",
        "status": "succeeded",
        "attempts": 1,
        "rows_collected": 7,
        "rows_corrected": 1,
        "rows_skipped": 2,
        "rows_refused": 3,
        "rows_compared": None,
        "rows_differing": None,
        "not_compared": None,
        "error_code": "",
        "error_message": "",
        "note": "suspended: 2",
    }
    assert (second["status"], second["finished_at"]) == ("pending", None)


@pytest.mark.parametrize("path", ["status", "current-task"])
def test_poll_fails_task_without_workers(client, path, monkeypatch):
    alive = [object()]
    monkeypatch.setattr(dispatch, "live_clusters", lambda: alive)
    task = make_task()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    address = f"{BASE}/status/{task.pk}" if path == "status" else f"{BASE}/current-task"
    client.get(address)
    task.refresh_from_db()
    assert task.status == "running", "its worker's watchdog decides"
    alive.clear()
    body = client.get(address).json()
    assert body.get("current_task") is None
    assert (body.get("status", "failed"), body.get("error_code", "no_worker")) == ("failed", "no_worker")
    task.refresh_from_db()
    assert task.error_code == "no_worker"


def test_outcome_of_a_task_is_answered_and_filtered(client):
    tasks = {str(make_outcome(one).pk): one for one in TaskOutcome.values}
    for outcome in TaskOutcome.values:
        listed = client.get(f"{BASE}/tasks?outcome={outcome}").json()
        assert [(tasks[task["task_id"]], task["outcome"]) for task in listed] == [(outcome, outcome)]
        status = client.get(f"{BASE}/status/{listed[0]['task_id']}").json()
        assert (status["status"], status["outcome"]) == ("completed", outcome)


@pytest.mark.parametrize("status", ["failed", "cancelled", "running"])
def test_task_without_the_status_completed_has_no_outcome(client, status):
    task = make_task() if status == "running" else make_ended(status)
    assert client.get(f"{BASE}/status/{task.pk}").json()["outcome"] is None


def test_unknown_outcome_is_a_400(client):
    assert client.get(f"{BASE}/tasks?outcome=great").status_code == 400


@pytest.mark.parametrize("path", ["tasks", "tasks?status=failed", "status/{}"])
def test_task_that_no_worker_will_finish_is_ended_by_every_read(client, settings, own_cache, path):
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.abandon_after + 1)
    answer = client.get(f"{BASE}/{path.format(task.pk)}").json()
    said = answer[0] if isinstance(answer, list) else answer
    assert (said["status"], said["error_code"]) == ("failed", "no_worker")


def test_attempts_of_a_stock():
    claim = make_claim(task := make_task())
    claim.add_attempt(Attempt("2024-03-01T10:00:00.000+00:00", "first", error_code="odd", worker="h:7"))
    lifecycle.requeue(claim, "odd", "", 0.0)
    answer = client_of(make_user()).get(f"{BASE}/tasks/{task.pk}/items/000001/attempts")
    assert answer.json() == [
        {
            "at": "2024-03-01T10:00:00.000+00:00",
            "source": "first",
            "purpose": "",
            "latency_ms": None,
            "stocks": 1,
            "result": "error",
            "bars": None,
            "error_code": "odd",
            "error_message": "",
            "worker": "h:7",
        }
    ]


@pytest.mark.parametrize("code", ["600000", "%00", "no-such"])
def test_attempts_of_a_stock_that_the_task_has_not(code):
    answer = client_of(make_user()).get(f"{BASE}/tasks/{make_task().pk}/items/{code}/attempts")
    assert (answer.status_code, answer.json()["code"]) == (404, "item_not_found")
