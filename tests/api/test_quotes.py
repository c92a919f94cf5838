"""The stock list and the stored bars."""

import csv
import io
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from tasks_app.market.calendars import load_calendar
from tasks_app.models import AdjustmentTable, CodeChange, Series, Stock, SyntheticSource
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.csv_export import escape_formula
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tasks_app.sources.security_codes import canonical_code
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def read_csv(response):
    return list(csv.DictReader(b"".join(response.streaming_content).decode().splitlines()))


def test_stock_list_shows_complete_histories(client):
    make_stock("US", "A", full=True)
    make_stock("US", "AAPL")
    body = client.get(f"{BASE}/stock-list?market=US").json()
    assert (body["total"], body["only_uncompleted"]) == (2, False)
    assert [stock["code"] for stock in body["stocks"]] == ["A", "AAPL"]
    assert body["stocks"][1] == {
        "market": "US",
        "code": "AAPL",
        "name": "AAPL Inc.",
        "kind": "stock",
        "full_collection_completed": False,
        "full_collection_date": None,
        "first_day": None,
        "last_day": None,
        "bars": 0,
        "behind": None,
    }
    assert body["stocks"][0]["full_collection_date"]


def test_stock_list_and_coverage_say_what_is_stored_and_what_is_missing(client, own_cache):
    session = load_calendar("US").latest_session()
    before = load_calendar("US").sessions(session - timedelta(days=20), session).days[-4]
    for code, last in (("AAPL", session), ("IBM", before)):
        make_bars(make_stock("US", code), 1, last)
        Series.objects.create(market="US", symbol=code, bars=1, first_day=last, last_day=last)
    make_stock("US", "MSFT")
    stored, behind, empty = client.get(f"{BASE}/stock-list?market=US").json()["stocks"]
    keys = ("first_day", "last_day", "bars", "behind")
    assert [stored[key] for key in keys] == [session.isoformat(), session.isoformat(), 1, 0]
    assert [behind[key] for key in keys] == [before.isoformat(), before.isoformat(), 1, 3]
    assert [empty[key] for key in keys] == [None, None, 0, None]
    rows = client.get(f"{BASE}/coverage").json()
    assert [bool(row.pop("updated_at")) for row in rows] == [True, False]
    assert rows == [
        {
            "market": "US",
            "adjust": "",
            "source": "sample",
            "session": session.isoformat(),
            "stocks": 2,
            "bars": 2,
            "complete": 1,
            "behind": 1,
            "empty": 0,
            "first_day": before.isoformat(),
            "last_day": session.isoformat(),
            "behind_by": {"2-5": 1},
            "most_behind": 3,
        },
        {
            "market": "US",
            "adjust": "",
            "source": None,
            "session": session.isoformat(),
            "stocks": 1,
            "bars": 0,
            "complete": 0,
            "behind": 0,
            "empty": 1,
            "first_day": None,
            "last_day": None,
            "behind_by": {},
            "most_behind": 0,
        },
    ]


@pytest.mark.parametrize(
    ("query", "codes"),
    [("market=US&only_uncompleted=true", ["AAPL"]), ("", ["000001"]), ("only_uncompleted=True", [])],
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


@pytest.mark.parametrize("query", ["start=1", "end=2024-13-1", "adjust=x", "limit=0", "format=xml"])
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
    assert (len(rows), rows[0]["day"], rows[0]["code"], rows[0]["amount"]) == (
        1200,
        "2024-01-01",
        "AAPL.US",
        "",
    )


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
    assert (row["code"], row["change"]) == ("'-1.2.US", "-0.5")


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
    [("sample", "", ["CN"]), ("sample", "?market=SIM", ["SIM"]), ("simulated", "", ["SIM"])],
)
def test_stock_list_has_made_up_stocks_where_asked_for(client, settings, default_source, query, markets):
    settings.COLLECTOR = replace(settings.COLLECTOR, default_source=default_source)
    for market in ("CN", "SIM"):
        make_stock(market, "000001")
    stocks = client.get(f"{BASE}/stock-list{query}").json()["stocks"]
    assert [stock["market"] for stock in stocks] == markets


@pytest.mark.parametrize(
    ("market", "code", "path"),
    [
        ("CN", "600519", "CN/sh600519"),
        ("CN", "600519", "CN/600519.XSHG"),
        ("HK", "00700", "HK/700"),
        ("US", "BRK.B", "US/BRK-B"),
        ("US", "AAPL", "US/105.AAPL"),
    ],
)
def test_kind_of_spelling_in_a_path_finds_the_stock(client, market, code, path):
    make_bars(make_stock(market, code), 1)
    assert [row["code"] for row in client.get(f"{BASE}/quotes/{path}").json()] == [code]


def test_bars_that_could_not_be_merged_are_read_by_their_own_spelling(client):
    make_bars(make_stock("CN", "600519"), 1)
    make_bars(make_stock("CN", "600519.SH"), 2)
    assert len(client.get(f"{BASE}/quotes/CN/600519.SH").json()) == 2
    assert len(client.get(f"{BASE}/quotes/CN/SH600519").json()) == 1


@pytest.fixture
def renamed():
    """A stock that was FB until 2024-01-05 and then META, and before 2024-01-03 TFB."""
    make_bars(make_stock("US", "TFB"), 4, close=1.1)
    make_bars(make_stock("US", "FB"), 6, first=date(2024, 1, 2), close=1.2)
    make_bars(make_stock("US", "META"), 4, first=date(2024, 1, 4), close=1.3)
    for old, new, day in (("TFB", "FB", "2024-01-03"), ("FB", "META", "2024-01-05")):
        CodeChange.objects.update_or_create(
            market="US", old_code=old, defaults={"new_code": new, "changed_on": day}
        )


def test_read_joins_the_bars_of_earlier_codes(client, renamed):
    rows = client.get(f"{BASE}/quotes/US/META").json()
    # The later code's bar of a day wins, and no code is followed beyond its own time.
    assert [(row["day"][-1], row["code"]) for row in rows] == [
        ("1", "TFB"),
        ("2", "FB"),
        ("3", "FB"),
        ("4", "META"),
        ("5", "META"),
        ("6", "META"),
        ("7", "META"),
    ]
    alone = client.get(f"{BASE}/quotes/US/META?joined=false").json()
    assert {row["code"] for row in alone} == {"META"}
    assert {row["code"] for row in client.get(f"{BASE}/quotes/US/FB").json()} == {"TFB", "FB"}


def test_joined_read_is_paged_and_exported(client, renamed):
    first = client.get(f"{BASE}/quotes/US/META?limit=3")
    rest = client.get(first.headers["Link"].split(">")[0][1:]).json()
    assert [row["code"] for row in (*first.json(), *rest)] == ["TFB", "FB", "FB", "META", "META", "META"]
    rows = read_csv(client.get(f"{BASE}/quotes/US/META?format=csv"))
    assert [row["code"] for row in rows][:2] == ["TFB.US", "FB.US"]


def test_adjusted_series_are_not_joined(client, renamed):
    make_bars(Stock.objects.get(code="FB"), 2, adjust="qfq")
    assert client.get(f"{BASE}/quotes/US/META?adjust=qfq").json() == []


def test_circle_of_changes_ends(client, renamed):
    CodeChange.objects.create(market="US", old_code="META", new_code="TFB", changed_on="2024-01-09")
    rows = client.get(f"{BASE}/quotes/US/META").json()
    assert len({row["day"] for row in rows}) == len(rows) == 7


@pytest.mark.parametrize(
    ("market", "code"), [("CN", "000001"), ("HK", "00700"), ("US", "NA"), ("US", "TRUE")]
)
def test_kind_of_code_that_pandas_would_spoil(client, market, code):
    pandas = pytest.importorskip("pandas")
    make_bars(make_stock(market, code), 1)
    response = client.get(f"{BASE}/quotes/{market}/{code}?format=csv")
    read = pandas.read_csv(io.BytesIO(b"".join(response.streaming_content)))["code"].tolist()
    assert [canonical_code(market, text) for text in read] == [code]


def test_gaps_say_why_days_have_no_bar(client):
    stock = make_stock("US", "AAPL")
    make_bars(stock, 4)
    stock.delisted_on = date(2024, 1, 5)
    stock.save()
    absence = ["2024-01-05", "2024-01-05", "after", "sample", "2024-02-01", "2024-01-04"]
    key = {"market": "US", "symbol": "AAPL"}
    Series.objects.create(**key, bars=3, first_day="2024-01-02", last_day="2024-01-04", absences=[absence])
    told = client.get(f"{BASE}/quotes/US/AAPL/gaps")
    assert told.json() == [
        {
            "first_day": "2024-01-05",
            "last_day": "2024-01-05",
            "days": 1,
            "reason": "after",
            "message": "the bars of sample end on 2024-01-04 (requested on 2024-02-01, New York time)",
            "source": "sample",
            "requested_on": "2024-02-01",
            "bound": "2024-01-04",
        }
    ]
    assert client.get(f"{BASE}/quotes/US/AAPL/gaps?end=2024-01-04").json() == []
    chinese = client.get(f"{BASE}/quotes/US/AAPL/gaps", headers={"Accept-Language": "zh-hans"}).json()
    assert chinese[0]["message"] == "sample 的 K线止于 2024-01-04（请求于纽约时间 2024-02-01）"
    assert client.get(f"{BASE}/quotes/US/NONE/gaps").status_code == 404
    assert client.get(f"{BASE}/quotes/US/AAPL/gaps?limit=0").status_code == 400


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


def test_stock_list_is_filtered_by_kind(client):
    make_stock("CN", "600519")
    make_stock("CN", "000001.SH", kind="index")
    for kind, codes in {"index": ["000001.SH"], "stock": ["600519"], "etf": []}.items():
        answer = client.get(f"{BASE}/stock-list?kind={kind}").json()
        assert [(one["code"], one["kind"]) for one in answer["stocks"]] == [(code, kind) for code in codes]
    assert client.get(f"{BASE}/stock-list?kind=bond").status_code == 400


def test_bars_have_the_days_limits_and_where_they_come_from(client):
    stock = make_stock("CN", "600519", listed_on=date(2001, 8, 27))
    make_bars(
        stock, 1, date(2024, 3, 5), open=10.0, high=11.0, low=10.0, close=11.0, prev_close=10.0, is_st=False
    )
    (row,) = client.get(f"{BASE}/quotes/CN/600519").json()
    told = {name: row[name] for name in ("is_st", "limit_up", "limit_down", "limits_from", "at_limit")}
    assert told == {
        "is_st": False, "limit_up": 11.0, "limit_down": 9.0, "limits_from": "computed", "at_limit": "up"
    }  # fmt: skip
    (line,) = read_csv(client.get(f"{BASE}/quotes/CN/sh600519?format=csv"))
    assert (line["limit_up"], line["limits_from"], line["at_limit"]) == ("11.0", "computed", "up")


@pytest.mark.parametrize("path", ["stock-list", "coverage", "tasks", "quotes/US/AAPL/gaps"])
def test_moment_is_refused_where_it_has_no_effect(path):
    make_stock("US", "AAPL")
    response = client_of(make_user("root", is_superuser=True)).get(f"{BASE}/{path}?as_of=2024-05-01")
    assert response.status_code == 400
    assert "as they were known" in response.json()["errors"]["as_of"][0]
