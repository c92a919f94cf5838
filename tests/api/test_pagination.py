"""Lists: bounded, paged by key, filtered, without a query per row."""

import re
from base64 import b64encode
from urllib.parse import quote

import pytest
from django.db.models.functions import Now

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_ended, make_lane, make_task, make_user

pytestmark = pytest.mark.django_db
LIMITS = ["0", "1001", "-1", "x", "", "1.5", "1_0", "٣", "9" * 30, "\0"]
CURSORS = [
    "",
    "x",
    "!!!",
    "é",
    "\0",
    "cD0=",
    "====",
    "A" * 5000,
    # the form of cursors in earlier versions
    *(
        b64encode(raw).decode()
        for raw in (
            b"p=",
            b"p=garbage",
            b"p=%00",
            b"p=99999999999999999999",
            b"p=-1",
            b"p=0001-01-01T00:00:00%2B23:59",
            b"p=2024-13-45",
            b"o=x",
            b"o=-1",
            b"r=x&p=1",
            b"o=0",
            b"\xff\xfe",
        )
    ),
    "[]",
    "{}",
    "null",
    "[null]",
    "[true]",
    "[-1]",
    "[1.5]",
    "[99999999999999999999]",
    "[1,2,3]",
    "[[1]]",
    "[" * 400,
    '["2024-13-45"]',
    '["2024-1-1"]',
    '["\\u0000"]',
    '["2024-01-01T00:00:00+00:00"]',
    '["2024-01-01T00:00:00+00:00","x"]',
    '["yesterday","417ace0f-e54c-4028-808b-a31ca5afde97"]',
]


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def make_past_tasks(count, **fields):
    """Creates completed tasks, cheaply; the first two start at the same time."""
    defaults = {"market": "SIM", "source": "simulated", "start_date": "2024-01-01", "end_date": "2024-01-02"}
    for n in range(count):
        start = f"2024-01-01T00:{max(n, 1):02}:00Z"
        row = {**defaults, "status": "completed", "start_time": start, "end_time": Now(), **fields}
        CollectionTask.objects.create(**row)


def follow_links(client, url):
    """Returns all rows, and the number of pages."""
    rows, pages = [], 0
    while url:
        response = client.get(url)
        assert response.status_code == 200
        rows, pages = rows + response.json(), pages + 1
        found = re.fullmatch(r'<http://testserver(.+)>; rel="next"', response.headers.get("Link", ""))
        url = found and found[1]
    return rows, pages


def test_tasks_are_an_array_newest_first(client):
    make_past_tasks(3)
    response = client.get(f"{BASE}/tasks")
    starts = [task["start_time"] for task in response.json()]
    assert starts == sorted(starts, reverse=True)
    assert "Link" not in response.headers


def test_links_visit_every_task_once(client):
    make_past_tasks(5)
    rows, pages = follow_links(client, f"{BASE}/tasks?limit=2")
    assert len({row["task_id"] for row in rows}) == len(rows) == 5
    assert pages == 3


def test_links_visit_tasks_of_one_instant(client):
    make_past_tasks(7, start_time="2024-01-01T00:00:00Z")
    rows, _ = follow_links(client, f"{BASE}/tasks?limit=2&market=SIM")
    assert len({row["task_id"] for row in rows}) == len(rows) == 7


def test_links_visit_tasks_dated_by_database(client):
    for _ in range(3):
        make_ended("cancelled")
    rows, pages = follow_links(client, f"{BASE}/tasks?limit=2")
    assert (len({row["task_id"] for row in rows}), len(rows), pages) == (3, 3, 2)


def test_links_visit_items_in_order(client):
    task = make_task(stock_codes=tuple(f"{n:06}" for n in range(250)))
    rows, pages = follow_links(client, f"{BASE}/tasks/{task.pk}/items")
    assert [row["position"] for row in rows] == list(range(250))
    assert pages == 3


def test_links_visit_bars_by_day(client):
    make_bars(make_stock("US", "AAPL"), 10)
    rows, _ = follow_links(client, f"{BASE}/quotes/US/AAPL?limit=3")
    days = [row["day"] for row in rows]
    assert (len(days), days) == (10, sorted(days))


LISTS = (
    "tasks",
    "tasks/{task}/items",
    "quotes/US/AAPL",
    "corrections?market=US&start=2024-01-01",
    "events",
    "calendar?market=CN",
)


def assert_rejected(client, path, parameter, values):
    for value in values:
        response = client.get(f"{BASE}/{path}{'&' if '?' in path else '?'}{parameter}={quote(value)}")
        assert (value, response.status_code) == (value, 400)
        assert list(response.json()["errors"]) == [parameter]


def test_every_list_rejects_an_unusable_limit_and_cursor(client):
    make_stock("US", "AAPL")
    task = make_task().pk
    for path in LISTS:
        assert_rejected(client, path.format(task=task), "limit", ["0"])
        assert_rejected(client, path.format(task=task), "cursor", ["[1,2,3]"])


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("tasks", "limit"),  # one code reads the limits of all lists
        ("tasks", "cursor"),  # an instant and a UUID
        ("tasks/{task}/items", "cursor"),  # a number
        *(
            pytest.param(path, parameter, marks=pytest.mark.soak)
            for path in LISTS
            for parameter in ("limit", "cursor")
            if path != "tasks" and (path, parameter) != ("tasks/{task}/items", "cursor")
        ),
    ],
)
def test_unusable_limit_and_cursor_are_rejected(client, path, parameter):
    make_stock("US", "AAPL")
    values = {"limit": LIMITS, "cursor": CURSORS}[parameter]
    assert_rejected(client, path.format(task=make_task().pk), parameter, values)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", 1),
        ("status=completed", 2),
        ("market=US", 1),
        ("source=sample", 1),
        ("started_after=2024-06-01T00:00:00Z", 1),
        ("started_before=2024-06-01T00:00:00%2B08:00", 2),
        ("started_before=2024-06-01T00:00:00+08:00", 2),
        ("started_before=2024-06-01T00:00:00.123456+0800", 2),
        ("started_before=2024-06-01+08:00", 2),  # the blank before a time stays one
        ("status=failed&market=US", 0),
    ],
)
def test_task_filters(client, query, found):
    make_past_tasks(1)
    make_past_tasks(1, market="US", source="sample")
    make_past_tasks(1, status="failed", start_time="2025-01-01T00:00:00Z")
    assert len(client.get(f"{BASE}/tasks?{query}").json()) == found


@pytest.mark.parametrize(
    "query",
    [
        "status=paused",
        "status=",
        "market=XX",
        "started_after=yesterday",
        "started_before=9999999-01-01",
        "source=%00",
        "format=xml",
    ],
)
def test_invalid_task_filter_is_rejected(client, query):
    response = client.get(f"{BASE}/tasks?{query}")
    assert (response.status_code, list(response.json()["errors"])) == (400, [query.split("=")[0]])


def test_item_filters(client):
    task = make_task()
    first, _ = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(first, Outcome(ItemState.FAILED, error_code="timeout"))
    items = f"{BASE}/tasks/{task.pk}/items"
    for query in ("status=failed", "code=000001", "error_code=timeout"):
        assert [row["code"] for row in client.get(f"{items}?{query}").json()] == ["000001"]
    assert client.get(f"{items}?status=running").status_code == 400


def test_item_code_filter_ignores_case(client):
    task = make_task(market="US", source="sample", stock_codes=("AAPL", "IBM"))
    rows = client.get(f"{BASE}/tasks/{task.pk}/items?code=aapl").json()
    assert [row["code"] for row in rows] == ["AAPL"]


@pytest.mark.parametrize("tasks", [1, 4])
def test_task_page_costs_five_queries(client, django_assert_num_queries, tasks):
    for _ in range(tasks):
        make_ended("failed")
    with django_assert_num_queries(5):  # session, user, the running task, tasks, failures
        assert len(client.get(f"{BASE}/tasks").json()) == tasks


def test_item_bar_and_stock_pages_cost_few_queries(client, django_assert_num_queries):
    task = make_task()
    make_bars(make_stock("US", "AAPL"), 10)
    # A read of bars, and one of stocks, also asks whether codes have changed.
    for path, queries in ((f"tasks/{task.pk}/items", 4), ("quotes/US/AAPL", 5), ("stock-list?market=US", 6)):
        with django_assert_num_queries(queries):
            client.get(f"{BASE}/{path}")


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_cursor_beyond_every_task_is_no_500(client, instant):
    make_past_tasks(2)
    cursor = quote(f'["{instant}","417ace0f-e54c-4028-808b-a31ca5afde97"]')
    assert client.get(f"{BASE}/tasks?cursor={cursor}").status_code in {200, 400}  # PostgreSQL: no such zone
