"""Validation of single responses."""

from datetime import date

import pytest
from hypothesis import given, strategies as st

from tasks_app.market.price_limits import PriceLimits
from tasks_app.quotes import validation
from tasks_app.quotes.validation import Context
from tasks_app.sources.base import Bar, Request

DAY = date(2024, 3, 1)
BAR = Bar(DAY, 10.0, 10.5, 9.5, 10.2, 1_000)
REQUEST = Request("CN", "600000", date(2024, 1, 1), date(2024, 12, 31))
DAYS = st.integers(0, 60).map(lambda n: date.fromordinal(DAY.toordinal() + n))


def validate(*bars, **context):
    return validation.validate(bars, REQUEST, Context(today=date(2024, 12, 31), **context))


def test_mean_price_outside_the_range_is_flagged():
    within = BAR._replace(volume=100_000, amount=1_050_500.0)
    outside = BAR._replace(volume=100_000, amount=1_070_000.0)
    lots = BAR._replace(volume=100, amount=1_560.0)  # 156 shares, sent as one lot
    assert not validate(within).flags and not validate(lots).flags
    assert [flag.code for flag in validate(outside).flags] == ["amount_outside_range"]
    assert [flag.code for flag in validate(BAR._replace(volume=0, amount=5.0)).flags] == []
    assert [flag.code for flag in validate(BAR._replace(volume=0, amount=5e6)).flags] == [
        "amount_outside_range"
    ]


def test_a_share_without_volume_is_flagged():
    bar = BAR._replace(volume=0)
    assert [flag.code for flag in validate(bar).flags] == ["no_volume"]
    fund = Request("CN", "510300", REQUEST.start, REQUEST.end)
    assert not validation.validate([bar], fund, Context(today=REQUEST.end)).flags


def test_price_limit_is_rounded_to_the_cent():
    bar = Bar(DAY, 1.15, 1.16, 1.15, 1.16, 1_000, prev_close=1.05)  # 10.5 %, the limit at this price
    assert not validate(bar, price_limits=PriceLimits("600000")).flags


def test_previous_close_follows_from_the_change():
    bar = Bar(DAY, 5.0, 5.1, 4.9, 5.0, 1_000, change=0.1)
    assert not validate(
        bar,
        price_limits=PriceLimits("600000"),
        first_day=REQUEST.start,
        previous_close=lambda day: 10.0,
    ).flags


LATE = date(2024, 3, 4)


def first_bars(closes):
    return [Bar(date.fromordinal(LATE.toordinal() + n), c, c, c, c, 1_000) for n, c in enumerate(closes)]


@pytest.mark.parametrize("listed_on", [None, LATE], ids=["late_file", "listed"])
@pytest.mark.parametrize("place", [1, 4])
def test_kind_of_fall_by_nine_tenths_in_the_first_bars_is_flagged(place, listed_on):
    bars = first_bars([10.5] * place + [1.05] * 3)
    limits = PriceLimits("600000", listed_on)
    flags = validate(*bars, price_limits=limits).flags
    assert [(flag.code, flag.day) for flag in flags] == [("jump_without_factor", bars[place].day)]
    assert not validate(*bars, price_limits=limits, explains_jump=lambda after, day, times: True).flags


def test_kind_of_fall_after_the_first_bars_is_beyond_the_limit():
    flags = validate(*first_bars([10.5] * 5 + [1.05]), price_limits=PriceLimits("600000")).flags
    assert [flag.code for flag in flags] == ["jump_beyond_limit"]


@pytest.mark.parametrize("closes", [[10.0, 40.0, 90.0], [40.0, 28.0, 19.0]])
def test_first_bars_of_a_listing_may_rise_and_fall(closes):
    assert not validate(*first_bars(closes), price_limits=PriceLimits("688001")).flags


def test_bar_with_two_flags_counts_once():
    bar = BAR._replace(volume=100_000, amount=1.0)
    result = validate(bar, non_sessions=lambda days: [DAY])
    assert (len(result.flags), result.flagged_count) == (2, 1)


@given(
    st.lists(
        st.builds(
            Bar,
            st.just(DAY) | DAYS,
            *[st.none() | st.floats() | st.integers(-5, 20)] * 4,
            st.none() | st.integers(-5, 10**20) | st.floats(),
            *[st.none() | st.floats()] * 6,
        ),
        max_size=5,
    )
)
def test_any_bar_is_stored_soundly_or_refused(bars):
    result = validate(*bars)
    assert len(result.bars) + len(result.refused) == len(bars)
    for bar in result.bars:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < float("inf")
        assert 0 <= bar.volume <= validation.MAX_VOLUME
