"""Findings, corrections, events, the calendar and plans: filtered, in pages by key."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app.market import calendar_corrections, silent_days
from tasks_app.models import CalendarDay, Correction, Finding, Series
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.api.test_pagination import follow_links
from tests.factories import make_ended, make_plan, make_task, make_user

pytestmark = pytest.mark.django_db
DAY = date(2024, 3, 1)


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def get(client, path):
    response = client.get(f"{BASE}/{path}")
    assert response.status_code == 200, response.json()
    return response.json()


def make_records():
    """Creates two findings and corrections on each of three days, of two stocks."""
    item = make_ended("failed").items.get()
    for n in range(3):
        for market, symbol, owner in (("CN", "600519", item), ("US", "AAPL", None)):
            row = {"market": market, "symbol": symbol, "day": DAY + timedelta(n), "item": owner}
            kind = "refused" if n else "flagged"
            Finding.objects.create(kind=kind, code="future_day", message="…", params={}, **row)
            Correction.objects.create(source="akshare", before={"close": n}, after={"close": 2}, **row)
    return item.task_id


FOUND = {
    "": 6,
    "market=CN": 3,
    "market=cn&code=sh600519": 3,
    "market=CN&code=000001": 0,
    "market=US&start=2024-03-02": 2,
    "market=US&start=2024-03-02&end=2024-3-2": 1,
    "market=US&code=AAPL&end=2024-03-02": 2,
    "task={task}": 3,
    "task={task}&start=2024-03-03": 1,
    "task={task}&market=US": 0,
    "task=00000000-0000-4000-8000-000000000000": 0,
}


@pytest.mark.parametrize("path", ["findings", "corrections"])
def test_records_of_bars_are_filtered_and_paged(client, path):
    task = make_records()
    for query, found in FOUND.items():
        rows, pages = follow_links(client, f"{BASE}/{path}?limit=2&{query.format(task=task)}")
        assert (query, len({row["id"] for row in rows}), len(rows)) == (query, found, found)
        assert pages == max(1, -(-found // 2))
        ids = [row["id"] for row in rows]
        assert ids == sorted(ids, reverse=True), "later days were found later here"


def test_finding_and_correction_say_what_was_found(client):
    task = make_records()
    (refused, *_), flagged = get(client, "findings?kind=refused"), get(client, "findings?kind=flagged")
    assert len(flagged) == 2
    assert refused["message"] == "2024-03-03: the date is in the future."
    assert (refused["error_code"], refused["task_id"]) == ("future_day", None)
    newest = get(client, "corrections?market=CN")[0]
    assert (newest["code"], newest["before"], newest["after"]) == ("600519", {"close": 2}, {"close": 2})
    assert newest["task_id"] == str(task)


@pytest.mark.parametrize("query", ["code=600519", "start=2024-01-01", "end=2024-01-01", "market=XX"])
def test_days_and_codes_need_their_market(client, query):
    for path in ("findings", "corrections"):
        response = client.get(f"{BASE}/{path}?{query}")
        assert (response.status_code, list(response.json()["errors"])) == (400, ["market"])


@pytest.mark.any_database  # refused before any query
@pytest.mark.parametrize("query", ["task=x", "task=urn:uuid:00000000-0000-4000-8000-000000000000"])
def test_malformed_task_is_rejected(client, query):
    for path in ("findings", "events"):
        assert list(client.get(f"{BASE}/{path}?{query}").json()["errors"]) == ["task"]


def test_events_are_filtered_and_paged(client):
    first, second = make_ended("cancelled"), make_ended("failed")
    rows, _ = follow_links(client, f"{BASE}/events?limit=2")
    assert {row["task_id"] for row in rows} == {str(first.pk), str(second.pk)}
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids) == second.events.count() + first.events.count()
    assert [row["kind"] for row in get(client, f"events?task={first.pk}&kind=cancelled")] == ["cancelled"]
    assert get(client, "events?after=2999-01-01T00:00:00Z") == []
    assert len(get(client, "events?before=2999-01-01T00:00:00Z")) == len(rows)
    started = get(client, f"events?task={first.pk}&kind=started")[0]
    assert (started["channel"], started["params"]["order"]["source"]) == ("command", "simulated")


@pytest.mark.any_database  # cut after the row is read
def test_long_list_of_codes_is_cut(client):
    task = make_task(stock_codes=tuple(f"{n:06}" for n in range(150)))
    order = get(client, f"events?task={task.pk}&kind=started")[0]["params"]["order"]
    assert (len(order["stock_codes"]), order["stock_codes_total"]) == (100, 150)


def test_calendar_days_are_paged_and_filtered(client):
    row = CalendarDay(market="CN", day=date(2024, 9, 30), is_session=False, note="a typhoon")
    calendar_corrections.store([row], "ann")
    year = f"{BASE}/calendar?market=cn&start=2024-01-01&end=2024-12-31"
    days, pages = follow_links(client, f"{year}&limit=100")
    assert (len(days), pages) == (262, 3)
    assert [day["day"] for day in days] == sorted({day["day"] for day in days})
    sessions = client.get(f"{year}&kind=session&limit=1000").json()
    closed = client.get(f"{year}&kind=closed&limit=1000").json()
    assert (len(sessions), len(closed)) == (241, 21)
    (corrected,) = client.get(f"{year}&kind=corrected").json()
    assert corrected.pop("changed_at")
    assert corrected == {
        "market": "CN",
        "day": "2024-09-30",
        "is_session": False,
        "is_published": True,
        "corrected": True,
        "note": "a typhoon",
        "changed_by": "ann",
        "without_quotes": [],
    }
    assert get(client, "calendar?market=CN&start=2100-01-01&end=2100-12-31") == []


def test_calendar_names_sources_without_quotes(client):
    task = make_task()
    for n in range(silent_days.WITNESSES):
        silent_days.add_answers(task, f"{n:06}", [DAY], None, "akshare")
    (day,) = get(client, f"calendar?market={task.market}&start={DAY}&end={DAY}")
    (silent,) = day["without_quotes"]
    assert (silent["source"], silent["stocks"]) == ("akshare", 5)


def test_plans_are_listed_by_name(client):
    plan = make_plan(name="b", created_by=make_user("ann"))
    make_plan(name="a", market="US", enabled=False, next_at=None)
    rows, pages = follow_links(client, f"{BASE}/plans?limit=1")
    assert ([row["name"] for row in rows], pages) == (["a", "b"], 2)
    assert get(client, "plans?enabled=true") == [rows[1]] == get(client, "plans?market=CN")
    assert get(client, f"plans/{plan.pk}") == rows[1]
    assert (rows[1]["made_by"], rows[1]["at"], rows[1]["stock_codes"][0]) == ("ann", "18:00", "000001")


@pytest.mark.parametrize("plan", ["7", "x", "9" * 30, "٣"])
def test_unknown_plan_is_404(client, plan):
    response = client.get(f"{BASE}/plans/{plan}")
    assert (response.status_code, response.json()["code"]) == (404, "plan_not_found")


@pytest.mark.parametrize(
    ("query", "stocks"),
    [("", [1, 1, 1]), ("market=US", [1]), ("source=sample", [1]), ("adjust=qfq", []), ("kind=etf", [1])],
)
def test_coverage_is_filtered(client, own_cache, query, stocks):
    stock = make_stock("US", "AAPL")
    make_bars(stock, 1, DAY)
    Series.objects.create(market="US", symbol="AAPL", bars=1, first_day=DAY, last_day=DAY)
    make_stock("CN", "510300", kind="etf")
    make_stock("HK", "00700")
    assert [row["stocks"] for row in get(client, f"coverage?{query}")] == stocks


def test_lists_cost_the_same_however_long(client):
    def queries(path):
        with CaptureQueriesContext(connection) as caught:
            get(client, path)
        return len(caught)

    paths = ("findings", "corrections", "events", "plans", "calendar?market=CN")
    make_records()
    make_plan()
    before = [queries(path) for path in paths]
    make_records()
    make_plan(name="other")
    assert [queries(path) for path in paths] == before
