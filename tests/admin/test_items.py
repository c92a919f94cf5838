"""The list of items."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.models.states import ItemState
from tests.admin.helpers import ITEMS, TASKS, insert_ended, superuser_client, text_of, url
from tests.factories import finish, make_lane, make_task

pytestmark = pytest.mark.django_db


def codes(answer):
    return [item.code for item in answer.context["cl"].result_list]


def items(client, task=None, **query):
    return client.get(url(f"{ITEMS}_changelist"), {"task__id__exact": task.pk, **query} if task else query)


def test_items_list_state_and_error_in_task_order():
    task = make_task()
    bad = lifecycle.claim(make_lane(task), 1)[0]
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout", error_message="No answer."))
    answer = items(superuser_client(), task)
    assert codes(answer) == ["000001", "000002", "000003"]
    for words in ("failed", "pending", "timeout", "No answer."):
        assert words in text_of(answer)


@pytest.mark.usefixtures("without_html")
def test_items_filter_by_state_error_and_code():
    task, client = make_task(), superuser_client()
    slow, unknown = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(slow, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.record(unknown, Outcome(ItemState.FAILED, error_code="unknown_stock"))
    assert codes(items(client, task, state__exact="failed")) == ["000001", "000002"]
    assert codes(items(client, task, error_code="timeout")) == ["000001"]
    assert codes(items(client, task, state__in="pending,claimed")) == ["000003"]
    assert codes(items(client, task, q="000002")) == ["000002"]
    assert codes(items(client, task, q="00000")) == []


@pytest.mark.usefixtures("without_html")
def test_items_default_to_the_newest_task():
    old, client = insert_ended("failed", stock_codes=("600000",)), superuser_client()
    make_task()
    assert codes(items(client)) == ["000001", "000002", "000003"]
    assert codes(items(client, old)) == ["600000"]
    assert codes(items(client, task__id__exact="nonsense")) == []


def test_item_list_queries_do_not_grow():
    client = superuser_client()
    small, big = (
        insert_ended("failed"),
        insert_ended("failed", stock_codes=tuple(f"{n:06d}" for n in range(1, 13))),
    )

    def queries(task):
        with CaptureQueriesContext(connection) as caught:
            items(client, task)
        return len(caught)

    queries(small)  # what a process asks once only, such as the content types, is not counted
    assert queries(small) == queries(big) <= 8


def test_item_links_to_its_stock():
    page = items(superuser_client(), make_task(stock_codes=("000001",)))
    assert f'href="{url("tasks_app_stock_of", "SIM", "000001")}"' in page.content.decode()


def test_differences_that_are_not_listed_are_told():
    client = superuser_client()
    outcomes = {5: "bars that differ 5 ", 28: "bars that differ 28, of which the newest 20 are listed"}
    for differing, words in outcomes.items():
        task = make_task(stock_codes=("000001",), source="akshare", verify_with="baostock", market="CN")
        finish(task, compared=31, differing=differing)
        assert words.lower() in text_of(client.get(url(f"{ITEMS}_change", task.items.get().pk))).lower()
        note = "Of each stock the newest 20 days are listed"
        assert (note in text_of(client.get(url(f"{TASKS}_change", task.pk)))) == (differing > 20)


def test_item_shows_its_attempts():
    claim = lifecycle.claim(make_lane(make_task()), 1)[0]
    at = "2024-03-01T10:00:00.000+00:00"
    claim.add_attempt(
        Attempt(at, "first", latency_ms=1234, error_code="odd", error_message="Not now.", worker="h:7")
    )
    claim.add_attempt(Attempt(at, "second", latency_ms=9, stocks=40, bars=250, worker="h:8"))
    lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=250))
    page = text_of(superuser_client().get(url(f"{ITEMS}_change", claim.item_id)))
    for words in (
        "first",
        "1,234 ms",
        "failed",
        "Not now.",
        "h:7",
        "second",
        "250 bars",
        "for 40 stocks at once",
    ):
        assert words in page


def test_item_without_a_request_says_so():
    claim = lifecycle.claim(make_lane(make_task()), 1)[0]
    lifecycle.record(claim, Outcome(ItemState.SKIPPED))
    assert "No request was recorded." in text_of(
        superuser_client().get(url(f"{ITEMS}_change", claim.item_id))
    )
