"""The list of stocks sorted by last day or bars: order, links, and what a page reads."""

import re
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app.models import Series, Stock
from tests.admin.helpers import superuser_client, url

pytestmark = pytest.mark.django_db
OLD, NEW = date(2023, 12, 29), date(2024, 6, 28)
LIST = "tasks_app_stock_changelist"


def make(code, bars=0, last_day=None, market="US"):
    Stock.objects.create(market=market, code=code)
    if bars:
        Series.objects.create(market=market, symbol=code, bars=bars, first_day=OLD, last_day=last_day)


@pytest.fixture
def stocks():
    make("A", 5, NEW), make("B"), make("C", 9, OLD), make("D", 5, NEW, "HK"), make("E", market="HK")


def listed(client, **query):
    return "".join(stock.code for stock in client.get(url(LIST), query).context["cl"].result_list)


@pytest.mark.any_database
@pytest.mark.usefixtures("without_html")
def test_order_of_the_address(stocks):
    client = superuser_client()
    for order, codes in {
        "": "DEABC",
        "bars": "EBDAC",
        "-bars": "CADBE",
        "last_day": "CDAEB",
        "-last_day": "ADCBE",  # those without bars are the last again
        "nonsense": "DEABC",
        "-market": "DEABC",
    }.items():
        assert listed(client, o=order) == codes, order


@pytest.mark.any_database
@pytest.mark.parametrize(("order", "codes"), [("-bars", "CADBE"), ("last_day", "CDAEB")])
@pytest.mark.usefixtures("without_html")
def test_pages_keep_the_order(stocks, monkeypatch, order, codes):
    monkeypatch.setattr("tasks_app.admin.stocks.admin.StockAdmin.list_per_page", 2)
    client, shown, address = superuser_client(), "", f"?o={order}"
    while address:
        changes = client.get(url(LIST) + address).context["cl"]
        shown += "".join(stock.code for stock in changes.result_list)
        address = {link.rel: link.url for link in changes.page_links}["next"]
    assert shown == codes


@pytest.mark.any_database
def test_number_of_bars_is_written_as_a_number():
    make("A", 1551, NEW)
    assert '<td class="sc-n" data-l="Bars">1,551</td>' in superuser_client().get(url(LIST)).content.decode()


def headers(html):
    """Returns the (address, what it leads to, aria-sort) of the sortable columns by their titles."""
    found = re.findall(r'<th scope="col"\s+class="sc-sort[^>]*?>\s*<a href=[^>]*>.*?</a>', html, re.DOTALL)
    parts = {}
    for each in found:
        href, title, text = re.search(r'href="([^"]*)"\s+title="([^"]*)">([^<]*?)\s*<', each).groups()
        aria = re.search(r'aria-sort="(\w+)"', each)
        parts[text] = (href.replace("&amp;", "&"), title, aria[1] if aria else "")
    return parts


@pytest.mark.any_database
def test_titles_of_columns_lead_to_the_orders(stocks):
    client = superuser_client()
    first = headers(client.get(url(LIST), {"market__exact": "US"}).content.decode())
    assert first == {
        "Code": ("?market__exact=US", "By market and code", "ascending"),
        "Bars": ("?market__exact=US&o=bars", "Fewest bars first", ""),
        "First and last day": ("?market__exact=US&o=last_day", "Earliest last day first", ""),
    }
    answer = client.get(url(LIST) + first["Bars"][0])
    html = answer.content.decode()
    by_bars = headers(html)
    assert by_bars["Code"] == ("?market__exact=US", "By market and code", "")
    assert by_bars["Bars"] == ("?market__exact=US&o=-bars", "Most bars first", "ascending")
    assert ">(Fewest bars first)<" in html
    assert 'href="?o=bars&amp;market__exact=HK"' in html or 'href="?market__exact=HK&amp;o=bars"' in html
    assert '<input type="hidden" name="o" value="bars"' in html, "a search keeps the order"
    last = headers(client.get(url(LIST) + by_bars["Bars"][0]).content.decode())
    assert last["Bars"] == ("?market__exact=US&o=bars", "Fewest bars first", "descending")


@pytest.mark.usefixtures("without_html")
def test_page_reads_a_range_of_the_index_of_its_order(monkeypatch):
    monkeypatch.setattr("tasks_app.admin.stocks.admin.StockAdmin.list_per_page", 5)
    Stock.objects.bulk_create(
        Stock(market="US", code=f"S{n:03}", bars=n % 7, last_day=NEW if n % 7 else None) for n in range(300)
    )
    client = superuser_client()
    client.get(url(LIST))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE tasks_app_stock")
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    for order in ("bars", "-bars", "last_day", "-last_day"):
        index = f"stocks_by_{order.removeprefix('-')}"
        for place in ("", client.get(url(LIST), {"o": order}).context["cl"].page.after):
            with CaptureQueriesContext(connection) as caught:
                client.get(url(LIST), {"o": order, "after": place})
            read = [query["sql"] for query in caught if "former_names" in query["sql"]]
            assert read
            assert len(caught) <= 9
            for sql in read:
                plan = explain(sql)
                assert index in plan
                assert "Sort" not in plan
                assert "TEMP B-TREE" not in plan
                assert not place or ("Index Cond" in plan or "SEARCH" in plan)


def explain(sql):
    prefix = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{prefix} {sql}")
        return "\n".join(str(row) for row in cursor.fetchall())
