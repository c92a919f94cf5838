"""Special treatment and price limits per day: told by the source, else computed on read and marked."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from tasks_app.models import Correction, DailyBar, Series, Stock
from tasks_app.quotes import csv_export
from tasks_app.quotes.adjusted_prices import Basis
from tasks_app.quotes.daily_limits import DailyLimits
from tests.fakes.recording_source import sessions, set_bars
from tests.quotes.helpers import DAY, FIRST, LAST, change_bar, collect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("recording_source")]
KNOWN_SINCE = datetime(2024, 1, 2, 12, tzinfo=ZoneInfo("Asia/Shanghai"))


def limits_of(code="600000", day=date(2024, 3, 5), *, close=10.0, adjust="", market="CN", **told):
    row = {"market": market, "code": code, "adjust": adjust, "day": day, "close": close}
    row |= {"high": close, "low": close, "prev_close": 10.0}
    row |= {"is_st": None, "limit_up": None, "limit_down": None, **told}
    return tuple(DailyLimits().of(row).values())


@pytest.fixture(autouse=True)
def stock():
    listed = {"listed_on": date(2000, 1, 4), "created_at": KNOWN_SINCE}
    return Stock.objects.create(market="CN", code="600000", name="浦发银行", **listed)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"is_st": False}, (False, "source", 11.0, 9.0, "computed", None)),
        ({"is_st": False, "close": 11.0}, (False, "source", 11.0, 9.0, "computed", "up")),
        ({"is_st": True, "close": 9.5}, (True, "source", 10.5, 9.5, "computed", "down")),
        ({"limit_up": 11.02, "limit_down": 9.01}, (False, "names", 11.02, 9.01, "source", None)),
        ({}, (False, "names", 11.0, 9.0, "computed", None)),
        ({"day": date(2023, 12, 1)}, (None, None, None, None, None, None)),
        ({"adjust": "qfq", "is_st": False}, (False, "source", None, None, None, None)),
        ({"market": "US"}, (None, None, None, None, None, None)),
        ({"code": "000001.SH"}, (None, None, None, None, None, None)),
    ],
)
def test_limits_say_where_they_come_from(options, expected):
    assert limits_of(**options) == expected


def test_limits_of_many_codes_take_three_queries(django_assert_num_queries):
    with django_assert_num_queries(3):
        DailyLimits().load([("CN", f"6000{n:02}") for n in range(50)])


def test_day_columns_are_stored_and_exported():
    set_bars("600000", sessions(FIRST, LAST))
    change_bar(is_st=True, limit_up=10.5, limit_down=9.5, prev_close=10.0)
    collect()
    bar = DailyBar.objects.get(day=DAY)
    assert (bar.is_st, bar.limit_up, bar.limit_down) == (True, 10.5, 9.5)
    rows = csv_export.on_basis(csv_export.bar_rows("CN", "600000", Basis("")).filter(day=DAY), Basis(""))
    row = next(iter(rows))
    assert (row["is_st"], row["limit_up"], row["limits_from"]) == (True, 10.5, "source")
    assert set(csv_export.COLUMNS) <= set(row)


def test_day_columns_that_come_later_complete_the_bar_without_a_correction():
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    change_bar(is_st=False)
    item = collect(force_update=True)
    assert (item.rows_corrected, item.rows_skipped) == (0, 21)
    assert DailyBar.objects.get(day=DAY).is_st is False
    change_bar(is_st=True)
    assert collect(force_update=True).rows_corrected == 1
    assert Correction.objects.get().after == {"is_st": True}


def test_stock_without_a_day_of_listing_is_at_least_as_old_as_its_bars(stock):
    Stock.objects.update(listed_on=None)
    assert limits_of(is_st=False)[2] is None
    Series.objects.create(market="CN", symbol="600000", bars=1, first_day=date(2020, 1, 2))
    assert limits_of(is_st=False)[2] == 11.0
