"""The coverage page: what is stored by month, and an area of missing days that is collected."""

from datetime import date

import pytest

from tasks_app.models import CollectionTask, Series, Stock
from tasks_app.sources.market_time import market_today
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.factories import make_task

pytestmark = pytest.mark.django_db
AREA = {"market": "SIM", "adjust": "", "since": "2024-02", "until": "2024-03", "source": "simulated"}
WINDOW = "?market=SIM&since=2024-01&until=2024-04"


@pytest.fixture
def client(own_cache):
    for n in range(1, 28):
        Stock.objects.create(market="SIM", code=f"{n:06d}", name=f"S{n} <b>", exchange="SIM")
    Series.objects.create(
        market="SIM",
        symbol="000001",
        bars=43,
        first_day=date(2024, 1, 1),
        last_day=date(2024, 2, 29),
        covered=[["2024-01-01", "2024-02-29"]],
        months="2024-01:nk",
    )
    return staff_client("view_stock", "start_task", "view_collectiontask")


def test_page_opens_on_the_newest_months_that_have_bars(client):
    Series.objects.update(first_day=date(2018, 1, 1), last_day=date(2020, 2, 29))
    page = client.get(url("coverage") + "?market=SIM")
    assert page.context["window"].data["until"] == "2020-02"
    assert page.context["window"].data["since"] == "2017-03"
    Series.objects.update(last_day=market_today("SIM"))
    page = client.get(url("coverage") + "?market=SIM")
    assert page.context["window"].data["until"] == f"{market_today('SIM'):%Y-%m}"


def post(client, **fields):
    return client.post(url("coverage") + WINDOW, {**AREA, **fields})


def test_boards_link_to_their_stocks(client):
    page = client.get(url("coverage") + WINDOW)
    html = page.content.decode()
    assert 'data-key="SIM"' in html
    assert "SIM, 2024-03: 0 of 567 expected bars; still to be collected: 567" in html
    assert 'colspan="4"' in html
    assert "board=SIM" in html


def test_stocks_of_a_board_are_paged(client):
    first = client.get(url("coverage") + WINDOW + "&board=SIM")
    html = first.content.decode()
    assert (html.count("data-key="), "S1 &lt;b&gt;" in html, "after=000025" in html) == (25, True, True)
    assert "000001 S1 &lt;b&gt;, 2024-02: 20 of 21 expected bars; reason not recorded: 1" in html
    last = client.get(url("coverage") + WINDOW + "&board=SIM&after=000025").content.decode()
    assert (last.count("data-key="), "First page" in last, "Next page" in last) == (2, True, False)


def test_malformed_address_still_shows_a_page(client):
    for query in (
        *("?market=XX", "?since=x", "?market=CN", "?since=2024-01&until=2023-01", "?since=1990-01"),
        "?board=no",
    ):
        assert client.get(url("coverage") + query).status_code == 200, query


def test_cost_is_told_before_anything_starts(client):
    text = text_of(post(client, codes="000001 000002", check="1"))
    assert "2 stocks, 63 days missing, at most 2 requests" in text
    assert "2024-02-01 – 2024-03-29 , from simulated" in text
    part = text_of(post(client, codes="000001", part="1"))
    assert "1 stock, 21 days missing" in part
    assert "Stored data" not in part
    assert not CollectionTask.objects.exists()


def test_missing_days_are_collected_for_exactly_those_stocks(client):
    response = post(client, boards=["SIM"], until="2024-02", start="1")
    task = CollectionTask.objects.get()
    assert str(task.pk) in response.url
    assert "missing days of 26 stocks" in messages_of(response)
    assert (task.stock_codes[0], len(task.stock_codes)) == ("000002", 26)
    assert (task.start_date, task.end_date, task.force_update) == (date(2024, 2, 1), date(2024, 2, 29), False)
    assert (task.events.first().channel, task.events.first().user_name) == ("admin", "staff")


def test_nothing_missing_starts_nothing(client):
    text = text_of(post(client, codes="000001", until="2024-02", start="1"))
    assert "Nothing is missing here" in text
    assert not CollectionTask.objects.exists()


def test_running_task_refuses_a_second_one(client):
    running = make_task()
    text = text_of(post(client, codes="000002", start="1"))
    assert "A task is already running" in text
    assert "only one runs at a time" in text_of(post(client, codes="000002", part="1"))
    assert CollectionTask.objects.get() == running


@pytest.mark.parametrize(
    "button", ["start", *(pytest.param(n, marks=pytest.mark.soak) for n in ("check", "part"))]
)
def test_invalid_area_is_a_sentence(client, button):
    for fields, words in (
        ({"until": "2024-01"}, "The last month is before the first one."),
        ({"since": "2004-01"}, "Choose at most 120 months."),
        ({"codes": "a/b"}, "Malformed stock codes"),
        ({"source": "nobody"}, "Select a valid choice. nobody is not"),
        ({"boards": ["no"]}, "Select a valid choice. no is not"),
    ):
        assert words in text_of(post(client, **fields, **{button: "1"}))
    assert not CollectionTask.objects.exists()


def test_readers_see_the_map_and_start_nothing(client):
    reader = staff_client("view_stock", name="reader")
    html = reader.get(url("coverage") + WINDOW).content.decode()
    assert "hm-table" in html
    assert "hm-form" not in html
    assert post(reader, start="1").status_code == 403
