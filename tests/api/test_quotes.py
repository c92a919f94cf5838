"""The stock list and the stored bars."""

import csv
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from tasks_app.models import AdjustmentTable, Series, SyntheticSource
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.csv_export import escape_formula
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def read_csv(response):
    return list(csv.DictReader(b"".join(response.streaming_content).decode().splitlines()))


def test_stock_list_shows_complete_histories(client):
    make_stock("CN", "000001", full=True)
    make_stock("US", "AAPL")
    body = client.get(f"{BASE}/stock-list").json()
    assert (body["total"], body["only_uncompleted"]) == (2, False)
    assert [stock["code"] for stock in body["stocks"]] == ["000001", "AAPL"]
    assert body["stocks"][1] == {
        "market": "US",
        "code": "AAPL",
        "name": "AAPL Inc.",
        "full_collection_completed": False,
        "full_collection_date": None,
    }
    assert body["stocks"][0]["full_collection_date"]


@pytest.mark.parametrize(
    ("query", "codes"),
    [("only_uncompleted=true", ["AAPL"]), ("market=CN", ["000001"]), ("market=CN&only_uncompleted=True", [])],
)
def test_stock_list_filters(client, query, codes):
    make_stock("CN", "000001", full=True)
    make_stock("US", "AAPL")
    body = client.get(f"{BASE}/stock-list?{query}").json()
    assert ([stock["code"] for stock in body["stocks"]], body["total"]) == (codes, len(codes))


def test_stock_list_is_limited_and_counts_all(client):
    for n in range(103):
        make_stock("CN", f"{n:06}")
    for query, shown in (("", 100), ("?limit=2", 2), ("?limit=10000", 103)):
        body = client.get(f"{BASE}/stock-list{query}").json()
        assert (len(body["stocks"]), body["total"]) == (shown, 103)


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "only_uncompleted=perhaps", "market=XX"])
def test_invalid_stock_list_query_is_rejected(client, query):
    response = client.get(f"{BASE}/stock-list?{query}")
    assert (response.status_code, list(response.json()["errors"])) == (400, [query.split("=")[0]])


def test_bars_by_day_and_adjustment(client):
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


def test_stock_code_ignores_case_unless_exact(client):
    make_bars(make_stock("US", "AAPL"), 1)
    assert [row["code"] for row in client.get(f"{BASE}/quotes/US/aapl").json()] == ["AAPL"]
    assert "US-AAPL.csv" in client.get(f"{BASE}/quotes/US/aapl?format=csv").headers["Content-Disposition"]
    make_bars(make_stock("US", "aapl"), 2)
    assert len(client.get(f"{BASE}/quotes/US/aapl").json()) == 2


@pytest.mark.parametrize("path", ["US/MSFT", "XX/AAPL", "US/%00", "US/AA%20PL", "U%00/AAPL", "CN/AAPL"])
def test_unknown_or_malformed_stock_is_not_found(client, path):
    make_stock("US", "AAPL")
    for query in ("", "?format=csv"):
        response = client.get(f"{BASE}/quotes/{path}{query}")
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")
        assert response.json()["detail"] == "There is no such stock."


@pytest.mark.parametrize("query", ["start=1", "end=2024-1-1", "adjust=x", "limit=0", "format=xml"])
@pytest.mark.parametrize("form", ["", "&format=csv"])
def test_invalid_bar_query_is_rejected_in_json(client, query, form):
    make_stock("US", "AAPL")
    response = client.get(f"{BASE}/quotes/US/AAPL?{form}&{query}")
    assert (response.status_code, list(response.json()["errors"])) == (400, [query.split("=")[0]])


@pytest.mark.parametrize("how", [{"query": "?format=csv"}, {"headers": {"Accept": "text/csv"}}])
def test_csv_streams_more_than_a_page(client, how):
    make_bars(make_stock("US", "AAPL"), 1200)
    response = client.get(f"{BASE}/quotes/US/AAPL{how.get('query', '')}", headers=how.get("headers"))
    assert response.streaming
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="US-AAPL.csv"'
    rows = read_csv(response)
    assert (len(rows), rows[0]["day"], rows[0]["code"], rows[0]["amount"]) == (1200, "2024-01-01", "AAPL", "")


def test_csv_pages_with_limit(client):
    make_bars(make_stock("US", "AAPL"), 5)
    url, days = f"{BASE}/quotes/US/AAPL?format=csv&limit=2", []
    while url:
        response = client.get(url)
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        days.append([row["day"][-1] for row in read_csv(response)])
        url = response.headers.get("Link", "<").split(">")[0][1:]
    assert days == [["1", "2"], ["3", "4"], ["5"]]


@pytest.mark.parametrize("query", ["limit=1001", "cursor=x"])
def test_invalid_csv_page_is_rejected_in_json(client, query):
    make_stock("US", "AAPL")
    response = client.get(f"{BASE}/quotes/US/AAPL?format=csv&{query}")
    assert (response.status_code, list(response.json()["errors"])) == (400, [query.split("=")[0]])


def test_csv_quotes_formulas_but_not_numbers(client):
    make_bars(make_stock("US", "-1.2"), 1, change=-0.5)
    row = read_csv(client.get(f"{BASE}/quotes/US/-1.2?format=csv"))[0]
    assert (row["code"], row["change"]) == ("'-1.2", "-0.5")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_safe_quotes_formula_text(text):
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1, -0.5, None, "AAPL", ""])
def test_safe_keeps_other_values(value):
    assert escape_formula(value) == value


def test_made_up_quotes_are_apart_and_marked(client):
    SyntheticSource.objects.get_or_create(name="simulated")
    make_bars(make_stock("CN", "000001"), 1, close=1.5)
    make_bars(make_stock("SIM", "000001"), 2, source="simulated")
    real = client.get(f"{BASE}/quotes/CN/000001").json()
    assert [(row["market"], row["source"], row["close"]) for row in real] == [("CN", "sample", 1.5)]
    response = client.get(f"{BASE}/quotes/SIM/000001?format=csv")
    assert response.headers["Content-Disposition"] == 'attachment; filename="SIM-000001.csv"'
    assert [(row["market"], row["source"]) for row in read_csv(response)] == [("SIM", "simulated")] * 2


@pytest.mark.parametrize(
    ("default_source", "query", "markets"),
    [("sample", "", ["CN"]), ("sample", "?market=SIM", ["SIM"]), ("simulated", "", ["CN", "SIM"])],
)
def test_stock_list_has_made_up_stocks_where_asked_for(client, settings, default_source, query, markets):
    settings.COLLECTOR = replace(settings.COLLECTOR, default_source=default_source)
    for market in ("CN", "SIM"):
        make_stock(market, "000001")
    stocks = client.get(f"{BASE}/stock-list{query}").json()["stocks"]
    assert [stock["market"] for stock in stocks] == markets


@pytest.fixture
def split_stock():
    """A stock whose price halved on the third day, with factors and corporate actions of that day."""
    stock, ex_day = make_stock("CN", "600000"), date(2024, 1, 3)
    make_bars(stock, 2, open=10.0, high=10.0, low=10.0, close=10.0)
    make_bars(stock, 1, ex_day, open=5.0, high=5.0, low=5.0, close=5.0, prev_close=5.0)
    Series.objects.create(
        market="CN", symbol="600000", bars=3, first_day=date(2024, 1, 1), last_day=ex_day, covered=[]
    )
    factors = [Factor(ex_day, Decimal("2.000000"))]
    adjustment_data.replace_factors("CN", "600000", "sample", factors, ex_day)
    split = CorporateAction("split", ex_day, record_day=date(2024, 1, 2), ratio=Decimal("1"), note="10转10")
    announced = CorporateAction("dividend", announced_on=ex_day, cash=Decimal("0.10"))
    actions = CorporateActions([split, announced])
    adjustment_data.replace_actions("CN", "600000", "sample", actions, ex_day)
    return stock


def test_adjusted_bars_are_computed_and_say_so(client, split_stock):
    rows = client.get(f"{BASE}/quotes/CN/600000?adjust=qfq&limit=2").json()
    assert [row["close"] for row in rows] == [5.0, 5.0]
    assert (rows[0]["adjust"], rows[0]["basis"], rows[0]["factor_source"]) == ("qfq", "computed", "sample")
    table = AdjustmentTable.objects.get(content="factors")
    assert datetime.fromisoformat(rows[0]["factors_at"]) == table.fetched_at
    response = client.get(f"{BASE}/quotes/CN/600000?adjust=split&start=2024-01-02&format=csv")
    assert [(row["close"], row["volume"]) for row in read_csv(response)] == [("5.0", "200"), ("5.0", "100")]
    plain = client.get(f"{BASE}/quotes/CN/600000").json()[0]
    assert (plain["close"], plain["basis"], plain["factors_at"]) == (10.0, "stored", None)


def test_wanted_basis_is_read_or_missing(client, split_stock):
    url = f"{BASE}/quotes/CN/600000?adjust=hfq&basis="
    assert client.get(f"{url}stored").json() == []
    assert [row["close"] for row in client.get(f"{url}computed").json()] == [10.0, 10.0, 10.0]
    make_stock("US", "AAPL")
    response = client.get(f"{BASE}/quotes/US/AAPL?adjust=qfq&basis=computed")
    assert response.status_code == 404
    assert "unadjusted bars with adjustment factors" in response.json()["detail"]
    assert client.get(f"{url}guessed").status_code == 400


def test_factors_and_actions_are_told_by_source(client, split_stock):
    tables = client.get(f"{BASE}/quotes/CN/600000/factors").json()
    assert [(t["source"], t["until"], t["lacks"]) for t in tables] == [("sample", "2024-01-03", None)]
    assert tables[0]["factors"] == [{"ex_day": "2024-01-03", "hfq": "2.000000", "qfq": ""}]
    (table,) = client.get(f"{BASE}/quotes/CN/600000/actions").json()
    assert [action["kind"] for action in table["actions"]] == ["dividend", "split"], "the announced one first"
    assert table["actions"][1] == {
        "kind": "split",
        "ex_day": "2024-01-03",
        "announced_on": None,
        "record_day": "2024-01-02",
        "paid_on": None,
        "cash": "",
        "ratio": "1",
        "price": "",
        "note": "10转10",
    }
    assert client.get(f"{BASE}/quotes/CN/999999/factors").status_code == 404
