"""The task endpoints, to the letter of the contract."""

import uuid
from dataclasses import replace
from datetime import datetime

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionTask, StockList
from tasks_app.models.states import ItemState
from tasks_app.models.tasks import EventKind
from tasks_app.queue import dispatch
from tasks_app.sources import registry
from tests.api.factories import BASE, client_of, make_stock
from tests.factories import (
    finish,
    make_claim,
    make_ended,
    make_lane,
    make_task,
    make_user,
)

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


def test_a_start_answers_with_the_order_as_understood(client, user):
    answer = start(client, stock_codes=["000001", "600519"])
    task = CollectionTask.objects.get()
    assert answer.status_code == 200
    assert answer.json() == {
        "task_id": str(task.pk),
        "status": "started",
        "message": "The collection was started: 2024-01-01 to 2024-12-31.",
        "start_date": "2024-01-01",
        "end_date": "2024-12-31",
        "stock_codes": ["000001", "600519"],
        "test_mode": False,
        "full_collection_mode": False,
        "market": "CN",
        "source": "simulated",
        "adjust": "",
        "force_update": False,
        "fallbacks": [],
        "unknown_codes": [],
        "total_stocks": 2,
        "retry_of": None,
    }
    event = task.events.get(kind=EventKind.STARTED)
    assert (event.user, event.channel) == (user, "api")


def test_nulls_unknown_fields_and_words_for_booleans_are_taken_as_old_clients_mean_them(client):
    given = {"stock_codes": None, "market": None, "adjust": None, "test_mode": "true", "pages": 3}
    answer = start(client, **given, full_collection_mode=None).json()
    assert (answer["test_mode"], answer["full_collection_mode"], answer["stock_codes"]) == (True, False, None)


def test_codes_that_the_market_does_not_list_are_named_and_left_out(client):
    make_stock("CN", "000001")
    StockList.objects.create(
        market="CN", source="simulated", size=1, synced_at=datetime.fromisoformat("2024-01-01T00:00:00Z")
    )
    answer = start(client, stock_codes=["000001", "999999"]).json()
    assert (answer["stock_codes"], answer["unknown_codes"]) == (["000001"], ["999999"])
    assert "999999" in answer["message"]


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
        ({"test_mode": 1}, "test_mode", "boolean"),
        ({"market": ["CN"]}, "market", "string"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_sentence_at_its_field(client, fields, field, part):
    answer = start(client, **fields)
    assert answer.status_code == 400
    told = answer.json()
    assert set(told) == {"detail", "code", "errors"}
    assert part in told["detail"]
    assert part in told["errors"][field][0]
    assert not CollectionTask.objects.exists()


def test_a_market_that_only_made_up_quotes_serve_is_refused_and_says_how_to_have_them(client, monkeypatch):
    found = {name: registry.load(registry.BUILT_IN[name]) for name in ("sample", "simulated")}
    monkeypatch.setattr(registry, "available", lambda conf: found)
    told = start(client, market="CN", source="").json()
    assert told["code"] == "no_source_for_market"
    assert "Available sources: sample (US)." in told["detail"]
    assert told["detail"].endswith("only if the request names it: simulated (CN, HK, US).")


def test_a_source_that_is_none_is_refused_with_what_it_lacks_and_harms_no_other(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=(("mine", "tests.api.factories:BASE"),))
    answer = start(client, source="mine")
    assert (answer.status_code, answer.json()["code"]) == (400, "source_broken")
    assert "lacks a class" in answer.json()["errors"]["source"][0]
    assert start(client).status_code == 200


def test_an_orders_source_is_the_name_that_it_was_registered_by(client, settings):
    paths = (("foo", "tests.fakes.scripted_sources:First"), ("bar", "tests.fakes.scripted_sources:First"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths)
    told = start(client, source="foo", market="CN", fallbacks=["bar"]).json()
    assert (told["source"], told["fallbacks"]) == ("foo", ["bar"])


def test_a_start_while_a_task_runs_is_refused_and_says_which(client):
    task = make_task()
    answer = start(client)
    assert answer.status_code == 400
    assert str(task.pk) in answer.json()["detail"]
    assert answer.json()["code"] == "task_running"


def test_a_day_that_has_begun_somewhere_on_earth_is_not_future(client):
    from tasks_app.orders.order import latest_today

    today = latest_today().isoformat()
    assert start(client, start_date=today, end_date=today).status_code == 200


def test_the_same_key_and_body_answer_with_the_same_task(client):
    first = start(client, key="one")
    lifecycle.fail(uuid.UUID(first.json()["task_id"]), "x", "x")
    again = start(client, key="one")
    assert (again.status_code, again.json()) == (200, first.json())
    assert CollectionTask.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(client):
    start(client, key="one")
    answer = start(client, key="one", test_mode=True)
    assert answer.status_code == 400
    assert (answer.json()["code"], list(answer.json()["errors"])) == (
        "idempotency_conflict",
        ["Idempotency-Key"],
    )


def test_a_key_belongs_to_its_user(client):
    start(client, key="one")
    other = start(client_of(make_user("bea", is_superuser=True)), key="one")
    assert other.json()["code"] == "task_running"


@pytest.mark.parametrize("key", ["x" * 256, "a\x07b", "schlüssel", ""])
def test_an_unfit_key_is_refused(client, key):
    answer = start(client, key=key)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["Idempotency-Key"])


def test_the_status_tells_the_counters_and_the_failures(client):
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED, collected=10, skipped=2))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout", error_message="no answer"))
    answer = client.get(f"{BASE}/status/{task.pk}")
    told = answer.json()
    assert answer.status_code == 200
    assert set(told) >= STATUS_KEYS
    counters = [
        told[key] for key in ("progress", "total_stocks", "processed_stocks", "success_count", "failed_count")
    ]
    assert counters == [66, 3, 2, 1, 1]
    assert (told["collected_count"], told["skipped_count"], told["status"]) == (10, 2, "running")
    assert told["failed_details"] == ["000002: no answer"]
    assert (told["end_time"], told["error_message"]) == (None, "")
    assert datetime.fromisoformat(told["start_time"]).utcoffset() is not None
    assert told["start_time"][-6] in "+-"


def test_the_failures_are_the_first_hundred(client):
    task = make_task(stock_codes=tuple(f"{n:06}" for n in range(120)))
    finish(task, ItemState.FAILED, error_message="no answer")
    details = client.get(f"{BASE}/status/{task.pk}").json()["failed_details"]
    assert (len(details), details[0], details[-1]) == (100, "000000: no answer", "000099: no answer")


@pytest.mark.parametrize("bad", ["nonsense", "1", str(uuid.UUID(int=7)), "%00", "%F0%9F%92%A9", "x" * 500])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "status/{}"),
        ("delete", "tasks/{}"),
        ("get", "tasks/{}/items"),
        ("get", "tasks/{}/errors"),
        ("post", "tasks/{}/retry"),
    ],
)
def test_an_unknown_or_malformed_id_is_not_found(client, method, path, bad):
    answer = getattr(client, method)(f"{BASE}/{path.format(bad)}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "task_not_found"
    assert len(answer.json()["detail"]) < 100


@pytest.mark.parametrize("form", ["{{{}}}", "urn:uuid:{}", "-{}-"])
def test_an_id_in_another_form_than_ours_is_not_found(client, form):
    task = make_ended("failed")
    answer = client.get(f"{BASE}/status/{form.format(task.pk)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")


def test_a_cancel_answers_only_when_the_task_was_running(client, user):
    task = make_task()
    answer = client.delete(f"{BASE}/tasks/{task.pk}")
    assert (answer.status_code, set(answer.json())) == (200, {"message", "task_id"})
    task.refresh_from_db()
    assert (task.status, task.events.get(kind=EventKind.CANCELLED).user) == ("cancelled", user)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_cancel_of_an_ended_task_is_refused(client, status):
    answer = client.delete(f"{BASE}/tasks/{make_ended(status).pk}")
    assert (answer.status_code, answer.json()["code"]) == (400, "task_not_running")
    assert status in answer.json()["detail"]


def test_the_current_task_is_null_or_three_keys(client):
    assert client.get(f"{BASE}/current-task").json() == {"current_task": None}
    task = make_task()
    told = client.get(f"{BASE}/current-task").json()
    assert set(told) == {"current_task"}
    assert set(told["current_task"]) == {"task_id", "status", "start_time"}
    assert (told["current_task"]["task_id"], told["current_task"]["status"]) == (str(task.pk), "running")


def test_a_retry_starts_a_new_task_with_what_failed_and_links_the_old_one(client):
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout"))
    assert client.post(f"{BASE}/tasks/{task.pk}/retry").json()["code"] == "task_still_running"
    client.delete(f"{BASE}/tasks/{task.pk}")
    told = client.post(f"{BASE}/tasks/{task.pk}/retry").json()
    assert (told["stock_codes"], told["retry_of"], told["status"]) == (
        ["000002", "000003"],
        str(task.pk),
        "started",
    )


@pytest.mark.parametrize("how", ["body", "query"])
def test_a_retry_of_one_kind_of_failure(client, how):
    task = make_task()
    first, second, _ = lifecycle.claim(make_lane(task), 3)
    lifecycle.record(first, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.record(second, Outcome(ItemState.FAILED, error_code="unknown_stock"))
    client.delete(f"{BASE}/tasks/{task.pk}")
    url = f"{BASE}/tasks/{task.pk}/retry"
    wanted = {"error_code": "timeout"}
    answer = client.post(url, wanted) if how == "body" else client.post(f"{url}?error_code=timeout")
    assert answer.json()["stock_codes"] == ["000001"]


def test_a_retry_with_nothing_left_or_another_task_running_is_refused(client):
    done, failed = make_ended("completed"), make_ended("failed")
    assert client.post(f"{BASE}/tasks/{done.pk}/retry").json()["code"] == "nothing_to_retry"
    make_task()
    answer = client.post(f"{BASE}/tasks/{failed.pk}/retry")
    assert (answer.status_code, answer.json()["code"]) == (400, "task_running")


def test_the_errors_are_grouped_by_code(client):
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


def test_an_item_tells_how_its_stock_went(client):
    task = make_task()
    lifecycle.record(
        make_claim(task), Outcome(ItemState.SUCCEEDED, collected=7, corrected=1, skipped=2, refused=3)
    )
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
        "error_code": "",
        "error_message": "",
    }
    assert (second["status"], second["finished_at"]) == ("pending", None)


@pytest.mark.parametrize("path", ["status", "current-task"])
def test_who_asks_for_a_task_that_no_worker_came_for_is_told_that_it_failed(client, path, monkeypatch):
    alive = [object()]
    monkeypatch.setattr(dispatch, "clusters", lambda: alive)
    task = make_task()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    address = f"{BASE}/status/{task.pk}" if path == "status" else f"{BASE}/current-task"
    client.get(address)
    task.refresh_from_db()
    assert task.status == "running", "its worker's watchdog decides"
    alive.clear()
    told = client.get(address).json()
    assert told.get("current_task") is None
    assert (told.get("status", "failed"), told.get("error_code", "no_worker")) == ("failed", "no_worker")
    task.refresh_from_db()
    assert task.error_code == "no_worker"
