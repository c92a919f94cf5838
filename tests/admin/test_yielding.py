"""How pages show priorities and the chain of a task that yielded."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from tasks_app import lifecycle
from tasks_app.admin.tasks.live_updates import snapshots
from tasks_app.lifecycle import Outcome, order_queue, yielding
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionPlan, CollectionTask, QueuedOrder
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tests.admin.helpers import insert_ended, superuser_client, text_of, url
from tests.admin.test_plans import make_post
from tests.admin.test_queue_page import FORM
from tests.factories import (
    ACTOR,
    finish,
    make_claim,
    make_continued,
    make_lane,
    make_plan,
    make_task,
    make_yielded,
    start_next,
)

pytestmark = pytest.mark.django_db
TASK, LIST = "tasks_app_collectiontask_change", "tasks_app_collectiontask_changelist"


@pytest.fixture
def client():
    return superuser_client()


def page(client, task):
    return text_of(client.get(url(TASK, task.pk)))


def test_start_form_and_plan_form_take_a_priority(client):
    client.post(url("start"), {**FORM, "priority": "low"})
    task = CollectionTask.objects.get()
    assert task.priority == Priority.LOW
    assert "low" in page(client, task)
    form = client.get(url("start"), {"from": task.pk}).context["form"]
    assert form["priority"].value() == "low"
    client.post(url("tasks_app_collectionplan_add"), make_post(priority="1"))
    plan = CollectionPlan.objects.get()
    assert plan.priority == Priority.HIGH
    client.post(url("tasks_app_collectionplan_change", plan.pk), make_post(days="7", priority=None))
    plan.refresh_from_db()
    assert (plan.days, plan.priority) == (7, Priority.HIGH), "a form without the field leaves it"


def test_task_that_makes_way_says_for_what_and_what_it_waits_for(client):
    task = make_task(priority=Priority.LOW)
    make_claim(task)
    yielding.ask(task.pk, make_plan(), WORKER)
    text = page(client, task)
    assert "It is yielding to the plan “nightly”" in text
    assert "1 is under way" in text
    assert "running · yielding" in text
    assert "It is yielding to the plan" in text_of(client.get(url("index")))


def test_yielded_task_shows_where_its_rest_is(client):
    task = make_yielded()
    text = page(client, task)
    assert "It yielded to the plan “plan 0”" in text
    assert "It waits in the queue as order" in text
    assert "Why it failed" not in text
    assert "Retry failed and remaining" not in text
    assert "1 of 3 stocks (33%), 0 failed" in text
    finish(CollectionTask.objects.get(status="running"))
    rest = start_next()
    assert f"It goes on as task {str(rest.pk)[:8]}" in page(client, task)
    overview = text_of(client.get(url("index")))
    assert "The whole run · 1 of 3 stocks (33%), 0 failed" in overview
    finish(rest)
    assert "3 of 3 stocks (100%), 0 failed" in page(client, rest)
    snapshots.snapshots.clear()  # a version is shown for a second
    text = page(client, task)
    assert f"It was continued as task {str(rest.pk)[:8]}" in text
    assert f"Not collected 2 continued by task {str(rest.pk)[:8]}" in text
    assert "Pending" not in text.partition("Activity log")[0]


def test_page_of_a_yielded_task_changes_until_its_chain_has_ended(client):
    task, rest = make_continued()
    live = url("tasks_app_collectiontask_live", task.pk)
    first = client.get(live)
    assert not first.json()["final"]
    with translation.override("zh-hans"):
        text = text_of(client.get(url(TASK, task.pk), headers={"Accept-Language": "zh-hans"}))
    assert f"由任务 {str(rest.pk)[:8]} 接续" in text
    finish(rest, collected=3)
    snapshots.snapshots.clear()  # a version is shown for a second
    again = client.get(live, headers={"If-None-Match": first["ETag"]})
    assert again.json()["final"]
    assert "3 of 3 stocks (100%), 0 failed" in again.json()["parts"]["head"][1]


def test_queue_says_whose_rest_an_order_is_and_once_withdrawn_it_may_be_retried(client):
    task, order = make_yielded(), QueuedOrder.objects.get()
    words = f"the rest of task {str(task.pk)[:8]}"
    assert words in text_of(client.get(url("tasks_app_queuedorder_changelist"), follow=True))
    assert words in text_of(client.get(url("tasks_app_queuedorder_change", order.pk)))
    order_queue.withdraw(order.pk, ACTOR)
    text = page(client, task)
    assert "was withdrawn from the queue" in text
    assert "Retry failed and remaining" in text


def test_retry_of_the_last_part_counts_the_failures_of_the_chain(client):
    first = make_task(priority=Priority.LOW)
    lane = make_lane(first)
    lifecycle.record(lifecycle.claim(lane, 1)[0], Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.close(lane)
    yielding.ask(first.pk, plan := make_plan(), WORKER)
    yielding.end_for(plan, WORKER)
    rest = start_next()
    finish(rest)
    assert "Retry failed and remaining" in page(client, rest)
    question = text_of(client.get(url("tasks_app_collectiontask_retry", rest.pk)))
    assert "Retry the 1 failed or unprocessed stock of this task?" in question


def finish_one(task):
    """Collects the next stock of a task, and ends the slice."""
    lane = make_lane(task)
    lifecycle.record(lifecycle.claim(lane, 1)[0], Outcome(ItemState.SUCCEEDED, collected=1))
    lifecycle.close(lane)


def test_list_says_to_what_a_task_yielded_and_how_it_goes_on(client):
    task = make_yielded()
    assert "to the plan “plan 0” · the rest waits in the queue" in text_of(client.get(url(LIST)))
    finish(CollectionTask.objects.get(status="running"), collected=3)
    rest = start_next()
    finish_one(rest)
    text = text_of(client.get(url(LIST)))
    assert f"part 1 of 2 · to the plan “plan 0” · continued by {str(rest.pk)[:8]}" in text
    assert f"part 2 of 2 · continues {str(task.pk)[:8]}" in text
    assert "50% 1/2 whole run: 66% 2/3" in text
    assert text.count("whole run") == 1
    chinese = text_of(client.get(url(LIST), headers={"Accept-Language": "zh-hans"}))
    assert "第 2 部分，共 2 部分" in chinese
    yielding.ask(rest.pk, plan := make_plan(name="urgent"), WORKER)
    yielding.end_for(plan, WORKER)
    last = start_next()
    text = text_of(client.get(url(LIST)))
    assert f"part 2 of 3 · continues {str(task.pk)[:8]}" in text, "the middle leads to both its neighbours"
    assert f"to the plan “urgent” · continued by {str(last.pk)[:8]}" in text
    CollectionTask.objects.filter(pk=task.pk).delete()
    assert f"part 1 of 2 · continues {str(task.pk)[:8]} (deleted)" in text_of(client.get(url(LIST)))


def test_list_of_chains_takes_two_more_queries(client):
    def queries():
        with CaptureQueriesContext(connection) as caught:
            client.get(url(LIST))
        return len(caught)

    insert_ended("completed")
    queries()  # what a process asks once only is not counted
    without = queries()
    for _ in range(2):
        _, rest = make_continued()
        lifecycle.cancel(rest.pk, ACTOR)
        assert queries() <= without + 2


def test_plan_page_says_what_it_overtook_and_why_it_waits(client):
    task = make_yielded()
    plan = CollectionPlan.objects.get()
    address = url("tasks_app_collectionplan_change", plan.pk)
    assert f"task {str(task.pk)[:8]} yielded to it" in text_of(client.get(address))
    finish(CollectionTask.objects.get(status="running"))
    rest = start_next()
    make_claim(rest)
    yielding.ask(rest.pk, plan, WORKER)
    CollectionPlan.objects.update(waiting_since=rest.start_time)
    assert "yields once 1 request has ended" in text_of(client.get(address))
    lifecycle.pause(rest.pk, ACTOR)
    assert "is paused, and keeps its place" in text_of(client.get(address))
