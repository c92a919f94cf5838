"""The column checks never pass a response in which the checks per bar find something."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings, strategies as st

from tasks_app.market.price_limits import PriceLimits
from tasks_app.quotes import column_checks, validation
from tasks_app.sources.base import Bar, Request

FIRST = date(2024, 3, 1)
TODAY = date(2024, 3, 20)
REQUESTS = {adjust: Request("CN", "600000", FIRST, date(2024, 12, 31), adjust) for adjust in ("", "qfq")}
NUMBERS = (float("nan"), float("inf"), -float("inf"), 0, 0.0, -1.0, 1e308, 2**63, 10**400, 10, 10.2, 12_000.0)
DATES = (FIRST, FIRST - timedelta(days=1), TODAY, TODAY + timedelta(days=1), datetime(2024, 3, 5))
ODD_VALUES = st.sampled_from([None, True, "", "10", Decimal("10.1"), 9.4, 11.6, *NUMBERS, *DATES])


def make_bar(place):
    return Bar(
        FIRST + timedelta(days=place), 10.0, 10.5, 9.5, 10.2, 1_000, 10.1, 10_100.0, 9.0, 0.1, 1.0, 0.5
    )


def validate(bars, adjust, is_st):
    """Returns the result as text, or the type of the error raised."""
    limits = PriceLimits("600000", st_since=FIRST if is_st else None)
    context = validation.Context(TODAY, lambda days: [], limits, lambda day: 10.0, FIRST)
    try:
        return repr(validation.validate(bars, REQUESTS[adjust], context))
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return type(error)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11), ODD_VALUES), max_size=3),
    st.sampled_from(["", "qfq"]),
    st.booleans(),
    st.sampled_from([None, 6, 7, 9]),
)
def test_column_checks_agree_with_bar_checks(changes, adjust, is_st, left_out):
    bars = [make_bar(place) for place in range(6)]
    if left_out:
        bars = [Bar._make(None if n == left_out else v for n, v in enumerate(bar)) for bar in bars]
    for place, column, value in changes:
        bars[place] = Bar._make(value if n == column else v for n, v in enumerate(bars[place]))
    result = validate(bars, adjust, is_st)
    columns, column_checks.to_columns = column_checks.to_columns, lambda bars: None
    try:
        assert result == validate(bars, adjust, is_st)
    finally:
        column_checks.to_columns = columns


def test_numbers_that_can_not_be_compared_are_left_to_the_check_per_bar():
    bars = [make_bar(0)._replace(high=Decimal("10.1")), make_bar(1)._replace(high=float("nan"))]
    assert not column_checks.all_valid(column_checks.to_columns(bars), FIRST, TODAY, 0.0, 10**12)


def test_valid_response_passes_every_column_check():
    bars = [make_bar(place) for place in range(6)]
    columns = column_checks.to_columns(bars)
    assert column_checks.all_valid(columns, FIRST, TODAY, 0.0, validation.MAX_VOLUME)
    assert column_checks.amounts_consistent(
        columns, validation.TICK, validation.MEAN_TOLERANCE, validation.LOT
    )
    assert column_checks.within_price_limit(columns, 0.1, validation.TICK)
    assert not column_checks.within_price_limit(columns, 0.01, validation.TICK)


def test_non_bars_have_no_columns():
    assert column_checks.to_columns([]) is None
    assert column_checks.to_columns([tuple(make_bar(0))]) is None
