"""The start form: initial values, errors, starting, the code file, the search and the estimate."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from tasks_app import lifecycle
from tasks_app.admin.sources import descriptions
from tasks_app.market import calendars
from tasks_app.models import CollectionTask, Series, SourceGate, Stock, StockList
from tasks_app.orders import code_lists, estimates, order as orders
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle import source_list
from tasks_app.throttle.source_list import SourceEntry
from tasks_app.throttle.status import LimiterState, LimiterStatus
from tests.admin.helpers import TASKS, insert_ended, messages_of, staff_client, superuser_client, text_of, url
from tests.factories import ACTOR, TODAY, make_order, make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First, with_scripted_sources

pytestmark = pytest.mark.django_db


def make_post(**fields):
    """Returns the form as a browser posts it, for three stocks of the simulated exchange."""
    defaults = {
        "market": "SIM",
        "source": "simulated",
        "adjust": "",
        "start_date": "2024-01-01",
        "end_date": "2024-12-31",
        "scope": "some",
        "stock_codes": "000001 000002,000003",
        "key": "a-key",
        "start": "1",
    }
    return {name: value for name, value in {**defaults, **fields}.items() if value is not None}


def further(*rows):
    """Returns the parameters of tests that are for the soak: the suite has others that go the same way."""
    return [pytest.param(*row, marks=pytest.mark.soak) for row in rows]


def make_list(size=30, market="SIM", source="simulated"):
    """Stores a stock list of the market."""
    codes = [f"{n:06d}" for n in range(1, size + 1)]
    Stock.objects.bulk_create(
        Stock(market=market, code=code, name=f"平安{n}", exchange="SZSE") for n, code in enumerate(codes, 1)
    )
    synced_at = "2024-01-01T00:00:00Z"
    StockList.objects.create(market=market, source=source, size=size, codes=codes, synced_at=synced_at)


def upload(content, name="codes.csv"):
    return SimpleUploadedFile(name, content)


def test_form_starts_the_task_and_redirects_to_it():
    client = superuser_client()
    response = client.post(url("start"), make_post(test_mode="on", force_update="on"))
    task = CollectionTask.objects.get()
    assert response.url == url(f"{TASKS}_change", task.pk)
    assert messages_of(response) == f"Task {str(task.pk)[:8]} was started. It collects 3 stocks."
    assert (task.market, task.source, task.stock_codes) == (
        "SIM",
        "simulated",
        ["000001", "000002", "000003"],
    )
    assert (task.start_date, task.end_date) == (date(2024, 1, 1), date(2024, 12, 31))
    assert (task.test_mode, task.full_collection_mode, task.force_update) == (True, False, True)
    event = task.events.first()
    assert (event.kind, event.user_name, event.channel) == ("started", "root", "admin")


def test_whole_market_start_reads_the_list_first():
    response = superuser_client().post(url("start"), make_post(scope="all", stock_codes="000001"))
    assert CollectionTask.objects.get().stock_codes is None
    assert "It reads the stock list first." in messages_of(response)


def test_second_press_starts_nothing_more_and_a_changed_form_needs_another():
    client = superuser_client()
    first = client.post(url("start"), make_post())
    second = client.post(url("start"), make_post())
    assert first.url == second.url
    assert CollectionTask.objects.count() == 1
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    response = client.post(url("start"), make_post(end_date="2024-06-30"))
    assert "Press again to start another one." in text_of(response)
    key = response.context["form"]["key"].value()
    assert key != "a-key"
    assert client.post(url("start"), make_post(end_date="2024-06-30", key=key)).status_code == 302


def test_error_is_at_its_field_and_input_is_kept():
    client = superuser_client()
    wrong = {"market": "US", "source": "sample", "adjust": "qfq"}
    for fields, field, sentence in (
        ({"end_date": "2023-01-01"}, "end_date", "The last day is before the first one."),
        ({"start_date": "2199-01-01", "end_date": "2199-01-02"}, "start_date", "is in the future"),
        ({"source": "sample"}, "market", "does not support the market SIM"),
        (wrong, "adjust", "does not support the adjustment"),
        ({"stock_codes": "6000/0"}, "stock_codes", "Malformed stock codes: “6000/0”"),
    ):
        posted = make_post(**fields)
        response = client.post(url("start"), posted)
        form = response.context["form"]
        assert response.status_code == 200
        assert sentence in form.errors[field][0]
        assert sentence in text_of(response).replace("&#x27;", "'")
        assert {name: form[name].value() for name in posted if name != "start"} == {
            name: value for name, value in posted.items() if name != "start"
        }
    assert not CollectionTask.objects.exists()


@pytest.mark.usefixtures("without_html")
def test_all_errors_are_shown_at_once():
    fields = {"source": "gone", "start_date": "soon", "scope": "some", "stock_codes": " ,， \n"}
    response = superuser_client().post(url("start"), make_post(**fields))
    errors = response.context["form"].errors
    assert {field: words[0].split(".")[0] for field, words in errors.items()} == {
        "source": "Select a valid choice",
        "start_date": "Enter a valid date",
        "stock_codes": "Name at least one stock, or choose the whole market",
    }


@pytest.mark.usefixtures("without_html")
def test_unknown_codes_alone_are_an_error_of_the_field():
    make_list()
    response = superuser_client().post(url("start"), make_post(stock_codes="999999"))
    assert "None of these stock codes is known" in response.context["form"].errors["stock_codes"][0]


def test_unknown_codes_are_left_out_and_named():
    make_list()
    client = superuser_client()
    response = client.post(url("start"), make_post(stock_codes="000001 999999"))
    assert "1 code is unknown in this market and left out: 999999" in messages_of(response)
    assert CollectionTask.objects.get().stock_codes == ["000001"]


def test_running_task_disables_the_button_unless_the_order_is_to_wait():
    running = make_task()
    client = superuser_client()
    response = client.get(url("start"))
    assert url(f"{TASKS}_change", running.pk) in response.content.decode()
    assert "only one runs at a time" in text_of(response)
    assert start_button(response).endswith("data-running disabled")
    ticked = client.post(url("start"), make_post(queue="on", start=None))
    assert not start_button(ticked).endswith("disabled")
    assert "Queue the order" in text_of(ticked)


def start_button(response):
    """Returns the attributes of the page's button that starts the collection."""
    (found,) = re.findall(r'<button id="ss-start"([^>]*)>', response.content.decode())
    return " ".join(found.split())


def test_start_while_a_task_runs_keeps_the_form():
    running = make_task()
    response = superuser_client().post(url("start"), make_post())
    assert f"A task is already running: {running.pk}" in text_of(response)
    assert response.context["form"]["stock_codes"].value() == "000001 000002,000003"
    assert CollectionTask.objects.count() == 1


def test_start_without_csrf_token_is_rejected():
    client = superuser_client()
    client.handler.enforce_csrf_checks = True
    assert client.post(url("start"), make_post()).status_code == 403
    assert not CollectionTask.objects.exists()


@pytest.mark.parametrize(
    "button",
    [{"check": "1"}, *further(({"preset": "5y"},), ({},))],
)
@pytest.mark.usefixtures("without_html")
def test_only_the_start_button_starts(button):
    response = superuser_client().post(url("start"), {**make_post(start=None), **button})
    assert response.status_code == 200
    assert not CollectionTask.objects.exists()


@pytest.mark.usefixtures("without_html")
def test_preset_fills_in_the_dates_without_a_script():
    form = superuser_client().post(url("start"), make_post(start=None, preset="all")).context["form"]
    assert form["start_date"].value() == "1990-12-19"
    assert form["stock_codes"].value() == "000001 000002,000003"


@pytest.mark.parametrize(
    ("preset", "start"),
    [
        *further(("1y", "2012-03-01")),
        ("5y", "2008-03-01"),
        ("all", "2000-03-01"),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_presets_of_a_source_whose_data_ended_have_quotes(preset, start):
    post = make_post(start=None, preset=preset, market="US", source="sample", stock_codes="AAPL")
    context = superuser_client().post(url("start"), post).context
    shown = [context["form"][name].value() for name in ("start_date", "end_date")]
    assert shown == [start, "2013-03-01"]
    sent = next(one for one in context["presets"] if one["name"] == preset)
    assert [day.isoformat() for day in sent["of_sources"]["sample"]] == shown
    assert "simulated" not in sent["of_sources"]


# ---------------------------------------------------------------- initial values


def form_values(client, query=""):
    form = client.get(f"{url('start')}{query}").context["form"]
    return {name: form[name].value() for name in form.fields}


def test_form_of_a_new_site_has_the_default_source():
    page = superuser_client().get(url("start"))
    values = {field.name: field.value() for field in page.context["form"]}
    assert (values["source"], values["market"], values["scope"]) == ("sample", "US", "all")
    assert (values["start_date"], values["end_date"]) == (date(2000, 3, 1), date(2013, 3, 1))
    assert "Paused until" not in text_of(page)


@pytest.mark.usefixtures("without_html")
def test_form_repeats_the_newest_task_for_one_year(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    insert_ended("completed", source="first", adjust="qfq")
    values = form_values(superuser_client())
    assert (values["source"], values["market"], values["adjust"]) == ("first", "CN", "qfq")
    assert 364 <= (values["end_date"] - values["start_date"]).days <= 366


@pytest.mark.usefixtures("without_html")
def test_form_takes_the_parameters_of_an_earlier_task():
    old = insert_ended("failed", adjust="hfq", force_update=True)
    values = form_values(superuser_client(), f"?from={old.pk}")
    assert (values["start_date"], values["end_date"]) == (date(2024, 1, 1), date(2024, 12, 31))
    assert (values["adjust"], values["force_update"], values["test_mode"]) == ("hfq", True, False)
    assert (values["scope"], values["stock_codes"]) == ("some", "000001")


@pytest.mark.usefixtures("without_html")
def test_form_never_proposes_made_up_quotes_by_itself():
    insert_ended("completed")
    client = superuser_client()
    assert form_values(client)["source"] == "sample"
    assert form_values(client, "?market=US")["source"] == "sample"
    values = form_values(client, "?market=SIM")
    assert (values["market"], values["source"]) == ("SIM", "simulated")


def test_market_without_a_source_is_left_without_one(monkeypatch):
    sources = {name: registry.load(registry.BUILT_IN[name]) for name in ("sample", "simulated")}
    monkeypatch.setattr(registry, "available", lambda conf: sources)
    client = superuser_client()
    values = form_values(client, "?market=CN")
    assert (values["market"], values["source"]) == ("CN", "")
    page = client.post(url("start"), make_post(market="CN", source=None))
    text = text_of(page)
    assert "No available source has real quotes of the market CN." in text
    assert not CollectionTask.objects.exists()


def test_form_refuses_made_up_quotes_of_a_real_market():
    page = superuser_client().post(url("start"), make_post(market="CN"))
    assert "The source “simulated” does not support the market CN, only SIM." in text_of(page)
    assert not CollectionTask.objects.exists()


@pytest.mark.parametrize(
    "query",
    [*further(("?from=x",)), "?from=00000000-0000-4000-8000-000000000000"],
)
@pytest.mark.usefixtures("without_html")
def test_missing_earlier_task_is_ignored(query):
    assert form_values(superuser_client(), query)["source"] == "sample"


@pytest.mark.usefixtures("without_html")
def test_earlier_task_needs_the_view_permission():
    old = insert_ended("failed")
    assert form_values(staff_client("start_task"), f"?from={old.pk}")["stock_codes"] == ""


@pytest.mark.usefixtures("without_html")
def test_codes_come_from_the_query_string():
    values = form_values(superuser_client(), "?market=SIM&source=simulated&codes=600000,600519")
    assert (values["market"], values["scope"], values["stock_codes"]) == ("SIM", "some", "600000 600519")


@pytest.mark.parametrize(
    ("days", "are_taken"),
    [
        ("2024-01-02/2024-01-07", True),
        ("2024-01-02/", False),
        *further(("soon/later", False)),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_days_come_from_the_query_string(days, are_taken):
    start, end = days.split("/")
    values = form_values(superuser_client(), f"?source=sample&start_date={start}&end_date={end}&adjust=x")
    assert (values["start_date"] == date(2024, 1, 2)) is are_taken
    assert (values["end_date"] == date(2024, 1, 7)) is are_taken
    assert values["adjust"] == ""


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("600000\n600519\n", ["600000", "600519"]),
        ("600000, 600519，000001", ["600000", "600519", "000001"]),
        ("code,name,price\n600000,浦发银行,10.2\n600519,贵州茅台,1700\n", ["600000", "600519"]),
        ("名称\t证券代码\n浦发银行\t600000\n", ["600000"]),
        ("600000,浦发银行\n600519,贵州茅台\n", ["600000", "600519"]),
        ("AAPL;BRK.B;MSFT", ["AAPL", "BRK.B", "MSFT"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_code_file_is_read(content, codes, encoding):
    assert code_lists.parse_file(content.encode(encoding)) == codes


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", code_lists.EmptyList),
        (b" \n\n", code_lists.EmptyList),
        (b"PK\x03\x04\x00\x00", code_lists.NotAList),
        (b"\xff\xff\xff", code_lists.NotAList),
        (b"1" * (code_lists.MAX_BYTES + 1), code_lists.FileTooLarge),
    ],
)
def test_file_without_a_list_is_rejected(content, error):
    with pytest.raises(error):
        code_lists.parse_file(content)


def test_file_alone_selects_its_stocks():
    file = upload("代码,名称\n600000,浦发银行\n".encode("gbk"))
    superuser_client().post(url("start"), make_post(scope="all", stock_codes="", file=file))
    assert CollectionTask.objects.get().stock_codes == ["600000"]


@pytest.mark.usefixtures("without_html")
def test_file_codes_are_kept_when_the_form_has_errors():
    file = upload(b"600000\n000001\n")
    form = superuser_client().post(url("start"), make_post(end_date="2020-01-01", file=file)).context["form"]
    assert form["stock_codes"].value() == "000001 000002 000003 600000"
    assert form["scope"].value() == "some"


@pytest.mark.usefixtures("without_html")
def test_large_file_is_an_error_of_its_field():
    file = upload(b"600000\n" * 80_000)
    form = superuser_client().post(url("start"), make_post(file=file)).context["form"]
    assert "larger than 500 kB" in form.errors["file"][0]


def test_file_endpoint_returns_codes_or_a_problem():
    client = superuser_client()
    assert client.post(url("start_file"), {"file": upload(b"600000\n")}).json() == {"codes": ["600000"]}
    refused = client.post(url("start_file"), {"file": upload(b"\x00")})
    assert "Save the sheet as CSV" in refused.json()["problem"]
    assert client.post(url("start_file")).json() == {"problem": "The file contains no stock codes."}
    assert client.get(url("start_file")).status_code == 405


# ---------------------------------------------------------------- the search


def search(client, **query):
    return json.loads(client.get(url("start_stocks"), query).content)


def test_search_matches_code_prefix_and_part_of_name():
    make_list(2)
    Stock.objects.create(market="SIM", code="600000", name="浦发银行", exchange="SSE")
    Stock.objects.create(market="SIM", code="600519", name="含0000的名")
    Stock.objects.create(market="HK", code="00001", name="长和")
    client = superuser_client()
    assert [stock["code"] for stock in search(client, market="SIM", q="0000")["stocks"]] == [
        "000001",
        "000002",
        "600519",
    ]
    assert search(client, market="SIM", q="浦发") == {
        "stocks": [{"code": "600000", "name": "浦发银行", "exchange": "SSE"}],
        "more": False,
    }


def test_empty_search_finds_nothing():
    make_list(3)
    client = superuser_client()
    for query in ({"market": "SIM", "q": ""}, {"market": "XX", "q": "0"}, {"q": "0"}, {}):
        assert search(client, **query) == {"stocks": [], "more": False}, query


def test_search_is_limited_and_says_so():
    make_list(40)
    found = search(superuser_client(), market="SIM", q="0000")
    assert (len(found["stocks"]), found["more"]) == (20, True)


# ---------------------------------------------------------------- the estimate


def estimate_text(client, **fields):
    return text_of(client.post(url("start_estimate"), make_post(start=None, **fields)))


def test_estimate_without_list_and_speed_is_unknown():
    text = estimate_text(superuser_client(), scope="all")
    assert "known once the source’s stock list is read" in text
    assert "Duration unknown" in text
    assert "its speed is unknown" in text


def test_estimate_counts_the_codes():
    assert "Stocks 3 Requests at most 3" in estimate_text(superuser_client())


def test_estimate_counts_the_list_after_the_modes():
    make_list(30)
    for stock in Stock.objects.filter(code__lte="000010"):
        key = {"market": stock.market, "symbol": stock.code}
        Series.objects.create(**key, full_at="2024-01-01T00:00:00Z")
        Series.objects.create(**key, adjust="qfq")  # not full in this adjustment
    client = superuser_client()
    assert "Stocks 30 Requests at most 31" in estimate_text(client, scope="all")
    assert "Stocks 20 " in estimate_text(client, scope="all", full_collection_mode="on")
    assert "Stocks 5 " in estimate_text(client, scope="all", test_mode="on")


def test_estimate_follows_the_last_tasks():
    done = insert_ended("completed")
    CollectionTask.objects.filter(pk=done.pk)
    order = orders.resolve(make_order(stock_codes=("1", "2")), TODAY, make_conf())
    estimate = estimates.estimate(order, make_conf())
    assert estimate.tasks == 1
    assert estimate.low < estimate.high


def test_estimate_ignores_a_single_outlier():
    ended = timezone.now()
    for seconds in (100, 100, 110, 110, 10_000):
        start = ended - timedelta(seconds=seconds)
        done = {"total_stocks": 100, "processed_stocks": 100, "success_count": 100, "status": "completed"}
        when = {"start_time": start, "planned_at": start, "end_time": ended}
        order = {"source": "simulated", "market": "SIM", "start_date": "2024-01-01", "end_date": "2024-01-02"}
        CollectionTask.objects.create(**order, **done, **when)
    order = orders.resolve(make_order(stock_codes=tuple(map(str, range(1, 101)))), TODAY, make_conf())
    estimate = estimates.estimate(order, make_conf())
    assert (estimate.tasks, estimate.low) == (5, timedelta(seconds=80))
    assert estimate.high == timedelta(seconds=137.5)
    assert "Based on the last 5 runs of this source." in estimate_text(superuser_client())


def test_paused_source_shows_end_and_reason(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, rates=(("simulated", 0.5),), no_throttle=False)
    until = datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC)
    SourceGate.objects.create(source="simulated", open_until=until, reason="too many <requests>")
    client = superuser_client()
    for language, text in {
        "en": "Paused until 2999-01-02 03:04:05 UTC: too many <requests>",
        "zh-hans": "暂停至 2999-01-02 11:04:05 北京时间：too many <requests>",
    }.items():
        with translation.override(None):  # it would stay for the next one
            page = client.get(url("start"), headers={"Accept-Language": language})
        assert text in unescape(text_of(page))


def make_conf(**fields):
    from tasks_app.conf import Conf

    return Conf(**fields)


def test_estimate_respects_the_rate_limits():
    conf = make_conf(rates=(("simulated", 0.5),))
    order = orders.resolve(make_order(stock_codes=tuple(map(str, range(1, 101)))), TODAY, conf)
    assert estimates.estimate(order, conf).low == timedelta(seconds=200)
    capped = make_conf(daily_caps=(("simulated", 40),))
    assert estimates.estimate(order, capped).low == timedelta(days=2)


def test_estimate_without_history_says_at_least():
    make_list(30, "CN", "akshare")
    text = estimate_text(
        superuser_client(), market="CN", source="akshare", scope="all", adjust="qfq", start_date="2015-01-01"
    )
    assert "Duration at least 2 min" in text


@pytest.mark.parametrize(("force", "tasks"), [(False, 1), (True, 0)])
def test_estimate_of_a_forced_update_ignores_other_tasks(force, tasks):
    insert_ended("completed")
    order = orders.resolve(make_order(stock_codes=("1", "2"), force_update=force), TODAY, make_conf())
    assert estimates.estimate(order, make_conf()).tasks == tasks


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        (Limits(rate=0.5), 200),
        (Limits(per_minute=30), 180),
        (Limits(per_hour=50, per_minute=30), 3600),
        (Limits(daily=40), 172_800),
        (Limits(), 0),
    ],
)
def test_limits_leave_time_for_so_many_requests(limits, seconds):
    assert estimates.least_seconds(100, limits) == seconds


@pytest.mark.usefixtures("without_html")
def test_fallbacks_are_chosen_on_the_form(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    client = superuser_client()
    fields = {"market": "CN", "source": "first", "fallbacks": "second > third"}
    client.post(url("start"), make_post(**fields))
    assert CollectionTask.objects.get().fallbacks == ["second", "third"]
    again = client.get(url("start"), {"from": CollectionTask.objects.get().pk})
    assert again.context["form"]["fallbacks"].value() == "second, third"


@pytest.mark.usefixtures("without_html")
def test_unfit_fallback_is_an_error_of_its_field(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    fields = {"market": "CN", "source": "first", "fallbacks": "sample"}
    response = superuser_client().post(url("start"), make_post(**fields))
    assert "does not support the market CN" in response.context["form"].errors["fallbacks"][0]


def test_estimate_shows_the_errors():
    assert "The last day is before the first one." in estimate_text(superuser_client(), end_date="2020-01-01")


def test_estimate_names_the_running_task():
    make_task()
    assert "only one runs at a time" in estimate_text(superuser_client())


def test_page_and_estimate_take_few_queries():
    make_list(30)
    insert_ended("completed")
    client = superuser_client()
    client.get(url("start"))
    with CaptureQueriesContext(connection) as page:
        client.get(url("start"))
    with CaptureQueriesContext(connection) as estimate:
        client.post(url("start_estimate"), make_post())
    assert (len(page), len(estimate)) <= (10, 7)
    assert len(estimate) <= 7


@pytest.fixture
def at_shanghai(settings, monkeypatch):
    """Returns what makes it a time in Shanghai; `first` has a day's bars from 17:30 on."""
    settings.COLLECTOR = with_scripted_sources(
        settings.COLLECTOR, monkeypatch, daily_caps=(("first", 5000),), rates=(("first", 0.5),)
    )
    monkeypatch.setattr(First, "first_day", date(2007, 1, 4), raising=False)
    monkeypatch.setattr(First, "ready_at", time(17, 30), raising=False)
    monkeypatch.setattr(First, "calendar", True)
    registry.traits.cache_clear()
    in_markets = {name: getattr(calendars, name) for name in ("last_closed_day", "last_day_ready_at")}

    def set_time(text):
        now = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
        for name, find in in_markets.items():
            monkeypatch.setattr(calendars, name, partial(find, now=now))

    return set_time


def test_sources_say_what_they_have_how_fast_and_of_which_days(settings, at_shanghai):
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=False)
    at_shanghai("2026-09-30 18:00")
    shown = text_of(superuser_client().get(url("start")))
    days = "from 2007-01-04, due up to 2026-09-30, a day’s bars from 17:30 on (Beijing time)"
    limits = "1 request every 2 s, 5,000 a day 60 stocks: at least 2 min, 5,000 left today"
    assert " ".join(("stock list, bars by stock", days, limits)) in shown


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-09-30 17:29", date(2026, 9, 29)),  # not yet ready
        ("2026-09-30 17:30", date(2026, 9, 30)),
        ("2026-10-05 12:00", date(2026, 9, 30)),  # the National Day holidays
    ],
)
def test_newest_day_of_a_source_is_a_session_that_is_ready(at_shanghai, moment, day):
    at_shanghai(moment)
    assert descriptions.newest_day("first", calendars.load_calendars()["CN"]) == day


@pytest.mark.parametrize(
    ("moment", "is_first"),
    [
        ("2026-09-30 10:00", True),  # before the close of a session
        ("2026-10-05 12:00", False),  # the National Day holidays
        ("2024-02-29 12:00", False),  # a year before has no such day
        *further(
            ("2026-09-30 18:00", True),  # after the close
            ("2026-09-30 18:00", False),
            ("2026-09-26 12:00", False),  # a Saturday
            ("2026-09-27 23:59", True),  # a Sunday
            ("2026-02-18 09:00", False),  # the Spring Festival
            ("2026-01-01 00:30", False),  # a new year
        ),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_proposed_days_contain_the_newest_session_that_is_due(at_shanghai, monkeypatch, moment, is_first):
    if not is_first:
        insert_ended("completed", source="first")
    at_shanghai(moment)
    now = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    monkeypatch.setattr(timezone, "now", lambda: now)
    context = superuser_client().get(f"{url('start')}?source=first").context
    first, last = (context["form"][name].value() for name in ("start_date", "end_date"))
    assert (
        first
        <= descriptions.newest_day("first", calendars.load_calendars()["CN"])
        <= last
        == timezone.localdate()
    )
    assert (last - first).days >= 364
    preset = next(one for one in context["presets"] if one["name"] == ("all" if is_first else "1y"))
    assert (first, last) == (preset["start"], preset["end"])
    assert "problems" not in context


@pytest.mark.parametrize(
    ("ahead", "goes_on", "is_first"),
    [
        (0, True, False),
        (-30, False, False),
        *further((30, True, False), (30, True, True), (0, True, True), (-30, False, True)),
    ],
)
@pytest.mark.usefixtures("without_html")
def test_proposed_days_are_those_of_a_preset(settings, monkeypatch, ahead, goes_on, is_first):
    """A source whose data end later has bars of today: its last day is not proposed before it is there."""
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    today = timezone.localdate()
    monkeypatch.setattr(First, "last_day", today + timedelta(days=ahead), raising=False)
    registry.traits.cache_clear()
    if not is_first:
        insert_ended("completed", source="first")
    context = superuser_client().get(f"{url('start')}?source=first").context
    name = "all" if is_first or not goes_on else "1y"
    preset = next(one for one in context["presets"] if one["name"] == name)
    shown = [context["form"][field].value() for field in ("start_date", "end_date")]
    assert shown == [preset["start"], preset["end"]]
    assert shown[1] == (today if goes_on else today + timedelta(days=ahead))


def test_markets_with_different_newest_days_are_named(at_shanghai, monkeypatch):
    at_shanghai("2026-10-05 12:00")
    monkeypatch.setattr(First, "markets", ("CN", "HK"))
    entry = source_list.describe("first", django_settings.COLLECTOR)
    assert "due up to CN 2026-09-30, HK " in descriptions.describe_days(entry, calendars.load_calendars())


@pytest.mark.parametrize(("used", "left"), [(40, "4,960"), (6000, "0")])
def test_allowance_is_what_is_left_of_the_day(used, left):
    entry = SourceEntry("first", limits=Limits(daily=5000, time_zone="Asia/Shanghai"))
    status = LimiterStatus("first", LimiterState.OPEN, requests_today=used)
    assert descriptions.describe_allowance(entry, status) == f"{left} left today (until 00:00 Beijing time)"


@pytest.mark.parametrize(
    ("limits", "batch_size", "words"),
    [
        (Limits(rate=2.0), 1, "60 stocks: at least 30 s"),
        (Limits(rate=2.0), 20, "60 stocks: at least 2 s"),
        (Limits(rate=2.0, per_hour=50), 1, "60 stocks: at least 60 min"),
        (Limits(), 1, ""),
        (Limits(daily=5000), 1, ""),
    ],
)
def test_speed_follows_the_limits(settings, monkeypatch, limits, batch_size, words):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    assert descriptions.describe_speed(SourceEntry("first", limits=limits, batch_size=batch_size)) == words


def test_source_without_its_token_says_so_and_is_refused(settings, monkeypatch):
    settings.COLLECTOR = scripted_sources.without_token(settings.COLLECTOR, monkeypatch)
    client, problem = superuser_client(), "Can&#x27;t be used. ValueError: VENDOR_TOKEN is not set"
    assert problem in text_of(client.get(url("start")))
    response = client.post(url("start"), make_post(market="CN", source="first"))
    assert "VENDOR_TOKEN is not set" in response.context["form"].errors["source"][0]
    assert not CollectionTask.objects.exists()


def test_source_that_refused_every_request_says_so(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    until = timezone.now() + timedelta(hours=1)
    gate = {"open_until": until, "reason": "Your token is wrong.", "refusal_code": "login_refused"}
    SourceGate.objects.create(source="first", refuses_all=True, **gate)
    shown = text_of(superuser_client().get(url("start")))
    assert "It refused every request: Your token is wrong. A new task asks it once more." in shown


@pytest.mark.usefixtures("without_html")
def test_benchmarks_are_added_without_a_script():
    post = make_post(start=None, preset="benchmarks", market="CN", source="csv", stock_codes="600519")
    form = superuser_client().post(url("start"), post).context["form"]
    codes = form["stock_codes"].value().split()
    assert codes[:3] == ["600519", "000001.SH", "399001.SZ"]
    assert form["scope"].value() == "some"


@pytest.mark.usefixtures("without_html")
def test_kind_that_the_source_lacks_is_an_error_at_its_field():
    response = superuser_client().post(url("start"), make_post(scope="all", stock_codes="", kind="index"))
    assert "has no list of this kind" in response.context["form"].errors["kind"][0]


def test_source_that_can_not_be_used_is_disabled_with_the_reason(monkeypatch):
    monkeypatch.setattr(registry, "missing_setting", lambda name, conf: "A_TOKEN" if name == "sample" else "")
    monkeypatch.setattr(registry, "why_unusable", lambda name, conf: "")
    page = superuser_client().get(url("start"))
    assert "Can't be used. It needs A_TOKEN." in unescape(text_of(page))
    radios = re.findall(r'<input type="radio"\s+name="source"[^>]+>', page.content.decode())
    is_disabled = {re.search('value="([^"]+)"', one)[1]: "disabled data-unusable" in one for one in radios}
    assert is_disabled == {name: name == "sample" for name in registry.available(django_settings.COLLECTOR)}
