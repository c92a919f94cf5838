"""Priorities, and the chain of a task that yielded, over HTTP."""

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome, payloads, yielding
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent, QueuedOrder
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tests.api.factories import BASE, client_of
from tests.api.test_pagination import follow_links
from tests.factories import (
    ACTOR,
    finish,
    make_continued,
    make_lane,
    make_plan,
    make_task,
    make_user,
    make_yielded,
    start_next,
)

pytestmark = pytest.mark.django_db
BODY = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "simulated"}
CHAIN = {"total": 3, "completed": 1, "failed": 0, "remaining": 2, "parts": 1, "goes_on": True}


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


def status(client, task):
    """Returns a task's status, which the list shows as well."""
    payload = client.get(f"{BASE}/status/{task.pk}").json()
    assert payload in client.get(f"{BASE}/tasks").json()
    return payload


def test_start_takes_a_priority(client):
    started = client.post(f"{BASE}/historical", {**BODY, "priority": "low"}).json()
    task = CollectionTask.objects.get()
    assert (started["priority"], status(client, task)["priority"]) == ("low", "low")
    assert task.priority == Priority.LOW
    lifecycle.cancel(task.pk, ACTOR)
    assert client.post(f"{BASE}/historical", BODY).json()["priority"] == "normal"
    assert client.post(f"{BASE}/historical", {**BODY, "priority": "urgent"}).status_code == 400


def test_task_without_a_chain_says_so(client):
    payload = status(client, make_task())
    keys = ("yielding_at", "yielded_to", "continues", "continued_by", "chain")
    assert [payload[key] for key in keys] == [None] * 5


def waiting(client, task):
    """Returns the stocks of the task's run that wait, as (code, id of the task that has them)."""
    rows = client.get(f"{BASE}/tasks/{task.pk}/items", {"chain": "true", "status": "pending"}).json()
    return [(row["code"], row["task_id"]) for row in rows]


def test_chain_is_one_run_with_one_progress(client, django_assert_max_num_queries):
    task = make_yielded()
    plan = CollectionPlan.objects.get()
    payload = status(client, task)
    assert (payload["status"], payload["error_code"]) == ("cancelled", "yielded")
    assert (payload["processed_stocks"], payload["total_stocks"], payload["progress"]) == (1, 3, 33)
    assert (payload["yielded_to"], payload["continued_by"]) == ({"id": plan.pk, "name": plan.name}, None)
    assert payload["chain"] == CHAIN
    queued = client.get(f"{BASE}/queue").json()[0]
    assert (queued["continues"], queued["priority"], queued["position"]) == (str(task.pk), "low", 1)
    assert waiting(client, task) == [(code, str(task.pk)) for code in ("000002", "000003")]
    attempt = client.get(f"{BASE}/plans/{plan.pk}/runs").json()[0]["steps"][0]["attempts"][0]
    assert attempt["overtook"] == str(task.pk)
    finish(CollectionTask.objects.get(status="running"))
    rest = start_next()
    assert waiting(client, task) == [(code, str(rest.pk)) for code in ("000002", "000003")]
    again = client.post(f"{BASE}/tasks/{task.pk}/retry")
    assert (again.status_code, again.json()["code"]) == (400, "task_goes_on")
    with django_assert_max_num_queries(12):  # the list asks for chains once
        keys = [row["task_id"] for row in client.get(f"{BASE}/tasks").json() if row["chain"]]
    assert sorted(keys) == sorted([str(task.pk), str(rest.pk)])
    # The version of a status is made of its summary, which changes with the last part.
    assert payloads.task_status_summary(task)["chain"]["completed"] == 1
    finish(rest, collected=3)
    assert payloads.task_status_summary(task)["chain"]["completed"] == 3
    payload, last = status(client, task), status(client, rest)
    assert (payload["continued_by"], last["continues"]) == (str(rest.pk), str(task.pk))
    done = {**CHAIN, "completed": 3, "remaining": 0, "parts": 2, "goes_on": False}
    assert payload["chain"] == last["chain"] == done
    assert (last["progress"], last["total_stocks"], last["outcome"]) == (100, 2, "complete")


def test_items_of_a_chain_have_each_stock_once(client):
    task, rest = make_continued()
    own = client.get(f"{BASE}/tasks/{rest.pk}/items").json()
    assert [row["code"] for row in own] == ["000002", "000003"]
    assert "task_id" not in own[0]
    finish(rest, collected=3)
    of_task = {"000001": str(task.pk), "000002": str(rest.pk), "000003": str(rest.pk)}
    for part in (task, rest):
        rows = client.get(f"{BASE}/tasks/{part.pk}/items", {"chain": "true"}).json()
        assert {row["code"]: row["task_id"] for row in rows} == of_task
        assert {row["status"] for row in rows} == {"succeeded"}
        pages = follow_links(client, f"{BASE}/tasks/{part.pk}/items?chain=true&limit=1")[0]
        assert pages == rows
    found = client.get(f"{BASE}/tasks/{task.pk}/items", {"chain": "true", "code": "000003"}).json()
    assert [row["task_id"] for row in found] == [str(rest.pk)]


def test_errors_of_a_chain_are_grouped_over_its_tasks(client):
    first = make_task(priority=Priority.LOW)
    lane = make_lane(first)
    lifecycle.record(lifecycle.claim(lane, 1)[0], Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.close(lane)
    yielding.ask(first.pk, plan := make_plan(), WORKER)
    yielding.end_for(plan, WORKER)
    rest = start_next()
    (own,) = client.get(f"{BASE}/tasks/{first.pk}/errors").json()
    assert (own["count"], "task_ids" in own) == (1, False)
    finish(rest, ItemState.FAILED, error_code="timeout")
    for part in (first, rest):
        (group,) = client.get(f"{BASE}/tasks/{part.pk}/errors", {"chain": "true"}).json()
        assert (group["error_code"], group["count"]) == ("timeout", 3)
        assert group["task_ids"] == [str(first.pk), str(rest.pk)]
        assert group["sample_codes"][0] == "000001"


def test_task_without_a_chain_is_its_own_run(client):
    task = make_task()
    rows = client.get(f"{BASE}/tasks/{task.pk}/items", {"chain": "true"}).json()
    assert [{k: v for k, v in row.items() if k != "task_id"} for row in rows] == client.get(
        f"{BASE}/tasks/{task.pk}/items"
    ).json()
    assert client.get(f"{BASE}/tasks/{task.pk}/errors", {"chain": "perhaps"}).status_code == 400


def test_withdrawn_rest_ends_the_chain(client):
    task = make_yielded()
    client.delete(f"{BASE}/queue/{QueuedOrder.objects.get().pk}")
    assert status(client, task)["chain"] == {**CHAIN, "goes_on": False}
    lifecycle.cancel(CollectionTask.objects.get(status="running").pk, ACTOR)
    again = client.post(f"{BASE}/tasks/{task.pk}/retry")
    assert (again.status_code, again.json()["stock_codes"]) == (200, ["000002", "000003"])


def test_plan_has_a_priority(client):
    made = client.post(f"{BASE}/plans", {"name": "daily", "at": "18:00", "priority": "high", "market": "SIM"})
    assert made.json()["priority"] == "high"
    assert PlanEvent.objects.get().params["priority"] == "high"
    changed = client.patch(f"{BASE}/plans/{made.json()['id']}", {"priority": "low"})
    assert (changed.json()["priority"], CollectionPlan.objects.get().priority) == ("low", Priority.LOW)
