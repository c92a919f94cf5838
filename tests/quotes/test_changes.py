"""Numbered changes, and what was known at an earlier moment."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from threading import Event, Thread

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections, transaction

from tasks_app import errors
from tasks_app.db import triggers
from tasks_app.db.recorded_tables import NOT_RECORDED, RECORDED
from tasks_app.history import retention
from tasks_app.history.change_feed import changes_since
from tasks_app.history.versions import known_bars, known_rows, moment_of, read_numbers
from tasks_app.market import calendar_corrections, calendars
from tasks_app.models import (
    BarVersion,
    CalendarDay,
    Change,
    CodeChange,
    CorporateAction,
    DailyBar,
    RowVersion,
    Series,
    Stock,
)
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.upsert import Provenance, upsert_bars
from tasks_app.sources.base import Bar, CorporateAction as Action, CorporateActions, Factor, Request
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_user, settle
from tests.fakes.recording_source import sessions, set_bars
from tests.quotes.helpers import DAY, FIRST, LAST, change_bar, collect

pytestmark = pytest.mark.django_db
PATH = f"{BASE}/quotes/CN/600000"


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def feed(since):
    return changes_since(since, 1000)["changes"]


def kinds(since):
    return [(row["kind"], row["code"], row["first_day"], row["last_day"], row["rows"]) for row in feed(since)]


def at(number):
    return moment_of(str(number))


def bars(*days, close=10.0):
    return [Bar(date(2024, 3, day), close, close, close, close, 100) for day in days]


def store(*days, item=1, **fields):
    request = Request("CN", "600000", date(2024, 3, 1), date(2024, 3, 31))
    upsert_bars(request, Provenance("recording", item), bars(*days, **fields))
    return settle()


def test_every_table_is_recorded_or_says_why_not():
    ours = {model.__name__ for model in apps.get_app_config("tasks_app").get_models()}
    recorded = {each.model for each in RECORDED}
    assert recorded | NOT_RECORDED.keys() == ours
    assert not recorded & NOT_RECORDED.keys()
    assert all(NOT_RECORDED.values())


@pytest.mark.usefixtures("recording_source")
def test_read_as_of_gives_the_same_bytes_before_and_after_a_correction(client):
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    number = settle()
    then = [f"{PATH}?as_of={number}&limit=1000", f"{PATH}?as_of={number}&format=csv"]
    before = [client.get(path).getvalue() for path in then]
    assert client.get(f"{PATH}?limit=1000").content == before[0]
    change_bar(close=10.05, volume=2_000)
    collect(force_update=True)
    settle()
    assert [client.get(path).getvalue() for path in then] == before
    assert client.get(f"{PATH}?limit=1000").content != before[0]


@pytest.mark.usefixtures("recording_source")
def test_new_bars_are_one_change_and_corrections_another():
    first = settle()
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    second = settle()
    bar_changes = [row for row in kinds(first) if row[0] == "bar"]
    assert bar_changes == [("bar", "600000", FIRST, LAST, 21)]
    change_bar(close=10.05)
    change_bar(day=LAST, close=10.05)
    collect(force_update=True)
    settle()
    assert kinds(second) == [("correction", "600000", DAY, LAST, 2)]


def test_bars_between_stored_ones_are_taken_back_alone():
    store(4, 6, 11)
    number = settle()
    store(1, 5, 7, 8, 12, item=2)
    assert [row[2:] for row in kinds(number)] == [
        (date(2024, 3, 1), date(2024, 3, 1), 1),
        (date(2024, 3, 5), date(2024, 3, 5), 1),
        (date(2024, 3, 7), date(2024, 3, 8), 2),
        (date(2024, 3, 12), date(2024, 3, 12), 1),
    ]
    assert [bar["day"].day for bar in known_bars("CN", "600000", "", at(number))] == [4, 6, 11]


def test_moments_of_a_bar_that_was_corrected_removed_and_stored_again():
    numbers = [store(4, 5)]
    with transaction.atomic():
        DailyBar.objects.filter(day=date(2024, 3, 5)).update(close=10.0, open=9.0, low=9.0)
    numbers.append(settle())
    DailyBar.objects.filter(day=date(2024, 3, 5)).delete()
    numbers.append(settle())
    numbers.append(store(5, item=2, close=11.0))
    DailyBar.objects.filter(symbol="600000").update(symbol="600001")
    numbers.append(settle())
    known = [known_bars("CN", "600000", "", at(number)) for number in numbers]
    opens = [[(bar["day"].day, bar["open"]) for bar in rows] for rows in known]
    assert opens == [[(4, 10.0), (5, 10.0)], [(4, 10.0), (5, 9.0)], [(4, 10.0)], [(4, 10.0), (5, 11.0)], []]
    assert len(known_bars("CN", "600001", "", at(numbers[-1]))) == 2
    assert known_bars("CN", "600001", "", at(numbers[-2])) == []


def test_unchanged_rows_are_no_changes():
    store(4)
    make_stock("CN", "600000")
    day = date(2024, 3, 4)
    factors, actions = [Factor(day, Decimal(2))], CorporateActions([Action("split", day, ratio=Decimal(1))])
    adjustment_data.replace_factors("CN", "600000", "recording", factors, day)
    adjustment_data.replace_actions("CN", "600000", "recording", actions, day)
    number = settle()
    DailyBar.objects.update(item_id=7)
    Stock.objects.update(full_collection_completed=False)
    adjustment_data.replace_factors("CN", "600000", "recording", factors, day)
    adjustment_data.replace_actions("CN", "600000", "recording", actions, day)
    settle()
    assert {row["kind"] for row in feed(number)} == {"factor", "event"}  # sent again: the table's time
    tables = set(RowVersion.objects.filter(cause__number__gt=number).values_list("table", flat=True))
    assert tables == {"tasks_app_adjustmenttable"}


def test_adjusted_prices_are_computed_with_the_factors_known_then(client):
    store(4, 5, 6)
    make_stock("CN", "600000")
    day = date(2024, 3, 6)
    Series.objects.create(market="CN", symbol="600000", bars=3, first_day=date(2024, 3, 4), last_day=day)
    adjustment_data.replace_factors("CN", "600000", "recording", [Factor(day, Decimal(2))], day)
    number = settle()
    path = f"{PATH}?adjust=hfq&as_of={number}"
    before = client.get(path).content
    adjustment_data.replace_factors("CN", "600000", "recording", [Factor(day, Decimal(3))], day)
    CorporateAction.objects.create(market="CN", symbol="600000", source="recording", number=0, kind="split")
    last = settle()
    assert client.get(path).content == before
    assert [row["close"] for row in client.get(path).json()] == [10.0, 10.0, 20.0]
    assert client.get(f"{PATH}?adjust=hfq").json()[-1]["close"] == 30.0
    (table,) = client.get(f"{PATH}/factors?as_of={number}").json()
    assert [row["hfq"] for row in table["factors"]] == ["2"]
    assert client.get(f"{PATH}/actions?as_of={number}").json() == []
    assert client.get(f"{PATH}/factors?as_of=then").status_code == 400
    assert known_rows(CorporateAction, at(number), "CN", "600000") == []
    assert len(known_rows(CorporateAction, at(last), "CN", "600000")) == 1


def test_codes_and_calendar_are_read_as_known_then(client):
    make_bars(make_stock("US", "ABC"), 2, date(2022, 6, 7), source="recording")
    make_bars(make_stock("US", "XYZ"), 2, date(2022, 6, 9), source="recording")
    CodeChange.objects.create(market="US", old_code="ABC", new_code="XYZ", changed_on=date(2022, 6, 9))
    day = CalendarDay(market="US", day=date(2022, 6, 10), is_session=False)
    calendar_corrections.store([day], "ann")
    number = settle()
    CodeChange.objects.filter(old_code="ABC").update(new_code="XYZ2")
    calendar_corrections.store([CalendarDay(market="US", day=date(2022, 6, 10), is_session=True)], "bob")
    Stock.objects.filter(code="ABC").update(name="Facebook")
    settle()
    path = f"{BASE}/quotes/US/XYZ"
    assert len(client.get(path).json()) == 2
    assert len(client.get(f"{path}?as_of={number}").json()) == 4
    assert len(client.get(f"{path}?as_of={number}&joined=false").json()) == 2
    assert calendars.load_calendar("US", at(number)).is_session(date(2022, 6, 10)) is False
    assert calendars.load_calendar("US").is_session(date(2022, 6, 10)) is True
    assert {kind for kind, *_ in kinds(number)} == {"code", "calendar"}
    (stock,) = known_rows(Stock, at(number), "US", "ABC")
    assert (stock.name, stock.former_names) == ("ABC Inc.", [])


def test_pages_of_an_earlier_moment_follow_each_other(client):
    store(*range(1, 8))
    make_stock("CN", "600000")
    number = settle()
    DailyBar.objects.filter(day__day=2).delete()
    settle()
    first = client.get(f"{PATH}?as_of={number}&limit=4")
    link = first["Link"].partition(">")[0][1:]
    second = client.get(link)
    assert [row["day"][-1] for row in [*first.json(), *second.json()]] == list("1234567")
    assert "Link" not in second
    assert client.get(f"{PATH}?as_of={number}&cursor=x").status_code == 400


def test_moments_are_days_times_and_numbers():
    number = store(4)
    Change.objects.filter(number=read_numbers().first).update(at=datetime(2024, 4, 30, tzinfo=UTC))
    Change.objects.filter(number=number).update(at=datetime(2024, 5, 1, 23, 59, tzinfo=UTC))
    assert moment_of("2024-05-01").number == number
    assert moment_of("2024-05-02T07:59:30+08:00").number == number
    assert moment_of("2024-05-02T07:58:30+08:00").number < number
    assert moment_of("2024-05-02T07:58:30 08:00").number < number, "a + that was not escaped"
    for text, error in (
        ("yesterday", errors.MalformedMoment),
        ("2024-02-30", errors.MalformedMoment),
        ("2024-05-01T10:00:00", errors.MalformedMoment),
        ("9999-12-31", errors.MalformedMoment),
        ("2024-04-29", errors.ForgottenMoment),
        (datetime.now(UTC).date().isoformat(), errors.FutureMoment),
        (str(number + 1), errors.UnknownNumber),
    ):
        with pytest.raises(error):
            moment_of(text)


def test_what_was_stored_before_the_first_number_is_never_made_up(client):
    store(4)
    Change.objects.all().delete()
    triggers.install()
    settle()
    assert read_numbers().first == 1
    make_stock("CN", "600000")
    settle()
    assert [row["day"] for row in client.get(f"{PATH}?as_of=1").json()] == ["2024-03-04"]
    refused = client.get(f"{PATH}?as_of=0")
    assert (refused.status_code, refused.json()["code"]) == (400, "forgotten_moment")
    gone = client.get(f"{BASE}/changes?since=0")
    assert (gone.status_code, gone.json()["code"]) == (410, "changes_forgotten")


def test_feed_comes_in_parts_and_says_how_far_it_is_complete(client):
    first = settle()
    for day in (4, 5, 6):
        store(day, item=day)
    body = client.get(f"{BASE}/changes?since={first}&limit=2").json()
    assert [row["number"] for row in body["changes"]] == [first + 1, first + 2]
    assert (body["last"], body["newest"]) == (first + 2, first + 3)
    rest = client.get(f"{BASE}/changes?since={body['last']}&limit=2").json()
    assert ([row["first_day"] for row in rest["changes"]], rest["last"]) == (["2024-03-06"], first + 3)
    none = client.get(f"{BASE}/changes?since={first}&market=HK").json()
    assert (none["changes"], none["last"]) == ([], first + 3)
    assert client.get(f"{BASE}/changes").status_code == 400
    unknown = client.get(f"{BASE}/changes?since={first + 99}").json()
    assert (unknown["code"], list(unknown["errors"])) == ("unknown_number", ["since"])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_number_never_appears_late():
    """The transaction that writes first commits last: its number is the later one."""
    first, written, may_commit = settle(), Event(), Event()

    def slow():
        with transaction.atomic():
            make_bars(Stock(market="US", code="SLOW"), 1, source="recording")
            written.set()
            may_commit.wait(30)
        connections.close_all()

    thread = Thread(target=slow)
    thread.start()
    assert written.wait(30)
    make_bars(Stock(market="US", code="FAST"), 1, source="recording")
    assert [(row["number"], row["code"]) for row in feed(first)] == [(first + 1, "FAST")]
    may_commit.set()
    thread.join()
    assert [(row["number"], row["code"]) for row in feed(first)] == [(first + 1, "FAST"), (first + 2, "SLOW")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_moment_waits_for_a_commit_that_has_its_number():
    number, numbered, may_commit, read = settle(), Event(), Event(), []

    def slow():
        with transaction.atomic():
            make_bars(Stock(market="US", code="SLOW"), 1, source="recording")
            connection.check_constraints()  # draws the number, as the commit does
            numbered.set()
            may_commit.wait(30)
        connections.close_all()

    def reader():
        read.append(moment_of((datetime.now(UTC) - timedelta(seconds=0.05)).isoformat()).number)
        connections.close_all()

    threads = [Thread(target=slow), Thread(target=reader)]
    threads[0].start()
    assert numbered.wait(30)
    drawn = datetime.now(UTC)
    while datetime.now(UTC) < drawn + timedelta(seconds=0.1):
        pass
    threads[1].start()
    may_commit.set()
    for thread in threads:
        thread.join()
    assert read == [number + 1]


def test_prune_command_forgets_old_changes(settings):
    numbers = [store(4), store(4, close=11.0, item=2)]
    Change.objects.update(at=datetime.now(UTC) - timedelta(days=100))
    call_command("prune", stdout=StringIO())
    assert Change.objects.filter(number=numbers[0]).exists(), "by default all are kept"
    settings.COLLECTOR = replace(settings.COLLECTOR, version_days=99)
    out = StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert Change.objects.filter(number=numbers[0]).exists()
    assert f"overwrote: {numbers[1] - read_numbers().first}." in out.getvalue()
    call_command("prune", stdout=out)
    assert [change.number for change in Change.objects.all()] == [numbers[1]]


def test_old_changes_are_forgotten_with_what_they_overwrote():
    first = settle()
    numbers = [store(4), store(4, close=11.0, item=2), store(4, close=12.0, item=3), store(5, item=4)]
    old = datetime.now(UTC) - timedelta(days=100)
    Change.objects.filter(number__lte=numbers[1]).update(at=old)
    assert retention.prune(0) == 0
    assert retention.expired(99).count() == numbers[1] - first
    deleted = sum(iter(lambda: retention.prune(99, batch=1), 0))
    assert deleted == numbers[1] - first
    assert read_numbers().first == numbers[1]
    assert [bar["close"] for bar in known_bars("CN", "600000", "", at(numbers[1]))] == [11.0]
    assert BarVersion.objects.count() == 2
    with pytest.raises(errors.ForgottenMoment):
        at(numbers[0])
    with pytest.raises(errors.ForgottenChanges):
        feed(numbers[0])
    assert [row["number"] for row in feed(numbers[1])] == numbers[2:]
