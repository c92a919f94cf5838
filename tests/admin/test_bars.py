"""The lists of bars, corrections and findings."""

from datetime import date, timedelta

import pytest
from django.db import connection

from tasks_app.models import Correction, DailyBar, Finding
from tests.admin.helpers import insert_ended, superuser_client, text_of, url
from tests.factories import make_task

pytestmark = pytest.mark.django_db
BARS = "tasks_app_dailybar_changelist"


def make_bar(symbol="AAPL", day="2024-01-02", **fields):
    given = {"market": "US", "open": 10, "high": 12.5, "low": 9.25, "close": 11, "volume": 1234567}
    return DailyBar.objects.create(symbol=symbol, day=day, source="sample", **{**given, **fields})


def test_bars_are_sorted_by_code_and_newest_day():
    for symbol, day in (("MSFT", "2024-01-02"), ("AAPL", "2024-01-02"), ("AAPL", "2024-01-03")):
        make_bar(symbol, day)
    rows = superuser_client().get(url(BARS)).context["cl"].result_list
    assert [(bar.symbol, bar.day.day) for bar in rows] == [("AAPL", 3), ("AAPL", 2), ("MSFT", 2)]


@pytest.mark.usefixtures("without_html")
def test_bar_search_takes_exact_code_in_any_case():
    make_bar("AAPL")
    make_bar("AAPLX")
    client = superuser_client()
    assert [bar.symbol for bar in client.get(url(BARS), {"q": " aapl "}).context["cl"].result_list] == [
        "AAPL"
    ]
    assert not client.get(url(BARS), {"q": "AAP"}).context["cl"].result_list


@pytest.mark.usefixtures("without_html")
def test_bars_filter_by_market_and_adjustment():
    make_bar("000001", market="CN")
    make_bar("000001", market="CN", adjust="qfq")
    make_bar()
    client = superuser_client()
    assert client.get(url(BARS), {"market__exact": "CN"}).context["cl"].result_count == 2
    for value, adjust in (("qfq", "qfq"), ("none", "")):
        answer = client.get(url(BARS), {"q": "000001", "adjust__exact": value})
        assert [bar.adjust for bar in answer.context["cl"].result_list] == [adjust]


def test_adjustment_filter_needs_a_code():
    client = superuser_client()
    assert "By adjustment" in text_of(client.get(url(BARS), {"q": "AAPL"}))
    assert "By adjustment" not in text_of(client.get(url(BARS)))


def test_bars_of_a_code_filter_by_source_and_task():
    task, other = insert_ended("completed"), insert_ended("completed")
    items = [each.items.first().pk for each in (task, other)]
    make_bar("000001", market="CN", item_id=items[0])
    make_bar("000001", "2024-01-03", market="CN", item_id=items[1])
    DailyBar.objects.filter(day="2024-01-03").update(source="first")
    make_bar("000001", "2024-01-04", market="CN")
    client = superuser_client()

    def days(**query):
        changelist = client.get(url(BARS), query).context["cl"]
        return [bar.day.day for bar in changelist.result_list]

    assert days(q="000001") == [4, 3, 2]
    assert days(q="000001", source="first") == [3]
    assert days(q="000001", task__id__exact=task.pk) == [2]
    assert days(q="000001", task__id__exact=task.pk, source="first") == []
    assert days(q="000001", task__id__exact="no-task") == []
    assert days(source="first") == [], "without a code no index serves it"
    text = text_of(client.get(url(BARS), {"q": "000001"}))
    assert "By source" in text and "By task" in text
    assert "By task" not in text_of(client.get(url(BARS)))


def test_bars_of_a_code_are_found_by_the_unique_index():
    """Of twenty million bars a filter reads those of the code, whatever else it asks for."""
    task = make_task()
    rows = DailyBar.objects.filter(market__in=["CN", "HK", "US"], symbol__in=["AAPL"])
    for narrowed in (rows.filter(source="sample"), rows.filter(item__task_id=task.pk)):
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET enable_seqscan = off")  # the table is empty
        plan = narrowed.order_by("market", "symbol", "adjust", "-day")[:101].explain()
        assert "one_bar_per_day" in plan or "(market=? AND symbol=?)" in plan, plan


def test_item_leads_to_its_bars():
    task = make_task()
    item = task.items.first()
    make_bar(item.code, market="CN", item_id=item.pk)
    client = superuser_client()
    page = client.get(url("tasks_app_collectionitem_change", item.pk)).content.decode()
    address = f"{url(BARS)}?q={item.code}&amp;task__id__exact={task.pk}"
    assert address in page
    found = client.get(address.replace("&amp;", "&")).context["cl"].result_list
    assert [bar.symbol for bar in found] == [item.code]


def test_bar_shows_its_numbers():
    make_bar(change_pct=1.5, prev_close=None)
    text = text_of(superuser_client().get(url(BARS)))
    for words in ("10.00", "12.50", "9.25", "1,234,567", "+1.50%"):
        assert words in text


def test_bar_shows_its_prices_with_equal_decimals_in_list_and_page():
    bar = make_bar(close=11.1234)
    client = superuser_client()
    for page in (url(BARS), url("tasks_app_dailybar_change", bar.pk)):
        assert "10.0000" in text_of(client.get(page))


def test_list_of_bars_names_the_time_zone_once():
    make_bar("AAPL")
    make_bar("MSFT")
    page = superuser_client().get(url(BARS)).content.decode()
    head = page.partition("<thead>")[2].partition("</thead>")[0]
    assert "Source, time (UTC)" in head
    assert "</span></time>" not in page


def test_bar_without_amount_has_an_empty_cell():
    """The style sheet draws a dash in it on a wide page, and hides it on a phone."""
    make_bar(amount=None)
    assert '<td class="sc-n" data-l="Amount"></td>' in superuser_client().get(url(BARS)).content.decode()


def test_page_of_100_bars_weighs_less_than_120_kilobytes():
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(100)]
    for day in days:
        make_bar("000001", day, market="CN", amount=123456789012.5, change_pct=-10.01)
    page = superuser_client().get(url(BARS), {"q": "000001"}, headers={"Accept-Language": "zh-CN"})
    assert len(page.context["cl"].result_list) == len(days)
    assert len(page.content) <= 120_000


def test_bar_links_to_its_stock():
    make_bar("000001", market="CN", adjust="qfq")
    address = url("tasks_app_stock_of", "CN", "000001")
    assert f'href="{address}?adjust=qfq"' in superuser_client().get(url(BARS)).content.decode()


def test_bars_filter_by_days_only_with_a_code():
    for day in ("2024-01-02", "2024-01-03", "2024-01-04"):
        make_bar("AAPL", day)
    client, span = superuser_client(), {"since": "2024-01-03", "until": "2024-01-03"}
    assert client.get(url(BARS), {"q": "AAPL", **span}).context["cl"].result_count == 1
    assert client.get(url(BARS), span).context["cl"].result_count == 0
    assert client.get(url(BARS), {"adjust__exact": "none"}).context["cl"].result_count == 0
    assert client.get(url(BARS), {"q": "AAPL", "since": "nonsense"}).status_code == 302


def test_day_filter_keeps_filters_and_search():
    make_bar("AAPL")
    body = (
        superuser_client()
        .get(url(BARS), {"q": "AAPL", "market__exact": "US", "since": "2024-01-01"})
        .content.decode()
    )
    form = body[body.rindex("sc-period") :]
    form = form[: form.index("</form>")]
    for name, value in (("q", "AAPL"), ("market__exact", "US")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in form
    assert '<input type="date" name="since" value="2024-01-01">' in form


def test_corrections_and_findings_newest_first():
    item = make_task().items.first()
    for code in ("000001", "000002"):
        key = {"market": "CN", "symbol": code, "day": "2024-01-02", "item": item}
        Correction.objects.create(**key, before={"close": 1}, after={"close": 2}, source="sample")
        Finding.objects.create(**key, kind="flagged", code="odd", message="Odd.")
    client = superuser_client()
    for model in ("correction", "finding"):
        page = url(f"tasks_app_{model}_changelist")
        rows = client.get(page).context["cl"].result_list
        assert [row.symbol for row in rows] == ["000002", "000001"]
        assert [row.symbol for row in client.get(page, {"q": "000001"}).context["cl"].result_list] == [
            "000001"
        ]
        assert client.get(url(f"tasks_app_{model}_change", rows[0].pk)).status_code == 200
        assert "000002 CN · unadjusted" in text_of(client.get(page))
    kinds = client.get(url("tasks_app_finding_changelist"), {"kind__exact": "refused"})
    assert not kinds.context["cl"].result_list


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's planner")
def test_bars_page_reads_the_unique_index():
    bar = make_bar("A0", "2024-01-01")
    names = [field.column for field in DailyBar._meta.concrete_fields if not field.primary_key]
    copied = ", ".join({"symbol": "'A' || n", "day": "day + d"}.get(name, name) for name in names)
    with (
        connection.cursor() as cursor
    ):  # 28 days of 1,000 stocks; a model instance for each would take seconds
        cursor.execute(
            f"INSERT INTO tasks_app_dailybar ({', '.join(names)}) SELECT {copied} FROM tasks_app_dailybar,"
            " generate_series(1, 1000) AS n, generate_series(0, 27) AS d WHERE id = %s",
            [bar.pk],
        )
        cursor.execute("ANALYZE tasks_app_dailybar")
    client = superuser_client()
    for query in ({}, {"q": "A5"}, {"market__exact": "US"}):
        plan = client.get(url(BARS), query).context["cl"].queryset[:100].explain()
        assert "one_bar_per_day" in plan
        assert "Seq Scan" not in plan


@pytest.mark.usefixtures("without_html")
def test_findings_and_corrections_are_filtered_by_task():
    mine, other = insert_ended("completed"), insert_ended("completed")
    key = {"market": "SIM", "symbol": "000001", "day": "2024-01-02"}
    for task in (mine, other):
        item = task.items.get()
        Finding.objects.create(**key, item=item, kind="refused", code="bad_volume", message="Bad.")
        Correction.objects.create(**key, item=item, source="simulated")
    client = superuser_client()
    for model in ("finding", "correction"):

        def rows(model=model, **query):
            answer = client.get(url(f"tasks_app_{model}_changelist"), query)
            return list(answer.context["cl"].result_list)

        assert [row.item.task_id for row in rows(task__id__exact=mine.pk)] == [mine.pk]
        assert len(rows()) == 2
        assert rows(task__id__exact="nonsense") == []


def test_filter_by_task_uses_an_index():
    for table in (Finding, Correction):
        rows = table.objects.filter(item__task_id=insert_ended("completed").pk).order_by("-id")[:100]
        assert "_by_item" in rows.explain() or connection.vendor == "postgresql"  # which scans small tables


def test_difference_is_titled_and_told_in_words():
    key = {
        "market": "CN",
        "symbol": "000001",
        "day": "2024-01-02",
        "kind": "differs",
        "code": "value_differs",
    }
    sources = {
        "source": "drill",
        "other_source": "csv",
        "values": {"close": 2.5},
        "other_values": {"close": 3},
    }
    row = Finding.objects.create(**key, **sources, message="Old.", params={"source": "drill", "other": "csv"})
    client, page = superuser_client(), url("tasks_app_finding_change", row.pk)
    response = client.get(page)
    assert response.context["title"] == "000001 · 2024-01-02 · differs"
    assert "value_differs" not in str(response.context["breadcrumbs"])
    assert "close: 2.5 (drill), 3 (csv)" in text_of(response)
    assert "收盘价：2.5（drill），3（csv）" in text_of(
        client.get(page, headers={"Accept-Language": "zh-hans"})
    )


def test_finding_shows_the_values_of_its_bar():
    item = insert_ended("completed").items.get()
    key = {"market": "SIM", "symbol": "000001", "item": item, "kind": "refused", "message": "Old."}
    params = {"volume": "-1"}
    values = {"open": 10.5, "volume": -1, "amount": None}
    Finding.objects.create(**key, day="2024-01-02", code="bad_volume", params=params, values=values)
    Finding.objects.create(**key, day="2024-01-03", code="bad_volume")
    text = text_of(superuser_client().get(url("tasks_app_finding_changelist")))
    assert "open 10.5; volume -1" in text
    assert "2024-01-02: the volume -1 is not a valid number of shares." in text
    assert "Old." in text and "not recorded" in text
