"""Pages of the admin's lists: links, filters, actions and the number of queries."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.models import CollectionTask
from tests.admin.helpers import TASKS, insert_ended, superuser_client, text_of, url

pytestmark = pytest.mark.django_db
TASK_LIST = f"{TASKS}_changelist"


@pytest.fixture
def pages_of_two(monkeypatch):
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 2)


def links(answer):
    """Returns the query parameters of the page links by title."""
    urls = {link.title: link.url for link in answer.context["cl"].page_links if link.url}
    return {title: {k: v[0] for k, v in parse_qs(urlsplit(to).query).items()} for title, to in urls.items()}


def shown(answer):
    return [task.pk for task in answer.context["cl"].result_list]


@pytest.mark.usefixtures("without_html")
def test_page_links_reach_all_rows_and_keep_filters(pages_of_two):
    ended = [insert_ended("failed" if n % 3 else "completed").pk for n in range(8)]
    failed = [pk for n, pk in enumerate(ended) if n % 3][::-1]
    client, page = superuser_client(), url(TASK_LIST)
    first = client.get(page, {"status__exact": "failed"})
    assert (shown(first), sorted(links(first))) == (failed[:2], ["Last", "Next"])
    second = client.get(page, links(first)["Next"])
    assert (shown(second), sorted(links(second))) == (failed[2:4], ["First", "Last", "Next", "Previous"])
    last = client.get(page, links(second)["Last"])
    assert (shown(last), sorted(links(last))) == (failed[3:], ["First", "Previous"])
    assert shown(client.get(page, links(second)["Previous"])) == failed[:2]
    assert links(second)["First"] == {"status__exact": "failed"}


@pytest.mark.any_database  # the test before reads filtered pages there
def test_new_filter_starts_at_the_first_page(pages_of_two):
    for _ in range(3):
        insert_ended("failed")
    client = superuser_client()
    second = client.get(url(TASK_LIST), links(client.get(url(TASK_LIST)))["Next"])
    body = second.content.decode()
    assert "after=" in second.request["QUERY_STRING"]
    assert 'href="?market__exact=CN"' in body
    assert 'name="after"' not in body


def test_invalid_key_leads_to_the_list(pages_of_two):
    answer = superuser_client().get(url(TASK_LIST), {"after": "nonsense"})
    assert (answer.status_code, answer.url) == (302, f"{url(TASK_LIST)}?e=1")


@pytest.mark.any_database  # the test before reads filtered pages there
def test_action_reaches_tasks_of_a_later_page(pages_of_two):
    tasks = [insert_ended("failed") for _ in range(3)]
    client = superuser_client()
    address = f"{url(TASK_LIST)}?before=end"
    data = {"action": "cancel_selected", "index": "0", "_selected_action": [tasks[0].pk]}
    assert str(tasks[0].pk)[:8] in text_of(client.post(address, data))


def test_later_page_costs_no_more_queries(pages_of_two):
    for _ in range(5):
        insert_ended("failed")
    client, page = superuser_client(), url(TASK_LIST)

    def queries(**place):
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(page, place)
        return len(caught), answer

    queries()
    few, first = queries()
    assert queries(**links(first)["Next"])[0] == queries(before="end")[0] == few <= 5


@pytest.mark.usefixtures("without_html")
def test_task_filters_use_an_index_in_list_order():
    same = {"status": "completed", "market": "US", "source": "other", "end_time": timezone.now()}
    same |= {"start_date": "2024-01-01", "end_date": "2024-01-02"}
    CollectionTask.objects.bulk_create(CollectionTask(**same) for _ in range(300))  # or any index will do
    client = superuser_client()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("ANALYZE tasks_app_collectiontask")
    for filtered, index in (
        ({}, "tasks_newest_first"),
        ({"status__exact": "cancelled"}, "tasks_by_status"),
        ({"market__exact": "HK"}, "tasks_by_market"),
        ({"source": "sample"}, "tasks_by_source"),
        ({"outcome__exact": "complete"}, "tasks_by_outcome"),
    ):
        plan = client.get(url(TASK_LIST), filtered).context["cl"].queryset[:50].explain()
        assert index in plan
        assert "TEMP B-TREE" not in plan
