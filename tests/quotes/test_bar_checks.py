"""The pure parts of keeping bars: spans of days, what differs, how far a price may move."""

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from tasks_app.market import price_limits
from tasks_app.models import Stock
from tasks_app.quotes import corrections, date_ranges, validation
from tasks_app.quotes.validation import Context
from tasks_app.sources.base import Bar, Request

pytestmark = pytest.mark.any_database

DAY = date(2024, 3, 1)
BAR = Bar(DAY, 10.0, 10.5, 9.5, 10.2, 1_000)
ASKED = Request("CN", "600000", date(2024, 1, 1), date(2024, 12, 31))
DAYS = st.integers(0, 60).map(lambda n: date.fromordinal(DAY.toordinal() + n))
SPANS = st.lists(st.tuples(DAYS, DAYS).map(lambda pair: (min(pair), max(pair))), max_size=8)


def held(found, day):
    return any(first <= day <= last for first, last in found)


def collected(given_spans):
    merged = []
    for span in given_spans:
        merged = date_ranges.add_range(merged, span, lambda end, start: False)
    return merged


@given(SPANS)
def test_merged_spans_hold_the_same_days_and_are_rising_and_disjoint(given_spans):
    merged = collected(given_spans)
    for n in range(61):
        day = date.fromordinal(DAY.toordinal() + n)
        assert held(merged, day) == held(given_spans, day)
    assert all(a[1] < b[0] for a, b in pairwise(merged))
    assert date_ranges.parse(date_ranges.dump(merged)) == merged


@given(SPANS, st.sets(DAYS))
def test_what_lacks_reaches_from_the_first_to_the_last_missing_day(given_spans, days):
    merged, days = collected(given_spans), sorted(days)
    missing = [day for day in days if not held(merged, day)]
    expected = (missing[0], missing[-1]) if missing else None
    assert date_ranges.missing_range(days, merged) == expected


@given(SPANS)
def test_the_same_holds_where_every_day_counts(given_spans):
    merged = collected(given_spans)
    window = [date.fromordinal(DAY.toordinal() + n) for n in range(10, 40)]
    assert date_ranges.missing_calendar_range((window[0], window[-1]), merged) == date_ranges.missing_range(
        window, merged
    )


def test_so_many_spans_are_remembered_and_the_shortest_forgotten():
    merged = []
    for n in range(date_ranges.MAX_RANGES + 20):
        first = date.fromordinal(DAY.toordinal() + 10 * n)
        merged = date_ranges.add_range(
            merged, (first, date.fromordinal(first.toordinal() + (n % 5))), lambda a, b: False
        )
    assert len(merged) == date_ranges.MAX_RANGES
    assert merged == sorted(merged)


@pytest.mark.parametrize(
    ("code", "day", "limit"),
    [
        ("600000", DAY, 0.10),
        ("000001", DAY, 0.10),
        ("300750", date(2020, 8, 21), 0.10),
        ("300750", date(2020, 8, 24), 0.20),
        ("301236", DAY, 0.20),
        ("688981", DAY, 0.20),
        ("430047", DAY, 0.30),
        ("830799", DAY, 0.30),
        ("920002", DAY, 0.30),
        ("510300", DAY, 0.20),
    ],
)
def test_each_board_has_its_limit(code, day, limit):
    assert price_limits.PriceLimits(code).limit_on(day) == limit


def test_special_treatment_is_measured_narrowly_since_its_renaming():
    stock = Stock(
        market="CN", code="600001", name="*ST邯钢", former_names=[{"name": "邯钢", "until": "2024-02-01"}]
    )
    board = price_limits.price_limit_for("CN", "600001", stock)
    assert (board.limit_on(date(2024, 1, 31)), board.limit_on(date(2024, 2, 1))) == (0.10, 0.05)
    stock.former_names = []
    assert price_limits.price_limit_for("CN", "600001", stock).limit_on(DAY) == 0.10, (
        "nobody knows since when"
    )


def test_other_markets_have_no_limit():
    assert (
        price_limits.price_limit_for("US", "AAPL", None)
        is price_limits.price_limit_for("HK", "00700", None)
        is None
    )


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({}, False),
        ({"close": 10.2 + 1e-12}, False),
        ({"close": 10.21}, True),
        ({"volume": 1_001}, True),
        ({"amount": 10_000.0}, True),
    ],
)
def test_the_same_source_is_held_to_every_digit(fields, differs):
    assert (corrections.diff_bars(BAR, BAR._replace(**fields), same_source=True) is not None) == differs


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({"close": 10.204}, False),
        ({"close": 10.21}, True),
        ({"volume": 1_099}, False),
        ({"volume": 1_100}, True),
        ({"turnover": 5.0}, False),
        ({"amount": 10_005.0}, False),
        ({"amount": 10_050.0}, True),
    ],
)
def test_another_source_is_held_to_what_rounding_does_not_explain(fields, differs):
    old = BAR._replace(amount=10_000.0, turnover=1.0)
    new = BAR._replace(**{"amount": 10_000.0, **fields})
    assert (corrections.diff_bars(old, new, same_source=False) is not None) == differs


def sift(*bars, **context):
    return validation.validate(bars, ASKED, Context(today=date(2024, 12, 31), **context))


def test_the_mean_price_lies_between_low_and_high_but_for_rounding():
    fine = BAR._replace(volume=100_000, amount=1_050_500.0)
    off = BAR._replace(volume=100_000, amount=1_070_000.0)
    lots = BAR._replace(volume=100, amount=1_560.0)  # 156 shares, told as one lot
    assert not sift(fine).flags and not sift(lots).flags
    assert [flag.code for flag in sift(off).flags] == ["amount_outside_range"]
    assert [flag.code for flag in sift(BAR._replace(volume=0, amount=5.0)).flags] == []
    assert [flag.code for flag in sift(BAR._replace(volume=0, amount=5e6)).flags] == ["amount_outside_range"]


def test_limits_are_rounded_to_the_cent_as_exchanges_do():
    bar = Bar(DAY, 1.15, 1.16, 1.15, 1.16, 1_000, prev_close=1.05)  # 10.5 %, the limit at this price
    assert not sift(bar, price_limits=price_limits.PriceLimits("600000")).flags


def test_the_previous_close_is_taken_from_the_change_that_a_source_sends():
    bar = Bar(DAY, 5.0, 5.1, 4.9, 5.0, 1_000, change=0.1)
    assert not sift(
        bar,
        price_limits=price_limits.PriceLimits("600000"),
        first_day=ASKED.start,
        previous_close=lambda day: 10.0,
    ).flags


def test_one_bar_with_two_flags_counts_once():
    bar = BAR._replace(volume=100_000, amount=1.0)
    sifted = sift(bar, non_sessions=lambda days: [DAY])
    assert (len(sifted.flags), sifted.flagged_count) == (2, 1)


@given(
    st.lists(
        st.builds(
            Bar,
            st.just(DAY) | st.none() | DAYS,
            *[st.none() | st.floats() | st.integers(-5, 20)] * 4,
            st.none() | st.integers(-5, 10**20) | st.floats(),
            *[st.none() | st.floats()] * 6,
        ),
        max_size=5,
    )
)
def test_whatever_is_sent_is_either_stored_soundly_or_refused(bars):
    sifted = sift(*bars)
    assert len(sifted.bars) + len(sifted.rejected) == len(bars)
    for bar in sifted.bars:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < float("inf")
        assert 0 <= bar.volume <= validation.MAX_VOLUME
