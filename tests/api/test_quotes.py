"""The stock list and the stored bars."""

import csv

import pytest

from tasks_app.quotes.csv_export import escape_formula
from tests.api.factories import (
    BASE,
    client_of,
    make_bars,
    make_stock,
)
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def read(answer):
    return list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))


def test_the_stock_list_tells_whose_history_is_complete(client):
    make_stock("CN", "000001", full=True)
    make_stock("US", "AAPL")
    told = client.get(f"{BASE}/stock-list").json()
    assert (told["total"], told["only_uncompleted"]) == (2, False)
    assert [stock["code"] for stock in told["stocks"]] == ["000001", "AAPL"]
    assert told["stocks"][1] == {
        "code": "AAPL",
        "name": "AAPL Inc.",
        "full_collection_completed": False,
        "full_collection_date": None,
    }
    assert told["stocks"][0]["full_collection_date"]


@pytest.mark.parametrize(
    ("query", "codes"),
    [("only_uncompleted=true", ["AAPL"]), ("market=CN", ["000001"]), ("market=CN&only_uncompleted=True", [])],
)
def test_the_stock_list_is_filtered(client, query, codes):
    make_stock("CN", "000001", full=True)
    make_stock("US", "AAPL")
    told = client.get(f"{BASE}/stock-list?{query}").json()
    assert ([stock["code"] for stock in told["stocks"]], told["total"]) == (codes, len(codes))


def test_the_stock_list_shows_a_hundred_unless_told_otherwise_and_counts_all(client):
    for n in range(103):
        make_stock("CN", f"{n:06}")
    for query, shown in (("", 100), ("?limit=2", 2), ("?limit=10000", 103)):
        told = client.get(f"{BASE}/stock-list{query}").json()
        assert (len(told["stocks"]), told["total"]) == (shown, 103)


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "only_uncompleted=perhaps", "market=XX"])
def test_a_stock_list_query_that_makes_no_sense_is_refused(client, query):
    answer = client.get(f"{BASE}/stock-list?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.split("=")[0]])


def test_the_bars_of_a_stock_by_day_and_adjustment(client):
    stock = make_stock("US", "AAPL")
    make_bars(stock, 5)
    make_bars(stock, 1, adjust="qfq")
    rows = client.get(f"{BASE}/quotes/US/AAPL?start=2024-01-02&end=2024-01-03").json()
    assert [row["day"] for row in rows] == ["2024-01-02", "2024-01-03"]
    assert (rows[0]["code"], rows[0]["close"], rows[0]["volume"], rows[0]["amount"]) == (
        "AAPL",
        1.75,
        100,
        None,
    )
    assert len(client.get(f"{BASE}/quotes/US/AAPL?adjust=qfq").json()) == 1


def test_a_code_is_taken_in_letters_of_any_size_and_one_of_small_letters_for_itself(client):
    make_bars(make_stock("US", "AAPL"), 1)
    assert [row["code"] for row in client.get(f"{BASE}/quotes/US/aapl").json()] == ["AAPL"]
    assert "US-AAPL.csv" in client.get(f"{BASE}/quotes/US/aapl?format=csv").headers["Content-Disposition"]
    make_bars(make_stock("US", "aapl"), 2)
    assert len(client.get(f"{BASE}/quotes/US/aapl").json()) == 2


@pytest.mark.parametrize("path", ["US/MSFT", "XX/AAPL", "US/%00", "US/AA%20PL", "U%00/AAPL", "CN/AAPL"])
def test_an_unknown_or_malformed_stock_is_not_found(client, path):
    make_stock("US", "AAPL")
    for query in ("", "?format=csv"):
        answer = client.get(f"{BASE}/quotes/{path}{query}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
        assert answer.json()["detail"] == "There is no such stock."


@pytest.mark.parametrize("query", ["start=1", "end=2024-1-1", "adjust=x", "limit=0", "format=xml"])
@pytest.mark.parametrize("form", ["", "&format=csv"])
def test_a_bar_query_that_makes_no_sense_is_refused_in_json(client, query, form):
    make_stock("US", "AAPL")
    answer = client.get(f"{BASE}/quotes/US/AAPL?{form}&{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.split("=")[0]])


@pytest.mark.parametrize("how", [{"query": "?format=csv"}, {"headers": {"Accept": "text/csv"}}])
def test_csv_streams_all_bars_whatever_the_page_would_hold(client, how):
    make_bars(make_stock("US", "AAPL"), 1200)
    answer = client.get(f"{BASE}/quotes/US/AAPL{how.get('query', '')}", headers=how.get("headers"))
    assert answer.streaming
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="US-AAPL.csv"'
    rows = read(answer)
    assert (len(rows), rows[0]["day"], rows[0]["code"], rows[0]["amount"]) == (1200, "2024-01-01", "AAPL", "")


def test_csv_comes_in_pages_for_who_asks_for_them(client):
    make_bars(make_stock("US", "AAPL"), 5)
    url, days = f"{BASE}/quotes/US/AAPL?format=csv&limit=2", []
    while url:
        answer = client.get(url)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        days.append([row["day"][-1] for row in read(answer)])
        url = answer.headers.get("Link", "<").split(">")[0][1:]
    assert days == [["1", "2"], ["3", "4"], ["5"]]


@pytest.mark.parametrize("query", ["limit=1001", "cursor=x"])
def test_a_page_of_csv_that_can_not_be_had_is_refused_in_json(client, query):
    make_stock("US", "AAPL")
    answer = client.get(f"{BASE}/quotes/US/AAPL?format=csv&{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.split("=")[0]])


def test_a_code_that_a_spreadsheet_would_run_is_disarmed_and_numbers_are_not(client):
    make_bars(make_stock("US", "-1.2"), 1, change=-0.5)
    row = read(client.get(f"{BASE}/quotes/US/-1.2?format=csv"))[0]
    assert (row["code"], row["change"]) == ("'-1.2", "-0.5")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_text_that_starts_a_formula_gets_a_quote(text):
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1, -0.5, None, "AAPL", ""])
def test_other_values_stay_as_they_are(value):
    assert escape_formula(value) == value
