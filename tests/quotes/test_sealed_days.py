"""Sealed days: complete sessions of a market, their checksum and revision."""

import re
from datetime import date, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.market import calendar_corrections
from tasks_app.models import (
    CalendarDay,
    Change,
    CodeChange,
    DailyBar,
    Finding,
    MarketDay,
    Series,
    SilentAnswer,
    Stock,
)
from tasks_app.quotes import market_days, sealed_days
from tasks_app.quotes.deletion import Selection
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import ACTOR, make_ended, make_user, settle

pytestmark = pytest.mark.django_db
DAY = date(2024, 5, 7)
DOCS = Path(__file__).parents[2] / "docs" / "data.md"
PATH = f"{BASE}/days/CN/2024-05-07"


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def add(code, *days, absent=(), covered=(), **fields):
    """Stores a stock with bars of these days, and a series that has these reasons."""
    stock = make_stock("CN", code, **fields)
    for day in days:
        make_bars(stock, 1, day, source="recording", amount=175.5)
    stored = {"covered": list(covered), "absences": list(absent), "bars": len(days)}
    Series.objects.create(market="CN", symbol=code, **stored)
    return stock


def sweep():
    settle()
    sealed = sealed_days.sweep(60)
    settle()
    return sealed


def row():
    return MarketDay.objects.get(market="CN", kind="stock", day=DAY)


def test_day_is_sealed_when_every_listed_stock_has_a_bar_or_a_reason(client):
    day = DAY.isoformat()
    add("600000", DAY)
    add("600001", absent=[[day, day, "suspended", "recording", day, None]])
    add("600002", covered=[[day, day]])
    add("600003", listed_on=DAY + timedelta(1))
    add("600004", delisted_on=DAY)
    stock = make_stock("CN", "600005")
    assert sweep() == 0
    body = client.get(PATH).json()
    assert (body["sealed"], body["checksum"], body["revision"], body["missing_count"]) == (False, None, 0, 1)
    assert body["unsealed_reason"] == "missing"
    assert body["missing"] == [{"code": "600005", "reason": "not_asked", "message": "not requested yet"}]
    Finding.objects.create(market="CN", symbol="600005", day=DAY, kind="refused", source="recording")
    Series.objects.create(market="CN", symbol="600005")
    MarketDay.objects.update(pending=True)
    assert client.get(PATH).json()["unsealed_reason"] == "pending"
    assert sweep() == 1
    assert client.get(PATH).json()["unsealed_reason"] is None
    body = client.get(PATH).json()
    assert (body["sealed"], body["bars"], body["reasons"], body["missing"]) == (True, 1, 3, [])
    assert [row["day"] for row in client.get(f"{BASE}/days/CN").json() if row["sealed"]] == [day]
    change = Change.objects.get(kind="sealed")
    assert (change.market, change.first_day, change.rows) == ("CN", DAY, 1)
    assert change.number > body["number"] > 0
    assert stock.code not in str(body)


@pytest.mark.parametrize("change", ["correction", "deletion", "new bar", "calendar", "late stock"])
def test_change_unseals_its_day_and_the_next_sealing_is_another_revision(change):
    for code in ("600000", "600001"):
        add(code, DAY - timedelta(1), DAY, DAY + timedelta(1))
    add("600002", covered=[["2024-05-06", "2024-05-08"]])
    assert sweep() == 3
    before = row()
    if change == "correction":
        DailyBar.objects.filter(symbol="600000", day=DAY).update(close=1.8)
    elif change == "deletion":
        DailyBar.objects.filter(symbol="600001", day=DAY).delete()
        Series.objects.update(covered=[["2024-05-06", "2024-05-08"]])
    elif change == "new bar":
        make_bars(Stock.objects.get(code="600002"), 1, DAY, source="recording")
    elif change == "calendar":
        calendar_corrections.store([CalendarDay(market="CN", day=DAY, is_session=True)], "ann")
    else:
        make_stock("CN", "600009", listed_on=DAY, delisted_on=DAY + timedelta(1))
        assert sweep() == 0
        Series.objects.create(market="CN", symbol="600009", covered=[["2024-05-07", "2024-05-07"]])
        MarketDay.objects.filter(day=DAY).update(pending=True)
    settle()
    assert {day.day for day in MarketDay.objects.filter(sealed_at=None)} == {DAY}
    assert (row().revision, row().sealed_at) == (1, None)
    assert sweep() == 1
    assert (before.revision, row().revision) == (1, 2)
    changes_bars = change in ("correction", "deletion", "new bar")
    assert (before.checksum != row().checksum) == changes_bars


def reason(day, why="empty", asked="2024-05-09", last=None):
    """An entry of `Series.absences`."""
    return [day, last or day, why, "recording", asked, None]


ABSENT, ANSWERED = [reason("2024-05-06", last="2024-05-08")], [["2024-05-06", "2024-05-08"]]
WITHDRAWALS = {  # what the reasons become, and the days of May that are unsealed
    "deleted": (None, {6, 7, 8}),
    "asked again": ({"covered": [], "absences": []}, {6, 7, 8}),
    "one day withdrawn": (
        {"covered": [["2024-05-06", "2024-05-06"], ["2024-05-08", "2024-05-08"]], "absences": ABSENT[:0]},
        {7},
    ),
    "another reason": (
        {"absences": [reason("2024-05-06"), reason("2024-05-07", "suspended"), reason("2024-05-08")]},
        {7},
    ),
    "two of three": ({"absences": [reason("2024-05-07")], "covered": [["2024-05-07", "2024-05-07"]]}, {6, 8}),
    "other code": ({"symbol": "600077"}, {6, 7, 8}),
    "same answer": ({"absences": [reason("2024-05-06", asked="2024-05-12", last="2024-05-08")]}, set()),
    "entry dropped": ({"absences": []}, set()),
    "answered to the next": ({"covered": [["2024-05-06", "2024-05-09"]]}, set()),
    "not covered": ({"covered": []}, set()),
    "counted": ({"bars": 7}, set()),
}
FURTHER = {"asked again", "two of three", "answered to the next", "not covered", "counted"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.soak if case in FURTHER else ()) for case in WITHDRAWALS],
)
def test_withdrawn_reason_unseals_exactly_its_days(case):
    days = [DAY - timedelta(1), DAY, DAY + timedelta(1)]
    add("600000", *days)
    add("600001", absent=ABSENT, covered=ANSWERED)
    assert sweep() == 3
    fields, unsealed = WITHDRAWALS[case]
    one = Series.objects.filter(symbol="600001")
    before = settle()
    one.update(**fields) if fields else one.delete()
    settle()
    assert {day.day.day for day in MarketDay.objects.filter(sealed_at=None)} == unsealed
    withdrawn = Change.objects.filter(kind="reason", number__gt=before).values_list("symbol", "rows")
    assert sum(rows for _, rows in withdrawn) == len(unsealed)
    assert {symbol for symbol, _ in withdrawn} <= {"600001"}
    sweep()
    left = {day.day.day for day in MarketDay.objects.filter(sealed_at=None)}
    assert left == (set() if case == "another reason" else unsealed)


def test_reason_of_a_day_with_a_bar_or_outside_of_the_listing_is_none_to_withdraw():
    add("600000", DAY)
    add("600001", DAY, covered=ANSWERED)
    add("600002", covered=ANSWERED, listed_on=DAY + timedelta(1))
    add("600003", covered=ANSWERED, delisted_on=DAY)
    add("510300", covered=ANSWERED, kind="etf")
    Series.objects.create(market="CN", symbol="600000", adjust="qfq", covered=ANSWERED)
    sweep()
    before = settle()
    Series.objects.exclude(symbol="600000", adjust="").update(covered=[])
    settle()
    assert row().sealed_at
    assert not Change.objects.filter(number__gt=before).exists()


@pytest.mark.parametrize("kind", ["refused bar", "day without quotes"])
@pytest.mark.parametrize("change", ["deleted", "changed"])
def test_withdrawn_refusal_or_silence_unseals_its_day(kind, change):
    add("600000", DAY)
    add("600001")
    if kind == "refused bar":
        Finding.objects.create(market="CN", symbol="600001", day=DAY, kind="refused", source="recording")
        rows = Finding.objects.filter(kind="refused")
        Finding.objects.create(market="CN", symbol="600001", day=DAY, kind="flagged", source="recording")
        others, fields = Finding.objects.filter(kind="flagged"), {"day": DAY + timedelta(1)}
    else:
        for number in range(5):
            make_silent_answer(DAY, f"60010{number}")
        rows, others = SilentAnswer.objects.filter(day=DAY), make_silent_answer(DAY - timedelta(1), "600100")
        fields = {"day": DAY + timedelta(1)}
    assert sweep() == 1
    others.delete()
    settle()
    assert row().sealed_at, "the row is no reason of this day"
    if change == "deleted":
        rows.first().delete()
    else:
        rows.update(**fields)
    settle()
    assert row().sealed_at is None
    assert sweep() == 0, "it is not complete"


def make_silent_answer(day, code):
    fields = {"market": "CN", "source": "recording", "day": day, "symbol": code, "task_id": uuid4()}
    return SilentAnswer.objects.create(**fields)


@pytest.mark.any_database  # no trigger and no statement of its own
def test_day_without_a_bar_says_so(client):
    day = DAY.isoformat()
    add("600001", absent=[[day, day, "suspended", "recording", day, None]])
    sweep()
    body = client.get(PATH).json()
    assert (body["sealed"], body["missing_count"], body["unsealed_reason"]) == (False, 0, "no_bars")


def test_reason_withdrawn_while_the_day_was_read_keeps_it_unsealed(monkeypatch):
    add("600000", DAY)
    add("600001", absent=ABSENT, covered=ANSWERED)
    read = sealed_days.read_day

    def withdrawn(*args):
        contents = read(*args)
        Series.objects.filter(symbol="600001").update(covered=[], absences=[])
        settle()
        return contents

    monkeypatch.setattr(sealed_days, "read_day", withdrawn)
    assert sweep() == 0
    assert row().sealed_at is None


def test_deleted_data_withdraw_the_reasons_beside_them():
    add("600000", DAY - timedelta(1), DAY, covered=ANSWERED)
    DailyBar.objects.update(source="csv")
    add("600001", DAY - timedelta(1), absent=[reason("2024-05-07")], covered=ANSWERED)
    assert sweep() == 2
    *_, record = lifecycle.delete_source_data(Selection("recording"), ACTOR)
    settle()
    assert record.bars == 1
    assert row().sealed_at is None
    assert sweep() == 0


def test_adjusted_bars_and_funds_leave_a_day_of_stocks_sealed():
    add("600000", DAY)
    sweep()
    make_bars(make_stock("CN", "510300", kind="etf"), 1, DAY, source="recording")
    make_bars(Stock.objects.get(code="600000"), 1, DAY, source="recording", adjust="qfq")
    settle()
    assert row().sealed_at
    sweep()
    assert MarketDay.objects.filter(kind="etf").count() == 1


@pytest.mark.any_database  # no trigger and no statement of its own
def test_day_before_a_change_of_code_needs_the_old_code_only():
    add("600000", DAY)
    add("600001", DAY + timedelta(1))
    make = CodeChange.objects.create
    make(market="CN", old_code="600000", new_code="600001", changed_on=DAY + timedelta(1))
    assert sweep() == 2


@pytest.mark.any_database  # no trigger and no statement of its own
def test_day_is_not_sealed_while_a_task_of_the_market_runs_and_looked_at_after_its_end():
    add("600000", DAY)
    add("600001")
    assert sweep() == 0
    make_stock("SIM", "000001")
    task = make_ended("completed")
    tasks = type(task).objects.filter(pk=task.pk)
    tasks.update(market="CN", source="recording", start_date=DAY + timedelta(1))
    Series.objects.filter(symbol="600001").update(covered=[["2024-05-07", "2024-05-07"]])
    MarketDay.objects.update(checked_at=task.end_time - timedelta(1))
    assert sweep() == 0, "the task requested later days only"
    tasks.update(start_date=DAY)
    assert sweep() == 1


def test_day_that_changed_while_it_was_read_is_not_sealed(monkeypatch):
    add("600000", DAY)
    read = sealed_days.read_day

    def changed(*args):
        contents = read(*args)
        DailyBar.objects.update(close=1.8)
        settle()
        return contents

    monkeypatch.setattr(sealed_days, "read_day", changed)
    assert sweep() == 0
    monkeypatch.undo()
    assert sweep() == 1
    assert row().checksum == market_days.read_day(market_days.MarketListing("CN", "stock"), DAY).checksum


def test_checksum_can_be_computed_from_a_copy_as_the_documentation_says(client):
    add("600010", DAY)
    add("600002", DAY)
    sweep()
    code = re.search(r"```python\n(import hashlib.*?)```", DOCS.read_text(), re.S)[1]
    names = {}
    exec(code, names)  # noqa: S102 - our own documentation
    copy = [client.get(f"{BASE}/quotes/CN/{code}").json()[0] for code in ("600010", "600002")]
    assert names["checksum"](copy) == row().checksum
    line = "600002,1.5,2.0,1.0,1.75,,100,175.5,,,,\n"
    assert row().checksum == sha256((line + line.replace("600002", "600010")).encode()).hexdigest()


@pytest.mark.any_database  # no trigger and no statement of its own
def test_paths_of_days_refuse_what_is_no_session(client):
    assert client.get(f"{BASE}/days/CN/2024-05-05").status_code == 404
    assert client.get(f"{BASE}/days/XX/2024-05-07").status_code == 404
    assert client.get(f"{BASE}/days/XX").status_code == 404
    assert client.get(f"{BASE}/days/CN/today").status_code == 400
    assert client.get(f"{BASE}/days/CN/{timezone.localdate() + timedelta(30)}").status_code == 404
    assert client.get(f"{BASE}/days/cn?kind=etf").json() == []


class HeldRequest:
    """The time of requests that wait: `during` is called at each pause, with the seconds since the start."""

    def __init__(self, monkeypatch, during=lambda seconds: None):
        self.now, self.during = 0.0, during
        monkeypatch.setattr(sealed_days, "time", self)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.during(self.now)


@pytest.mark.django_db(transaction=True)
def test_request_waits_until_the_day_is_sealed_without_a_transaction(client, monkeypatch):
    add("600000", DAY)
    make_stock("CN", "600001")
    looks = []

    def seal(seconds):
        looks.append(connection.in_atomic_block)
        if seconds == 3:
            Series.objects.create(market="CN", symbol="600001", covered=ANSWERED)
            sweep()

    held = HeldRequest(monkeypatch, seal)
    body = client.get(f"{PATH}?wait=60").json()
    assert (body["sealed"], body["revision"], body["bars"]) == (True, 1, 1)
    assert looks == [False, False, False]
    assert held.now == 3, "it was answered at the next look"


@pytest.mark.any_database  # no trigger and no statement of its own
def test_request_is_answered_after_its_time_with_what_the_day_lacks(client, monkeypatch):
    add("600000", DAY)
    make_stock("CN", "600001")
    held = HeldRequest(monkeypatch)
    body = client.get(f"{PATH}?wait=7").json()
    assert (body["sealed"], body["missing_count"], held.now) == (False, 1, 7)
    for value in ("-1", "61", "1.5", "soon", ""):
        response = client.get(f"{PATH}?wait={value}")
        assert (response.status_code, list(response.json()["errors"])) == (400, ["wait"]), value
    assert client.get(f"{BASE}/days/CN/2024-05-05?wait=9").status_code == 404
    assert held.now == 7


@pytest.mark.any_database  # no trigger and no statement of its own
def test_so_many_requests_wait_that_threads_are_left(client, monkeypatch):
    add("600000", DAY)
    answers = []

    def another(seconds):
        answers.append(client.get(f"{PATH}?wait=1"))

    HeldRequest(monkeypatch, another)
    assert client.get(f"{PATH}?wait=1").status_code == 200
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused["Retry-After"], refused.json()["code"]) == ("5", "too_many_waiting")
    HeldRequest(monkeypatch)
    assert client.get(f"{PATH}?wait=1").status_code == 200, "places are given back"
    assert client.get(PATH).status_code == 200


def wait(*arguments, day="2024-05-07", market="cn"):
    out = StringIO()
    options = ("--market", market, "--day", day, "--timeout", "0")
    try:
        call_command("collect", "wait-sealed", *options, *arguments, stdout=out)
    except SystemExit as stop:
        return stop.code, out.getvalue()
    return 0, out.getvalue()


@pytest.mark.any_database  # no trigger and no statement of its own
def test_command_waits_until_the_day_is_sealed():
    add("600000", DAY)
    make_stock("CN", "600001")
    code, text = wait()
    assert code == 2
    assert "(1): 600001" in text
    assert "no bar is stored" in wait(market="us")[1]
    Stock.objects.filter(code="600001").delete()
    sweep()
    code, text = wait()
    assert (code, row().checksum in text) == (0, True)
    assert '"sealed":true' in wait("--json")[1].replace(" ", "")


@pytest.mark.any_database  # no trigger and no statement of its own
def test_overview_shows_the_last_sealed_day():
    add("600000", DAY)
    sweep()
    assert sealed_days.last_sealed() == {"CN": DAY}
