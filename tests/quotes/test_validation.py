"""What the checks find is stored beside the bars, counted on item and task, bounded in length."""

from datetime import date

import pytest

from tasks_app import lifecycle
from tasks_app.market import calendars
from tasks_app.models import DailyBar, Finding, Stock
from tests.factories import ACTOR, TODAY, make_order
from tests.fakes.recording_source import (
    Ledger,
    ledger_conf,
    make_bar,
    sessions,
    write,
)
from tools.in_process import work

pytestmark = pytest.mark.django_db
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 29)
DAY = date(2024, 3, 13)


@pytest.fixture(autouse=True)
def ledger(settings, monkeypatch):
    settings.COLLECTOR = ledger_conf(settings.COLLECTOR)
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: date(2024, 6, 28))


def collect(bars, code="600000", market="CN", **fields):
    Ledger.bars[code, ""] = bars
    order = make_order(
        source="ledger", stock_codes=(code,), start_date=FIRST, end_date=LAST, market=market, **fields
    )
    task = lifecycle.start(order, ACTOR, today=TODAY)
    work()
    return task.items.get()


def month(**fields):
    """A sound month, one bar of it otherwise."""
    write("x", sessions(FIRST, LAST))
    return [bar._replace(**fields) if bar.day == DAY else bar for bar in Ledger.bars["x", ""]]


def findings(kind):
    return list(Finding.objects.filter(kind=kind).values_list("code", "day"))


def test_sound_bars_raise_nothing():
    item = collect(month())
    assert (item.rows_refused, item.rows_flagged) == (0, 0)
    assert not Finding.objects.exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"high": 9.0}, "prices_out_of_order"),
        ({"low": 0.0}, "price_not_positive"),
        ({"volume": -1}, "bad_volume"),
        ({"amount": -5.0}, "negative_value"),
        ({"turnover": float("nan")}, "not_a_number"),
    ],
)
def test_a_bar_that_can_not_be_true_is_refused_and_listed(fields, code):
    item = collect(month(**fields))
    assert (item.state, item.rows_refused, item.rows_collected) == ("succeeded", 1, 20)
    assert findings("refused") == [(code, DAY)]
    assert not DailyBar.objects.filter(day=DAY).exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount": 2_000_000.0}, "amount_outside_range"),
        ({"amount": 100.0}, "amount_outside_range"),
        ({"high": 11.5}, "jump_beyond_limit"),
        ({"prev_close": 8.0}, "jump_beyond_limit"),
    ],
)
def test_a_doubtful_bar_is_stored_as_it_came_flagged_and_listed(fields, code):
    item = collect(month(**{"volume": 100_000, **fields}))
    assert (item.state, item.rows_flagged, item.rows_collected) == ("succeeded", 1, 21)
    assert findings("flagged") == [(code, DAY)]
    item.task.refresh_from_db()
    assert item.task.flagged_count == 1
    for name, value in fields.items():
        assert getattr(DailyBar.objects.get(day=DAY), name) == value


def test_a_bar_on_a_day_on_which_the_market_was_closed_is_flagged():
    item = collect([*month(), make_bar(date(2024, 3, 10))])
    assert item.rows_flagged == 1
    assert findings("flagged") == [("not_a_session", date(2024, 3, 10))]


def test_a_market_without_limits_flags_no_jump():
    bars = [make_bar(day, 10.0 if day < DAY else 5.0) for day in sessions(FIRST, LAST, "US")]
    assert collect(bars, "AAPL", "US").rows_flagged == 0


def test_the_first_bar_of_an_increment_is_measured_by_the_last_stored_close():
    collect(month()[:10])
    item = collect(
        [*month()[:10], *(bar._replace(open=5.0, high=5.1, low=4.9, close=5.0) for bar in month()[10:])]
    )
    assert item.rows_flagged == 0, "the days were answered already"
    item = collect(Ledger.bars["600000", ""][:10] + Ledger.bars["600000", ""][10:], force_update=True)
    assert findings("flagged") == [("jump_beyond_limit", sessions(FIRST, LAST)[10])]


def test_a_listing_s_first_sessions_have_no_limit():
    bars = [make_bar(day, 10.0 if day == DAY else 16.0) for day in sessions(DAY, LAST)]
    for _ in range(2):
        assert collect(bars, force_update=True).rows_flagged == 0, "a first bar so late is a listing's"
    Stock.objects.update(listed_on=DAY)
    assert collect(bars, force_update=True).rows_flagged == 0


def test_the_list_of_an_item_is_bounded_and_its_count_is_not():
    bars = [bar._replace(amount=1.0) for bar in month()]
    item = collect([*bars, *bars[:1] * 30])
    assert (item.rows_flagged, item.rows_refused) == (21, 30)
    assert (len(findings("flagged")), len(findings("refused"))) == (20, 20)
