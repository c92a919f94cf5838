"""Exact price limits per day, computed by the boards' rules, or absent where those are not certain."""

from datetime import date, timedelta

import pytest

from tasks_app.market.calendars import Calendar, load_calendar
from tasks_app.market.price_limits import DayPrices, LimitRules, NameHistory, limit_rules_for
from tasks_app.models import Stock

LISTED = date(2010, 1, 4)
DAY = date(2024, 3, 5)


def limits(code="600000", day=DAY, prev_close=10.0, *, high=None, low=None, is_st=False, **rules):
    """Returns the day's limits; its prices stay at the previous close unless they are given."""
    rules = LimitRules(code, **{"listed_on": LISTED, "free_until": LISTED, **rules})
    high, low = high or prev_close or 1.0, low or prev_close or 1.0
    return rules.limits_on(DayPrices(day, high, low, prev_close, is_st))


def names(*texts):
    """Returns a history of names: pairs of the first day and the name."""
    return NameHistory(tuple((date.fromisoformat(since), name) for since, name in texts))


@pytest.mark.parametrize(
    ("code", "prev_close", "up", "down"),
    [
        ("600000", 10.0, 11.0, 9.0),
        ("000001", 9.95, 10.95, 8.96),  # 10.945 and 8.955, half up
        ("000001", 0.04, 0.05, 0.03),  # at least a cent
        ("688001", 10.03, 12.04, 8.02),
        ("300750", 10.03, 12.04, 8.02),
        ("920002", 10.0, 13.0, 7.0),
        ("900901", 0.555, 0.611, 0.5),  # B shares in thousandths
        ("588000", 0.987, 1.184, 0.79),  # funds of the STAR market
    ],
)
def test_limits_are_those_of_the_board_in_whole_ticks(code, prev_close, up, down):
    assert limits(code, prev_close=prev_close) == (up, down)


@pytest.mark.parametrize(
    ("why", "options"),
    [
        ("no previous close", {"prev_close": None}),
        ("a previous close that is no price", {"prev_close": 10.005}),
        ("a negative previous close", {"prev_close": -10.0}),
        ("before there were limits", {"day": date(1996, 12, 13), "listed_on": date(1992, 1, 2)}),
        ("special treatment is not known", {"is_st": None}),
        ("ST on the main board since the proposal of 2025", {"day": date(2026, 3, 5), "is_st": True}),
        ("before a delisting", {"names": names(("2024-01-02", "退市园城"))}),
        ("a stock without share reform", {"names": names(("2024-01-02", "S佳通"))}),
        ("a fund's limit is not told by its code", {"code": "510300"}),
        ("Beijing before its exchange", {"code": "830799", "day": date(2021, 11, 12)}),
        ("the day's prices are beyond them", {"high": 11.01}),
        ("first session", {"day": LISTED}),
        ("nothing says when it was listed", {"listed_on": None}),
        ("perhaps just listed", {"listed_on": None, "first_bar": date(2024, 2, 20)}),
    ],
)
def test_limits_are_never_guessed(why, options):
    assert limits(**options) == (None, None), why


def test_beijing_limit_is_absent_where_its_rounding_matters():
    assert limits("920002", prev_close=8.75) == (None, 6.13), "11.375 and 6.125"
    assert limits("920002", prev_close=8.72) == (None, None), "11.336 and 6.104"


@pytest.mark.parametrize(
    ("day", "expected"), [(date(2024, 3, 5), (10.5, 9.5)), (date(1997, 3, 5), (None, None))]
)
def test_special_treatment_halves_the_main_boards_limits(day, expected):
    assert limits(is_st=True, day=day, listed_on=date(1992, 1, 2)) == expected
    assert limits("300750", is_st=True) == (12.0, 8.0), "not those of ChiNext"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "listed_on", "free"),
    [
        ("688001", date(2024, 2, 7), 5),
        ("301999", date(2024, 2, 7), 5),
        ("603999", date(2024, 2, 7), 5),
        ("603999", date(2020, 1, 21), 1),
        ("300999", date(2020, 1, 21), 1),
        ("920002", date(2024, 2, 7), 1),
    ],
)
def test_first_sessions_have_no_computed_limits(code, listed_on, free):
    stock = Stock(market="CN", code=code, listed_on=listed_on)
    calendar = load_calendar("CN")
    rules = limit_rules_for("CN", code, stock, None, calendar)
    sessions = calendar.sessions(listed_on, listed_on + timedelta(days=40)).days
    known = [rules.limits_on(DayPrices(day, 10.0, 10.0, 10.0, False)) != (None, None) for day in sessions]
    assert known == [False] * free + [True] * (len(known) - free)


def test_prices_beyond_the_narrow_limit_prove_the_wide_one():
    assert limits(is_st=None, high=10.51) == (11.0, 9.0)
    assert limits(is_st=None, high=10.5) == (None, None), "an ST stock may have traded there"


def test_chinext_had_ten_percent_before_its_reform():
    assert limits("300001", date(2020, 8, 21), listed_on=date(2009, 10, 30)) == (11.0, 9.0)
    assert limits("300001", date(2020, 8, 24), listed_on=date(2009, 10, 30)) == (12.0, 8.0)


def test_names_tell_special_treatment_from_their_first_day_on():
    history = names(("2024-01-02", "园城黄金"), ("2024-03-01", "*ST园城"), ("2024-06-03", "园城黄金"))
    days = [date(2023, 12, 29), date(2024, 2, 29), date(2024, 3, 1), date(2024, 6, 3)]
    assert [history.is_st(day) for day in days] == [None, False, True, False]
    assert names(("2024-01-02", "ST园城")).is_st(DAY) is None, "since when is not on record"


def test_only_markets_and_kinds_with_limits_have_rules():
    keys = [("CN", "600000"), ("CN", "588000"), ("CN", "510300"), ("CN", "000001.SH"), ("US", "AAPL")]
    found = [
        limit_rules_for(market, code, None, None, Calendar("CN", {})) is not None for market, code in keys
    ]
    assert found == [True, True, False, False, False]
