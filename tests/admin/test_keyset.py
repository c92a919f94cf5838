"""Pages by key: every row once, in order, however the list changes meanwhile."""

import random
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.db import keyset
from tasks_app.models import CollectionTask, DailyBar, Stock
from tests.admin.helpers import (
    TASKS,
    superuser,
    text_of,
    url,
)
from tests.factories import make_ended

pytestmark = pytest.mark.django_db
BARS = ["market", "symbol", "adjust", "-day"]
TASK_LIST = f"{TASKS}_changelist"


def make_bars(*groups, days=7):
    """Bars of some (market, symbol, adjustment), stored in no order."""
    fields = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "source": "x"}
    bars = [
        DailyBar(market=market, symbol=symbol, adjust=adjust, day=date(2024, 1, 1) + timedelta(n), **fields)
        for market, symbol, adjust in groups
        for n in range(days)
    ]
    random.Random(1).shuffle(bars)
    DailyBar.objects.bulk_create(bars)


def walk(rows, ordering, size, *, backwards=False):
    """The pages from one end to the other."""
    order = keyset.columns(rows.model, ordering)
    at = keyset.Place(None, backwards)
    while True:
        page = keyset.page(rows, order, at, size)
        yield page.rows
        key = page.before if backwards else page.after
        if key is None:
            return
        at = keyset.place(order, None, key) if backwards else keyset.place(order, key, None)


@pytest.mark.parametrize("ordering", [BARS, ["-market", "symbol", "-adjust", "day"], ["day", "-id"], ["-pk"]])
@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_a_walk_in_either_direction_meets_every_row_once_in_the_list_s_order(ordering, size):
    make_bars(("US", "AAPL", ""), ("US", "AAPL", "qfq"), ("CN", "000001", ""), ("HK", "00001", "hfq"))
    rows = DailyBar.objects.all()
    expected = list(rows.order_by(*ordering))
    forwards = [row for page in walk(rows, ordering, size) for row in page]
    assert forwards == expected
    pages = list(walk(rows, ordering, size, backwards=True))
    met = [row for page in reversed(pages) for row in page]
    assert list(dict.fromkeys(met)) == expected
    assert all(len(page) == min(size, len(expected)) for page in pages)


def test_a_page_holds_still_while_rows_are_added_before_it():
    make_bars(("US", "M", ""))
    order, rows = keyset.columns(DailyBar, BARS), DailyBar.objects.all()
    second = keyset.place(order, keyset.page(rows, order, keyset.Place(), 3).after, None)
    seen = keyset.page(rows, order, second, 3)
    make_bars(("US", "A", ""))
    assert keyset.page(rows, order, second, 3) == seen


def test_a_page_before_a_key_that_would_be_half_a_page_is_the_first_page():
    make_bars(("US", "M", ""))
    order, rows = keyset.columns(DailyBar, BARS), DailyBar.objects.all()
    first = keyset.page(rows, order, keyset.Place(), 5)
    third = keyset.place(order, None, f'["US","M","","{first.rows[2].day}"]')
    assert keyset.page(rows, order, third, 5) == first
    assert first.is_first


def test_a_page_whose_rows_are_gone_leads_home():
    make_bars(("US", "M", ""))
    order, rows = keyset.columns(DailyBar, BARS), DailyBar.objects.all()
    at = keyset.place(order, '["US","Z","","2024-01-01"]', None)
    assert keyset.page(rows, order, at, 5) == keyset.Page([], None, None, False)


@pytest.mark.parametrize(
    "key",
    [
        *("", "x", "[]", "{}", "1", "null", '["US","A",""]', '["US","A","","2024-01-01",1]'),
        *('["XX","A","","2024-01-01"]', '["US","A","","2024-1-1"]', '["US","A\\u0000","","2024-01-01"]'),
        *('["US",null,"","2024-01-01"]', '["US",["A"],"","2024-01-01"]', '["US","A","x","2024-01-01"]'),
        *(f'["US","{"A" * 17}","","2024-01-01"]', "[" * 100_000, '[1e999,"A","","2024-01-01"]'),
    ],
)
def test_what_is_no_key_of_the_list_is_refused(key):
    order = keyset.columns(DailyBar, BARS)
    if not key:
        assert keyset.place(order, key, key) == keyset.Place()
        return
    for pair in ((key, None), (None, key)):
        with pytest.raises(ValidationError):
            keyset.place(order, *pair)


@pytest.mark.parametrize("number", ["-1", "1e3", "true", "99999999999999999999999999"])
def test_a_number_that_its_column_can_not_hold_is_no_key(number):
    with pytest.raises(ValidationError):
        keyset.place(keyset.columns(Stock, ["pk"]), f"[{number}]".replace("-1", "-1.5"), None)


# ---------------------------------------------------------------- in the lists


@pytest.fixture
def pages_of_two(monkeypatch):
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 2)


def links(answer):
    """The addresses of the ways, by their titles, as query parameters."""
    ways = {way.title: way.url for way in answer.context["cl"].page_links if way.url}
    return {title: {k: v[0] for k, v in parse_qs(urlsplit(to).query).items()} for title, to in ways.items()}


def shown(answer):
    return [task.pk for task in answer.context["cl"].result_list]


def test_the_ways_lead_through_the_whole_list_and_keep_filter_and_search(pages_of_two):
    ended = [make_ended("failed" if n % 3 else "completed").pk for n in range(8)]
    failed = [pk for n, pk in enumerate(ended) if n % 3][::-1]
    client, page = superuser(), url(TASK_LIST)
    first = client.get(page, {"status__exact": "failed"})
    assert (shown(first), sorted(links(first))) == (failed[:2], ["Last", "Next"])
    second = client.get(page, links(first)["Next"])
    assert (shown(second), sorted(links(second))) == (failed[2:4], ["First", "Last", "Next", "Previous"])
    last = client.get(page, links(second)["Last"])
    assert (shown(last), sorted(links(last))) == (failed[3:], ["First", "Previous"])
    assert shown(client.get(page, links(second)["Previous"])) == failed[:2]
    assert links(second)["First"] == {"status__exact": "failed"}


def test_another_filter_begins_at_the_start(pages_of_two):
    for _ in range(3):
        make_ended("failed")
    client = superuser()
    second = client.get(url(TASK_LIST), links(client.get(url(TASK_LIST)))["Next"])
    body = second.content.decode()
    assert "after=" in second.request["QUERY_STRING"]
    assert 'href="?market__exact=CN"' in body
    assert 'name="after"' not in body


def test_a_place_that_is_none_leads_to_the_list(pages_of_two):
    answer = superuser().get(url(TASK_LIST), {"after": "nonsense"})
    assert (answer.status_code, answer.url) == (302, f"{url(TASK_LIST)}?e=1")


def test_an_action_reaches_the_tasks_of_a_later_page(pages_of_two):
    tasks = [make_ended("failed") for _ in range(3)]
    client = superuser()
    address = f"{url(TASK_LIST)}?before=end"
    data = {"action": "cancel_selected", "index": "0", "_selected_action": [tasks[0].pk]}
    assert str(tasks[0].pk)[:8] in text_of(client.post(address, data))


def test_a_later_page_costs_no_more_queries_than_the_first(pages_of_two):
    for _ in range(9):
        make_ended("failed")
    client, page = superuser(), url(TASK_LIST)

    def queries(**place):
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(page, place)
        return len(caught), answer

    queries()
    few, first = queries()
    assert queries(**links(first)["Next"])[0] == queries(before="end")[0] == few <= 5


@pytest.mark.parametrize("ordering", [["-start_time", "-id"], BARS, ["market", "code"], ["-pk"]])
def test_the_rows_beyond_a_key_are_a_range_of_an_index(ordering):
    """Not a walk from the start: the plan names the condition, on either database."""
    model = {"-start_time": CollectionTask, "market": DailyBar if ordering == BARS else Stock}.get(
        ordering[0], DailyBar
    )
    order = keyset.columns(model, ordering)
    key = tuple(_sample(column) for column in order)
    for same, beyond in keyset._beyond(order, key):
        rows = model.objects.filter(beyond, **same).order_by(*ordering)[:10]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            plan = rows.explain()
        assert ("Index Cond" if connection.vendor == "postgresql" else "SEARCH") in plan


def _sample(column):
    return {"start_time": "2026-01-01T00:00:00Z", "day": "2024-01-01", "market": "CN", "adjust": ""}.get(
        column.name, "8" * 32 if column.field.model is CollectionTask else 1
    )


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "tasks_newest_first"),
        ({"status__exact": "cancelled"}, "tasks_by_status"),
        ({"market__exact": "HK"}, "tasks_by_market"),
        ({"source": "sample"}, "tasks_by_source"),
    ],
)
def test_each_filter_of_the_tasks_is_served_by_an_index_in_the_list_s_order(query, index):
    listed = superuser().get(url(TASK_LIST), query).context["cl"].queryset[:50]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        plan = listed.explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan
