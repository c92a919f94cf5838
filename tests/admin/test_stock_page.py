"""The page of a stock: what is stored of it, its chart's data, its gaps, its bars as a table and a file."""

import csv
import json
import re
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from tasks_app.admin.stocks import data_quality
from tasks_app.market import calendars
from tasks_app.models import (
    AdjustmentTable,
    CalendarDay,
    CodeChange,
    CollectionItem,
    Correction,
    DailyBar,
    Finding,
    Series,
    Stock,
)
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.csv_export import COLUMNS
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.admin.helpers import staff_client, superuser_client, text_of, url
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db
MONDAY = date(2024, 1, 8)  # the first of three plain weeks in New York, but for Monday the 15th


def make_stock(code="AAPL", market="US", **fields):
    return Stock.objects.create(market=market, code=code, **{"name": "Apple", **fields})


def make_series(stock, *days, adjust="", covered=(), item=None, **values):
    """Creates bars on these days, counted from the Monday, and their `Series` row."""
    on = [MONDAY + timedelta(day) for day in sorted(days)]
    given = {"open": 10, "high": 12.5, "low": 9.25, "close": 11, "volume": 1234567, **values}
    key = {"market": stock.market, "symbol": stock.code, "adjust": adjust}
    DailyBar.objects.bulk_create(DailyBar(day=day, source="sample", item=item, **key, **given) for day in on)
    Series.objects.create(**key, bars=len(on), first_day=on[0], last_day=on[-1], covered=list(covered))


def page(stock):
    return url("tasks_app_stock_change", stock.pk)


def data(client, stock, **query):
    return client.get(url("tasks_app_stock_data", stock.pk), query)


def days(steps):
    """Returns the days that the steps lead to."""
    told, day = [], date(1970, 1, 1)
    for step in steps:
        day += timedelta(step)
        told.append(day.isoformat())
    return told


def lines(answer):
    return list(csv.reader(b"".join(answer.streaming_content).decode().splitlines()))


def make_halved_stock():
    """Makes a stock whose price halved on the third day, with its factors and corporate actions."""
    stock, ex_day = make_stock("600000", "CN"), MONDAY + timedelta(2)
    make_series(stock, 0, 1, 2, open=10, high=10, low=10, close=10)
    DailyBar.objects.filter(day=ex_day).update(open=5, high=5, low=5, close=5)
    adjustment_data.replace_factors("CN", "600000", "baostock", [Factor(ex_day, Decimal("2"))], ex_day)
    bonus = CorporateAction("split", ex_day, record_day=MONDAY, ratio=Decimal("1.0"), note="10转10")
    adjustment_data.replace_actions("CN", "600000", "baostock", CorporateActions([bonus], MONDAY), ex_day)
    return stock


# ---------------------------------------------------------------- the page


def test_page_says_which_series_are_computed_and_from_what():
    stock = make_halved_stock()
    client = superuser_client()
    text = text_of(client.get(page(stock), {"adjust": "qfq"}))
    assert "forward adjusted 3 (computed)" in text
    assert "Computed from the unadjusted bars and what baostock sent on" in text
    assert "Show the series as a source sent it" not in text
    assert data(client, stock, adjust="qfq").json()["close"] == [5.0, 5.0, 5.0]
    assert data(client, stock).json()["close"] == [10, 10, 5]
    make_series(stock, 0, 1, 2, adjust="qfq", open=7, high=7, low=7, close=7)
    body = client.get(page(stock), {"adjust": "qfq"}).content.decode()
    assert "?adjust=qfq&amp;basis=stored" in body
    text = text_of(client.get(page(stock), {"adjust": "qfq", "basis": "stored"}))
    assert "forward adjusted 3 (stored)" in text
    assert "Stored as a source sent it. Show the series as computed" in text
    assert data(client, stock, adjust="qfq", basis="stored").json()["close"] == [7, 7, 7]
    file = client.get(url("tasks_app_stock_csv", stock.pk), {"adjust": "qfq"})
    assert [(line[COLUMNS.index("close")], line[COLUMNS.index("basis")]) for line in lines(file)[1:]] == [
        ("5.0", "computed")
    ] * 3


def test_page_warns_of_an_ex_day_without_a_factor():
    stock = make_halved_stock()
    AdjustmentTable.objects.update(lacks=MONDAY + timedelta(2))
    text = text_of(superuser_client().get(page(stock), {"adjust": "hfq"}))
    assert "It ends before 2024-01-10, an ex day whose factor is not known yet." in text


def test_corporate_actions_are_listed_by_source():
    client = superuser_client()
    text = text_of(client.get(page(make_halved_stock())))
    assert "Complete from 2024-01-08 on only." in text
    assert "2024-01-10 split or bonus shares 1.0 new shares per share – 2024-01-08" in text
    stock = make_stock()
    make_series(stock, 0)
    assert "Not asked yet, or no source that was asked tells them." in text_of(client.get(page(stock)))
    adjustment_data.replace_actions("US", "AAPL", "sample", CorporateActions(), MONDAY)
    text = text_of(client.get(page(stock)))
    assert "None: the source says that there were no dividends, splits or rights issues." in text


def test_page_shows_stock_and_series_facts():
    former = [{"name": "Apple Computer", "until": "2007-01-09"}]
    stock = make_stock(exchange="NASDAQ", listed_on=date(1980, 12, 12), former_names=former)
    make_series(stock, 0, 1)
    text = text_of(superuser_client().get(page(stock)))
    for words in (
        "NASDAQ",
        "1980-12-12",
        "Apple Computer (until 2007-01-09)",
        "behind",
        "2024-01-08 – 2024-01-09",
    ):
        assert words in text


def test_empty_stock_links_to_the_start_form_for_those_who_may():
    stock = make_stock()
    body = superuser_client().get(page(stock)).content.decode()
    assert "Nothing stored yet" in body
    assert f'{url("start")}?market=US&amp;codes=AAPL"' in body
    body = staff_client("view_stock", "view_dailybar").get(page(stock)).content.decode()
    assert "Nothing stored yet" in body
    assert "codes=AAPL" not in body


def test_page_opens_with_the_stored_adjustment():
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0, adjust="hfq")
    assert client.get(page(stock)).context["query"].adjust == "hfq"
    assert client.get(page(stock), {"adjust": "qfq"}).context["query"].adjust == "qfq"
    assert "No bars stored: forward adjusted" in text_of(client.get(page(stock), {"adjust": "qfq"}))


def test_rising_color_follows_the_language_and_page_has_no_inline_code():
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0)
    for language, rising, legend in (
        ("zh-hans", "red", "涨：红色空心"),
        ("en", "green", "rises: green, hollow"),
    ):
        answer = client.get(page(stock), headers={"Accept-Language": language})
        assert answer.context["chart"]["rising"] == rising
        assert legend in text_of(answer)
    body = answer.content.decode()
    main = body[body.index('id="content-main"') :]
    assert 'href="https://www.tradingview.com/"' in main, "it credits the chart"
    assert " style=" not in main[: main.index("modal-overlay")]


# ---------------------------------------------------------------- the chart's data


def test_chart_data_has_columns_and_tasks():
    stock, task = make_stock("000001", "CN"), make_task(stock_codes=("000001",))
    make_series(stock, 1, 0, 2, item=task.items.get(), change_pct=-1.5)
    told = data(superuser_client(), stock).json()
    assert days(told["steps"]) == ["2024-01-08", "2024-01-09", "2024-01-10"]
    assert (told["close"], told["volume"][0], told["change_pct"][0]) == ([11.0] * 3, 1234567, -1.5)
    assert (told["tasks"], told["by"]) == ([str(task.pk)], [0, 0, 0])


def test_bars_of_pruned_tasks_have_no_task():
    stock = make_stock()
    make_series(stock, 0)
    DailyBar.objects.update(item_id=987654321)
    told = data(superuser_client(), stock).json()
    assert (told["tasks"], told["by"]) == ([], [-1])
    assert superuser_page_is_fine(stock)


def superuser_page_is_fine(stock):
    return staff_client(name="other", is_superuser=True).get(page(stock)).status_code == 200


def gaps_of(client, stock):
    """Returns the chart's days without a bar, by sentence."""
    return {gap["why"]: days(gap["steps"]) for gap in data(client, stock).json()["gaps"]}


def test_gaps_have_their_reasons_and_no_holidays():
    stock = make_stock()
    answered = [["2024-01-08", "2024-01-10"]]
    make_series(stock, 0, 2, 4, 9, covered=answered)
    Series.objects.update(absences=[["2024-01-09", "2024-01-09", "suspended", "csv", "2024-02-01", None]])
    assert gaps_of(superuser_client(), stock) == {
        "suspended, according to csv (requested on 2024-02-01, New York time)": ["2024-01-09"],
        "not requested yet": ["2024-01-11", "2024-01-16"],  # the 15th: Martin Luther King
    }


def test_corrected_calendar_corrects_the_gaps():
    stock = make_stock()
    make_series(stock, 0, 2)
    client = superuser_client()
    before = data(client, stock)
    CalendarDay.objects.create(market="US", day=MONDAY + timedelta(1), is_session=False)
    after = data(client, stock)
    assert [len(answer.json()["gaps"]) for answer in (before, after)] == [1, 0]
    assert before["ETag"] != after["ETag"]


@pytest.mark.usefixtures("without_html")
def test_gap_table_lists_not_requested_first():
    stock = make_stock(delisted_on=MONDAY + timedelta(4))
    make_series(stock, 0, 2, 4, covered=[["2024-01-11", "2024-01-12"]])
    gaps = superuser_client().get(page(stock)).context["gaps"]
    assert [(row["days"], row["sessions"], row["why"]) for row in gaps["rows"]] == [
        ("2024-01-09", "1", ""),
        ("2024-01-11", "1", "requested; the reason was not recorded at that time"),
    ]
    words = [re.sub(r".*</span>(?=\w)|</span>", "", badge) for badge in gaps["totals"]]
    assert words == ["not requested 1", "reason not recorded 1"]
    assert (gaps["sessions"], gaps["more"]) == (2, 0)


@pytest.mark.usefixtures("without_html")
def test_stock_without_bars_shows_what_was_answered():
    stock = make_stock(market="CN", code="600000", delisted_on=date(2024, 1, 9))
    absence = ["2024-01-08", "2024-01-09", "empty", "baostock", "2024-02-01", None]
    Series.objects.create(market="CN", symbol="600000", absences=[absence])
    gap = superuser_client().get(page(stock)).context["gaps"]["rows"][0]
    assert strip_tags(gap["why"]) == "baostock had no bar (requested on 2024-02-01, Beijing time)"


def test_reasons_are_in_the_readers_language():
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0, 2)
    chinese = client.get(url("tasks_app_stock_data", stock.pk), headers={"Accept-Language": "zh-hans"})
    assert [gap["why"] for gap in chinese.json()["gaps"]] == ["尚未请求"]
    assert chinese["ETag"] != data(client, stock)["ETag"]


def test_corrections_and_flags_are_marked():
    stock, task = make_stock("000001", "CN"), make_task(stock_codes=("000001",))
    make_series(stock, 0, 1, 2)
    key = {"market": "CN", "symbol": "000001"}
    Correction.objects.create(
        **key, day=MONDAY, before={"close": 11.5}, after={"close": 12}, source="sample", item=task.items.get()
    )
    Finding.objects.create(
        **key, item=task.items.get(), day="2024-01-09", kind="flagged", code="odd", message="Odd."
    )
    Finding.objects.create(
        **key, item=task.items.get(), day="2024-01-10", kind="refused", code="bad", message="Bad."
    )
    client = superuser_client()
    told = data(client, stock).json()
    assert (told["corrected"], told["flagged"]) == (["2024-01-08"], ["2024-01-09"])
    answer = client.get(page(stock))
    notes = {row["day"]: len(row["notes"]) for row in answer.context["table"]["rows"]}
    assert notes == {"2024-01-08": 1, "2024-01-09": 1, "2024-01-10": 0}
    assert "close: 11.5 → 12" in text_of(answer)


def test_chart_is_304_until_it_changes():
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0, 1)
    first = data(client, stock)

    def again():
        return client.get(
            url("tasks_app_stock_data", stock.pk), headers={"If-None-Match": first["ETag"]}
        ).status_code

    assert (again(), first["Cache-Control"]) == (304, "private, no-cache")
    Series.objects.update(covered=[["2024-01-01", "2024-01-31"]])
    assert again() == 200


def test_chart_queries_do_not_grow_with_bars():
    few, many = make_stock("FEW"), make_stock("MANY")
    make_series(few, 0)
    make_series(many, *range(150))
    client = superuser_client()
    data(client, few), client.get(page(few))  # a calendar may be loaded

    def queries(fetch):
        with CaptureQueriesContext(connection) as caught:
            fetch()
        return len(caught)

    # Two of them ask why days have no bar: refused ones, and those of which nobody has quotes. Four ask for
    # earlier codes, three for factors and corporate actions.
    assert queries(lambda: data(client, few)) == queries(lambda: data(client, many)) <= 21
    assert queries(lambda: client.get(page(few))) == queries(lambda: client.get(page(many))) <= 25


# ---------------------------------------------------------------- the table and the file


@pytest.mark.usefixtures("without_html")
def test_table_pages_by_key_newest_first():
    stock, client = make_stock(), superuser_client()
    make_series(stock, *range(120))
    met, address = [], page(stock)
    while address:
        table = client.get(address).context["table"]
        met += [row["day"] for row in table["rows"]]
        address = next(way.url for way in table["links"] if way.rel == "next").partition("#")[0]
    assert met == [(MONDAY + timedelta(n)).isoformat() for n in reversed(range(120))]


@pytest.mark.usefixtures("without_html")
def test_table_shows_the_requested_days():
    stock, client = make_stock(), superuser_client()
    make_series(stock, *range(5))
    table = client.get(page(stock), {"since": "2024-01-09", "until": "2024-01-10"}).context["table"]
    assert [row["day"] for row in table["rows"]] == ["2024-01-10", "2024-01-09"]


@pytest.mark.parametrize(
    "query",
    [
        {"since": "x", "until": "2024-13-01", "adjust": "x"},
        {"after": "x"},
        *(
            pytest.param(one, marks=pytest.mark.soak)
            for one in ({"since": "x"}, {"until": "x"}, {"adjust": "x"})
        ),
    ],
)
def test_invalid_query_still_shows_the_page(query):
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0)
    assert client.get(page(stock), query).status_code == 200


def test_csv_has_requested_days_and_adjustment():
    stock, client = make_stock(), superuser_client()
    make_series(stock, *range(5))
    make_series(stock, 0, 1, adjust="qfq")
    address = url("tasks_app_stock_csv", stock.pk)
    answer = client.get(address, {"adjust": "qfq", "since": "2024-01-09", "until": ""})
    assert answer.streaming
    assert answer["Content-Disposition"] == 'attachment; filename="US-AAPL-qfq.csv"'
    rows = lines(answer)
    assert (rows[0], len(rows)) == (list(COLUMNS), 2)
    assert rows[1][:6] == ["US", "AAPL.US", "qfq", "2024-01-09", "10.0", "12.5"]
    assert len(lines(client.get(address))) == 6


@pytest.mark.parametrize(("code", "told"), [("000001", "000001.SZ"), ("-1", "'-1.CN"), ("@A", "'@A.CN")])
def test_csv_codes_are_no_numbers_or_formulas(code, told):
    stock = make_stock(code, "CN")
    make_series(stock, 0)
    assert lines(superuser_client().get(url("tasks_app_stock_csv", stock.pk)))[1][1] == told


# ---------------------------------------------------------------- who may, and where from


def test_page_links_the_earlier_and_the_later_code():
    old, new = make_stock("OLD"), make_stock("NEW")
    make_series(old, 0, 1)
    make_series(new, 3)
    CodeChange.objects.create(market="US", old_code="OLD", new_code="NEW", changed_on="2024-01-11")
    client = superuser_client()
    for stock, other, text in ((new, "OLD", "until 2024-01-10"), (old, "NEW", "since 2024-01-11")):
        shown = client.get(page(stock)).content.decode()
        assert f"/of/US/{other}/" in shown
        assert f"{other} ({text})" in shown
        assert ("now NEW" in shown) == (stock == old)
    exported = lines(client.get(url("tasks_app_stock_csv", new.pk)))
    assert [row[1] for row in exported[1:]] == ["OLD.US", "OLD.US", "NEW.US"]


def test_chart_and_table_follow_a_change_of_code():
    old, new = make_stock("OLD"), make_stock("NEW")
    make_series(old, 0, 1)
    make_series(new, 3)
    CodeChange.objects.create(market="US", old_code="OLD", new_code="NEW", changed_on="2024-01-11")
    client = superuser_client()
    columns = data(client, new).json()
    assert len(columns["close"]) == 3
    assert columns["steps"][1:] == [1, 2], "days since the bar before"
    ((day, words),) = columns["codes"]
    assert words == f"before {day} as OLD"
    shown = text_of(client.get(page(new)))
    assert shown.count("as OLD") == 2
    assert len(data(client, old).json()["close"]) == 2, "the earlier code shows its own bars"


def test_bars_need_permission():
    stock = make_stock()
    make_series(stock, 0)
    looker, reader = staff_client("view_stock"), staff_client("view_dailybar", name="reader")
    for part in ("data", "csv"):
        address = url(f"tasks_app_stock_{part}", stock.pk)
        assert [client.get(address).status_code for client in (looker, reader)] == [403, 200], part


def test_page_hides_bars_and_tasks_without_permission():
    stock, task = make_stock("000001", "CN"), make_task(stock_codes=("000001",))
    make_series(stock, 0, item=CollectionItem.objects.get(task=task))
    alone = text_of(staff_client("view_stock").get(page(stock)))
    assert "not allowed to see the stored bars" in alone
    assert "9.25" not in alone
    reader = staff_client("view_stock", "view_dailybar", name="reader")
    assert str(task.pk)[:8] not in text_of(reader.get(page(stock)))
    assert data(reader, stock).json()["tasks"] == []


def test_code_leads_to_its_stock_or_to_the_search():
    stock, client = make_stock("BRK.B"), superuser_client()
    answer = client.get(url("tasks_app_stock_of", "US", "BRK.B"), {"adjust": "qfq"})
    assert answer.url == f"{page(stock)}?adjust=qfq"
    answer = client.get(url("tasks_app_stock_of", "US", "GONE"))
    assert answer.url == f"{url('tasks_app_stock_changelist')}?market__exact=US&q=GONE"
    make_user("nobody", is_staff=True)
    assert staff_client(name="blind").get(url("tasks_app_stock_of", "US", "BRK.B")).status_code == 403


# ---------------------------------------------------------------- the list


def found(client, **query):
    return [
        stock.code for stock in client.get(url("tasks_app_stock_changelist"), query).context["cl"].result_list
    ]


@pytest.mark.usefixtures("without_html")
def test_stocks_are_found_by_code_and_name():
    make_stock()
    make_stock("MSFT", name="Microsoft")
    client = superuser_client()
    for term in ("aap", "pple"):
        assert found(client, q=term) == ["AAPL"]


def test_stocks_filter_by_stored_bars_and_listing():
    latest = calendars.load_calendar("US").latest_session()
    for code, last in {"LATE": MONDAY, "GOOD": latest, "GONE": MONDAY}.items():
        make_stock(code, delisted_on=MONDAY if code == "GONE" else None)
        Series.objects.create(market="US", symbol=code, bars=2, first_day=MONDAY, last_day=last)
    make_stock("NONE")
    Series.objects.create(market="US", symbol="NONE", bars=0)
    client = superuser_client()
    assert found(client, stored="behind") == ["LATE"]
    assert found(client, stored="empty") == ["NONE"]
    assert found(client, stored="behind:none", listing="listed") == ["LATE"]
    assert found(client, stored="empty:qfq", listing="listed") == ["GOOD", "LATE", "NONE"]
    assert len(found(client, stored="empty:nonsense")) == 4
    assert found(client, listing="delisted") == ["GONE"]
    assert found(client, listing="listed") == ["GOOD", "LATE", "NONE"]
    text = text_of(client.get(url("tasks_app_stock_changelist")))
    for words in (
        "sessions not requested",
        "up to date",
        "delisted",
        "nothing stored",
        f"2024-01-08 – {latest}",
    ):
        assert words in text


def test_stock_list_queries_do_not_grow():
    client, address = superuser_client(), url("tasks_app_stock_changelist")

    def queries():
        with CaptureQueriesContext(connection) as caught:
            client.get(address)
        return len(caught)

    for n in range(2):
        make_series(make_stock(f"A{n}"), 0)
    queries()
    few = queries()
    for n in range(2, 12):
        make_series(make_stock(f"A{n}"), 0)
    assert queries() == few <= 8


def test_json_is_compact():
    stock = make_stock()
    make_series(stock, 0)
    body = data(superuser_client(), stock).content.decode()
    assert body == json.dumps(json.loads(body), separators=(",", ":"))


def test_address_by_code_keeps_any_parameter():
    stock = make_stock()
    query = {"page": "2024-02-30", "model": "x", "args": "1", "self": "2"}
    response = superuser_client().get("/admin/tasks_app/stock/of/US/AAPL/", query)
    assert response.status_code == 302
    assert response.headers["Location"] == f"{page(stock)}?{urlencode(query)}"


def test_days_at_a_limit_and_of_special_treatment_are_marked():
    stock = make_stock("600000", "CN", listed_on=date(2000, 1, 4))
    prices = {"open": 10.0, "high": 10.5, "low": 10.0, "close": 10.5, "prev_close": 10.0}
    DailyBar.objects.create(
        market="CN", symbol="600000", day=date(2024, 3, 5), volume=1, source="baostock", is_st=True, **prices
    )
    text = text_of(superuser_client().get(page(stock)))
    assert "limit up 10.50" in text
    assert "ST" in text
    assert "computed by the board" in text
    assert "SSE Composite 000001.SH" in text, "the benchmark of its board"


def test_page_of_an_index_has_its_name_and_no_limits():
    stock = make_stock("000300.SH", "CN", kind="index")
    DailyBar.objects.create(
        market="CN", symbol="000300.SH", day=date(2024, 3, 5), volume=1, source="baostock",
        open=3000.0, high=3300.0, low=3000.0, close=3300.0, prev_close=3000.0,
    )  # fmt: skip
    text = text_of(superuser_client().get(page(stock)))
    assert "CSI 300" in text
    assert "limit up" not in text


def test_finding_of_several_tasks_is_listed_once():
    stock = make_stock()
    key = {"market": "US", "symbol": "AAPL", "day": MONDAY, "source": "csv", "message": "Bad."}
    for _ in range(3):
        Finding.objects.create(**key, kind="refused", code="bad_volume")
    Finding.objects.create(**key, kind="flagged", code="not_a_session")
    rows = data_quality.recent_findings(stock, "")
    assert [row["times"].partition(",")[0] for row in rows] == ["", "found 3 times"]


def test_made_up_stocks_are_listed_where_their_market_is_named_or_alone():
    make_stock("000001", "SIM")
    client, page = superuser_client(), url("tasks_app_stock_changelist")

    def listed(query=""):
        return [stock.market for stock in client.get(page + query).context["cl"].result_list]

    assert listed() == ["SIM"]
    make_stock()
    assert (listed(), listed("?market__exact=SIM")) == (["US"], ["SIM"])
    assert client.get(url("tasks_app_stock_change", Stock.objects.get(market="SIM").pk)).status_code == 200


def test_stock_without_bars_tells_of_its_last_failure():
    stock, client = make_stock("000007", "SIM"), superuser_client()
    assert "has been collected yet" in text_of(client.get(page(stock)))
    task = make_task(stock_codes=("000007", "000008"))
    failure = {"state": "failed", "error_code": "source_refused", "error_message": "Not this one."}
    assert task.items.filter(code="000007").update(**failure, finished_at="2024-03-01T08:00Z") == 1
    answer = client.get(page(stock))
    text = text_of(answer)
    assert "the last task that requested it" in text
    assert "Not this one." in text
    body, item = answer.content.decode(), task.items.get(code="000007")
    assert url("tasks_app_collectiontask_change", task.pk) in body
    assert url("tasks_app_collectionitem_change", item.pk) in body
    assert "Not this one." not in text_of(staff_client("view_stock", "view_dailybar").get(page(stock)))


@pytest.mark.usefixtures("without_html")
def test_prices_of_a_page_have_the_same_decimals():
    stock, client = make_stock(), superuser_client()
    make_series(stock, 0, low=9.1234)
    make_series(make_stock("MSFT"), 0)
    rows = client.get(page(stock)).context["table"]["rows"]
    assert rows[0]["prices"] == ["10.0000", "12.5000", "9.1234", "11.0000"]
    rows = client.get(page(Stock.objects.get(code="MSFT"))).context["table"]["rows"]
    assert rows[0]["prices"] == ["10.00", "12.50", "9.25", "11.00"]
