"""The queue of orders over HTTP: who waits, in which order, and what becomes of them."""

from dataclasses import replace

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import order_queue
from tasks_app.models import CollectionTask
from tests.api.factories import BASE, client_of
from tests.factories import ACTOR, make_queued_order, make_task, make_user

pytestmark = pytest.mark.django_db
BODY = {
    "start_date": "2024-01-01",
    "end_date": "2024-12-31",
    "source": "simulated",
    "stock_codes": ["000002"],
}


@pytest.fixture
def client():
    return client_of(make_user("ann", "start_task", "reorder_queue", "withdraw_order"))


def start(client, key=None, **body):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"{BASE}/historical", {**BODY, **body}, headers=headers)


def test_start_is_queued_only_if_asked_for(client):
    assert start(client, queue=True).status_code == 200
    assert start(client).json()["code"] == "task_running"
    response = start(client, queue=True, priority="high")
    body = response.json()
    assert (response.status_code, body["status"], body["position"]) == (202, "queued", 1)
    assert (body["priority"], body["queued_by"], body["stock_codes"]) == ("high", "ann", ["000002"])
    assert "queued" in body["message"]
    assert CollectionTask.objects.count() == 1


def test_idempotency_key_returns_the_same_queued_order(client):
    make_task()
    first, second = (start(client, key="one", queue=True).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert start(client, key="one").json()["code"] == "idempotency_conflict"


def test_queue_is_listed_in_the_order_of_its_starts(client):
    make_task()
    low, high = (start(client, queue=True, priority=name).json()["id"] for name in ("low", "high"))
    listed = client.get(f"{BASE}/queue").json()
    assert [(row["id"], row["position"]) for row in listed] == [(high, 1), (low, 2)]
    page = client.get(f"{BASE}/queue?limit=1")
    assert [row["id"] for row in page.json()] == [high]
    assert 'rel="next"' in page["Link"]


def test_order_is_moved_and_withdrawn(client):
    first, second = make_queued_order(), make_queued_order()
    moved = client.patch(f"{BASE}/queue/{second.pk}", {"position": 1})
    assert (moved.status_code, moved.json()["position"]) == (200, 1)
    assert client.patch(f"{BASE}/queue/{first.pk}", {"priority": "high"}).json()["position"] == 1
    withdrawn = client.delete(f"{BASE}/queue/{first.pk}").json()
    assert (withdrawn["state"], withdrawn["position"]) == ("withdrawn", None)
    again = client.delete(f"{BASE}/queue/{first.pk}")
    assert (again.status_code, again.json()["code"]) == (400, "queued_order_left")
    shown = client.get(f"{BASE}/queue/{first.pk}").json()
    assert [(each["kind"], each["user_name"]) for each in shown["events"]] == [
        ("queued", ""),
        ("moved", "ann"),
        ("withdrawn", "ann"),
    ]
    assert [row["id"] for row in client.get(f"{BASE}/queue?state=withdrawn").json()] == [first.pk]


def test_started_order_names_its_task(client):
    row = make_queued_order()
    task = order_queue.start_next()
    assert client.get(f"{BASE}/queue/{row.pk}").json()["task_id"] == str(task.pk)
    assert client.get(f"{BASE}/queue").json() == []


@pytest.mark.parametrize("bad", ["0", "7", "x", "9" * 30, "%00"])
@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_unknown_order_is_not_found(client, method, bad):
    response = getattr(client, method)(f"{BASE}/queue/{bad}")
    assert (response.status_code, response.json()["code"]) == (404, "queued_order_not_found")


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_queue_is_changed_only_with_the_permission(method):
    row = make_queued_order()
    client = client_of(make_user("plain", "start_task"))
    assert getattr(client, method)(f"{BASE}/queue/{row.pk}").status_code == 403
    assert client.get(f"{BASE}/queue").status_code == 200


def test_full_queue_is_a_400(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, queue_limit=0)
    task = make_task()
    response = start(client, queue=True)
    assert (response.status_code, response.json()["code"]) == (400, "queue_full")
    lifecycle.cancel(task.pk, ACTOR)
    assert start(client, queue=True).status_code == 200
