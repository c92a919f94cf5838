"""The task list and the page of a task."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app import lifecycle
from tasks_app.admin.common.filters import TASK_PARAMETER
from tasks_app.admin.common.formatting import STATUS_STYLES
from tasks_app.admin.common.paginator import CappedPaginator
from tasks_app.admin.tasks import events, live_updates, panels
from tasks_app.lifecycle import Outcome
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tests.admin.helpers import (
    ITEMS,
    TASKS,
    insert_ended,
    make_half_done,
    staff_client,
    superuser_client,
    text_of,
    url,
)
from tests.factories import ACTOR, finish, make_claim, make_outcome, make_task

pytestmark = pytest.mark.django_db


def test_list_shows_status_progress_and_counts():
    for status in ("completed", "failed", "cancelled"):
        insert_ended(status)
    task = make_half_done()
    text = text_of(superuser_client().get(url(f"{TASKS}_changelist")))
    for word in ("running", "completed", "failed", "cancelled", "66% 2/3", "12,154", str(task.pk)[:8]):
        assert word in text
    assert "2024-01-01 – 2024-12-31" in text


def test_list_queries_do_not_grow_with_tasks():
    client = superuser_client()

    def queries():
        with CaptureQueriesContext(connection) as caught:
            client.get(url(f"{TASKS}_changelist"))
        return len(caught)

    insert_ended("completed")
    insert_ended("failed")
    queries()  # what a process asks once only, such as the content types, is not counted
    few = queries()
    for _ in range(6):
        insert_ended("cancelled")
    assert queries() == few <= 5


@pytest.mark.usefixtures("without_html")
def test_list_is_filtered():
    insert_ended("failed")
    insert_ended("completed")
    client = superuser_client()
    for query, found in {
        "status__exact=failed": 1,
        "status__exact=running": 0,
        "market__exact=SIM": 2,
        "market__exact=US": 0,
        "source=simulated": 2,
        "source=gone": 0,
        "start_time__gte=2001-01-01+00:00:00Z": 2,
    }.items():
        answer = client.get(f"{url(f'{TASKS}_changelist')}?{query}")
        assert answer.context["cl"].result_count == found, query


@pytest.mark.usefixtures("without_html")
def test_list_is_filtered_by_start_day():
    task, client, page = make_task(), superuser_client(), url(f"{TASKS}_changelist")
    today = task.start_time.date().isoformat()
    for query, count in (
        ({"since": today, "until": today}, 1),
        ({"since": "2999-01-01"}, 0),
        ({"until": "2001-01-01"}, 0),
        ({"since": "", "until": ""}, 1),
    ):
        assert client.get(page, query).context["cl"].result_count == count
    for nonsense in ("x", "2024-02-30", "9999-12-31"):
        assert client.get(page, {"until": nonsense}).status_code == 302


@pytest.mark.usefixtures("without_html")
def test_search_finds_tasks_by_id_prefix_only():
    first, _ = insert_ended("failed"), insert_ended("completed")
    client, page = superuser_client(), url(f"{TASKS}_changelist")
    for term in (str(first.pk)[:8], str(first.pk), first.pk.hex.upper()):
        assert [task.pk for task in client.get(page, {"q": term}).context["cl"].result_list] == [first.pk]
    for term in ("zzzz", "abc", "' OR 1=1"):
        assert not client.get(page, {"q": term}).context["cl"].result_list


@pytest.mark.usefixtures("without_html")
def test_list_cannot_be_sorted():
    answer = superuser_client().get(f"{url(f'{TASKS}_changelist')}?o=2.3")
    assert answer.context["cl"].queryset.query.order_by == ("-start_time", "-id")


def test_long_list_is_counted_up_to_the_cap(monkeypatch):
    monkeypatch.setattr(CappedPaginator, "limit", 2)
    for _ in range(3):
        insert_ended("failed")
    assert "More than 2 tasks" in text_of(superuser_client().get(url(f"{TASKS}_changelist")))


def test_page_shows_counts_failures_and_events():
    task = make_half_done()
    lifecycle.cancel(task.pk, ACTOR)
    text = text_of(superuser_client().get(url(f"{TASKS}_change", task.pk)))
    for words in (
        str(task.pk),
        "cancelled",
        "2 of 3 stocks (66%), 1 failed",
        "Cancelled after less than 1 s. Not collected: 1.",
        "timeout",
        "No answer in 30 s.",
        "000002",
        "command",
        "12,154",
    ):
        assert words in text


def test_failed_task_page_begins_with_the_reason():
    task = insert_ended("failed")
    body = superuser_client().get(url(f"{TASKS}_change", task.pk)).content.decode()
    assert "Every stock failed (1)" in body
    assert body.index("Every stock failed (1)") < body.index("Activity log")


def test_page_links_to_its_own_items_only():
    task = make_half_done()
    client = superuser_client()
    address = f"{url(f'{ITEMS}_changelist')}?task__id__exact={task.pk}"
    assert f'href="{address}"' in client.get(url(f"{TASKS}_change", task.pk)).content.decode()
    assert {item.task_id for item in client.get(address).context["cl"].result_list} == {task.pk}


def test_page_links_a_retry_and_its_origin():
    old = insert_ended("failed")
    new = lifecycle.retry(old.pk, ACTOR)
    client = superuser_client()
    assert url(f"{TASKS}_change", new.pk) in client.get(url(f"{TASKS}_change", old.pk)).content.decode()
    assert url(f"{TASKS}_change", old.pk) in client.get(url(f"{TASKS}_change", new.pk)).content.decode()


def test_page_queries_do_not_grow_with_items():
    client = superuser_client()

    def queries(task):
        live_updates.snapshots.snapshots.clear()
        with CaptureQueriesContext(connection) as caught:
            client.get(url(f"{TASKS}_change", task.pk))
        return len(caught)

    small = insert_ended("failed")
    big = insert_ended("failed", stock_codes=tuple(f"{n:06d}" for n in range(1, 13)))
    queries(small)  # what a process asks once only, such as the content types, is not counted
    assert queries(small) == queries(big) <= 13


def test_buttons_follow_permissions_and_status():
    running, looker = make_half_done(), staff_client("view_collectiontask")
    client = superuser_client()
    cancel, retry = url(f"{TASKS}_cancel", running.pk), url(f"{TASKS}_retry", running.pk)

    def shown(browser):
        body = browser.get(url(f"{TASKS}_change", running.pk)).content.decode()
        return cancel in body, retry in body

    assert shown(client) == (True, False)
    assert shown(looker) == (False, False)
    lifecycle.cancel(running.pk, ACTOR)
    assert shown(client) == (False, True)
    assert shown(looker) == (False, False)


def test_unknown_task_redirects_to_the_overview():
    answer = superuser_client().get(url(f"{TASKS}_change", "8" * 32))
    assert (answer.status_code, answer.url) == (302, url("index"))


def test_outcome_is_shown_wherever_the_task_is_and_the_list_is_filtered_by_it():
    client, filtered = superuser_client(), url(f"{TASKS}_changelist") + "?outcome__exact="
    tasks = {}
    for outcome in TaskOutcome.values:
        task = tasks[outcome] = make_outcome(outcome)
        tone, icon = STATUS_STYLES[outcome]
        for page in (url("index"), url(f"{TASKS}_change", task.pk), filtered + outcome):
            answer = client.get(page)
            assert f"{icon} {task.get_result_display()}" in text_of(answer)
            assert f'class="sc-label sc-{tone}"' in answer.content.decode()
            if not page.startswith(filtered):
                assert ("No bar was" in text_of(answer)) == (outcome in {"nothing_new", "no_bars"})
        assert list(answer.context["cl"].result_list) == [task]
    assert list(client.get(f"{filtered}complete").context["cl"].result_list) == [tasks["complete"]]


def test_outcomes_have_colours_and_icons_of_their_own():
    styles = [STATUS_STYLES[state] for state in (*TaskOutcome, *TaskStatus) if state != TaskStatus.COMPLETED]
    for kind in zip(*styles, strict=True):
        assert len(set(kind)) == len(styles)


def test_bars_collected_are_one_number_everywhere():
    """The corrected ones are a number of their own: the page used to add them."""
    task = make_task(stock_codes=("000001",))
    lifecycle.record(make_claim(task), Outcome(ItemState.SUCCEEDED, collected=1234, corrected=4321))
    client = superuser_client()
    for page in (url("index"), url(f"{TASKS}_changelist"), url(f"{TASKS}_change", task.pk)):
        text = text_of(client.get(page))
        assert ("1,234" in text, "5,555" in text) == (True, False)
    assert client.get(f"/api/data-collection/status/{task.pk}").json()["collected_count"] == 1234
    out = StringIO()
    call_command("collect", "status", str(task.pk), stdout=out)
    assert "1,234" in out.getvalue()


def test_refused_bar_is_told_beside_the_stocks_and_in_the_log():
    task = make_task(stock_codes=("000001",))
    finish(task, collected=1, refused=1)
    task.refresh_from_db()
    assert panels.progress_sentence(task) == "1 of 1 stock (100%), 0 failed, 1 bar refused"
    ended = events.describe_event(task.events.get(kind="completed"))
    assert (ended["tone"], ended["icon"]) == ("warn", "error_outline")


def test_pages_of_a_task_keep_the_way_back_to_it():
    task, client = insert_ended("failed"), superuser_client()
    page = url(f"{TASKS}_change", task.pk)
    item = client.get(url("tasks_app_collectionitem_change", task.items.get().pk))
    assert page in [step.link for step in item.context["breadcrumbs"]]
    assert item.context["breadcrumbs"][-1].title == "000001"
    for name in ("collectionitem", "finding", "correction"):
        response = client.get(url(f"tasks_app_{name}_changelist"), {TASK_PARAMETER: task.pk})
        assert response.context["breadcrumbs"][1].link == page
        assert page in response.content.decode()
