"""Priorities, and the chain of a task that yielded, over HTTP."""

import pytest

from tasks_app import lifecycle
from tasks_app.lifecycle import order_queue, payloads
from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent, QueuedOrder, StepAttempt
from tasks_app.models.priorities import Priority
from tests.api.factories import BASE, client_of
from tests.factories import ACTOR, finish, make_continued, make_task, make_user, make_yielded

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


def test_chain_is_one_run_with_one_progress(client):
    task = make_yielded()
    plan = CollectionPlan.objects.get()
    payload = status(client, task)
    assert (payload["status"], payload["error_code"]) == ("cancelled", "yielded")
    assert (payload["processed_stocks"], payload["total_stocks"], payload["progress"]) == (1, 3, 33)
    assert (payload["yielded_to"], payload["continued_by"]) == ({"id": plan.pk, "name": plan.name}, None)
    assert payload["chain"] == CHAIN
    queued = client.get(f"{BASE}/queue").json()[0]
    assert (queued["continues"], queued["priority"], queued["position"]) == (str(task.pk), "low", 1)
    finish(CollectionTask.objects.get(status="running"))
    rest = order_queue.start_next()
    finish(rest, collected=3)
    payload, last = status(client, task), status(client, rest)
    assert (payload["continued_by"], last["continues"]) == (str(rest.pk), str(task.pk))
    done = {**CHAIN, "completed": 3, "remaining": 0, "parts": 2, "goes_on": False}
    assert payload["chain"] == last["chain"] == done
    assert (last["progress"], last["total_stocks"], last["outcome"]) == (100, 2, "complete")


def test_version_of_a_yielded_tasks_status_changes_with_its_chain():
    task, rest = make_continued()
    before = payloads.task_status_summary(task)
    finish(rest, collected=3)
    after = payloads.task_status_summary(task)
    assert (before["chain"]["completed"], after["chain"]["completed"]) == (1, 3)


def test_withdrawn_rest_ends_the_chain(client):
    task = make_yielded()
    client.delete(f"{BASE}/queue/{QueuedOrder.objects.get().pk}")
    assert status(client, task)["chain"] == {**CHAIN, "goes_on": False}
    lifecycle.cancel(CollectionTask.objects.get(status="running").pk, ACTOR)
    again = client.post(f"{BASE}/tasks/{task.pk}/retry")
    assert (again.status_code, again.json()["stock_codes"]) == (200, ["000002", "000003"])


def test_task_that_goes_on_is_not_retried(client):
    task, _ = make_continued()
    response = client.post(f"{BASE}/tasks/{task.pk}/retry")
    assert (response.status_code, response.json()["code"]) == (400, "task_goes_on")


def test_list_asks_for_chains_once(client, django_assert_max_num_queries):
    task, rest = make_continued()
    with django_assert_max_num_queries(12):
        keys = [row["task_id"] for row in client.get(f"{BASE}/tasks").json() if row["chain"]]
    assert sorted(keys) == sorted([str(task.pk), str(rest.pk)])


def test_plan_has_a_priority_and_its_run_says_what_it_overtook(client):
    made = client.post(f"{BASE}/plans", {"name": "daily", "at": "18:00", "priority": "high", "market": "SIM"})
    assert made.json()["priority"] == "high"
    assert PlanEvent.objects.get().params["priority"] == "high"
    changed = client.patch(f"{BASE}/plans/{made.json()['id']}", {"priority": "low"})
    assert (changed.json()["priority"], CollectionPlan.objects.get().priority) == ("low", Priority.LOW)
    task = make_yielded()
    plan = StepAttempt.objects.get().run.plan_id
    attempt = client.get(f"{BASE}/plans/{plan}/runs").json()[0]["steps"][0]["attempts"][0]
    assert attempt["overtook"] == str(task.pk)
