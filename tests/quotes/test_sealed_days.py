"""Sealed days: complete sessions of a market, their checksum and revision."""

import re
from datetime import date, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from tasks_app.market import calendar_corrections
from tasks_app.models import CalendarDay, Change, CodeChange, DailyBar, Finding, MarketDay, Series, Stock
from tasks_app.quotes import market_days, sealed_days
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_ended, make_user, settle

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
    assert body["missing"] == [{"code": "600005", "reason": "not_asked", "message": "not requested yet"}]
    Finding.objects.create(market="CN", symbol="600005", day=DAY, kind="refused", source="recording")
    Series.objects.create(market="CN", symbol="600005")
    MarketDay.objects.update(pending=True)
    assert sweep() == 1
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


def test_adjusted_bars_and_funds_leave_a_day_of_stocks_sealed():
    add("600000", DAY)
    sweep()
    make_bars(make_stock("CN", "510300", kind="etf"), 1, DAY, source="recording")
    make_bars(Stock.objects.get(code="600000"), 1, DAY, source="recording", adjust="qfq")
    settle()
    assert row().sealed_at
    sweep()
    assert MarketDay.objects.filter(kind="etf").count() == 1


def test_day_before_a_change_of_code_needs_the_old_code_only():
    add("600000", DAY)
    add("600001", DAY + timedelta(1))
    make = CodeChange.objects.create
    make(market="CN", old_code="600000", new_code="600001", changed_on=DAY + timedelta(1))
    assert sweep() == 2


def test_day_is_not_sealed_while_a_task_of_the_market_runs_and_looked_at_after_its_end():
    add("600000", DAY)
    add("600001")
    assert sweep() == 0
    make_stock("SIM", "000001")
    task = make_ended("completed")
    type(task).objects.filter(pk=task.pk).update(market="CN", source="recording")
    Series.objects.filter(symbol="600001").update(covered=[["2024-05-07", "2024-05-07"]])
    MarketDay.objects.update(checked_at=task.end_time - timedelta(1))
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


def test_paths_of_days_refuse_what_is_no_session(client):
    assert client.get(f"{BASE}/days/CN/2024-05-05").status_code == 404
    assert client.get(f"{BASE}/days/XX/2024-05-07").status_code == 404
    assert client.get(f"{BASE}/days/XX").status_code == 404
    assert client.get(f"{BASE}/days/CN/today").status_code == 400
    assert client.get(f"{BASE}/days/CN/{timezone.localdate() + timedelta(30)}").status_code == 404
    assert client.get(f"{BASE}/days/cn?kind=etf").json() == []


def wait(*arguments, day="2024-05-07"):
    out = StringIO()
    options = ("--market", "cn", "--day", day, "--timeout", "0")
    try:
        call_command("collect", "wait-sealed", *options, *arguments, stdout=out)
    except SystemExit as stop:
        return stop.code, out.getvalue()
    return 0, out.getvalue()


def test_command_waits_until_the_day_is_sealed():
    add("600000", DAY)
    make_stock("CN", "600001")
    code, text = wait()
    assert code == 2
    assert "(1): 600001" in text
    Stock.objects.filter(code="600001").delete()
    sweep()
    code, text = wait()
    assert (code, row().checksum in text) == (0, True)
    assert '"sealed":true' in wait("--json")[1].replace(" ", "")


def test_overview_shows_the_last_sealed_day():
    add("600000", DAY)
    sweep()
    assert sealed_days.last_sealed() == {"CN": DAY}
