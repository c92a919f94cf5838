"""When two sources agree on a day, and when they differ by more than rounding."""

from datetime import date

import pytest

from tasks_app.quotes.source_comparison import Side, compare
from tests.fakes.recording_source import make_bar

DAY = date(2024, 3, 1)


def differing(here, there, **options):
    """Returns the fields in which two sources' bars of a day differ."""
    found = compare(Side([make_bar(DAY, **here)]), Side([make_bar(DAY, **there)]), **options)
    return [name for each in found.differences for name in each.here]


@pytest.mark.parametrize(
    ("here", "there", "fields"),
    [
        ({}, {}, []),
        ({"open": 10.12}, {"open": 10.1151}, []),  # rounded to cents
        ({"open": 10.12}, {"open": 10.1149}, ["open"]),
        ({"open": 10.125}, {"open": 10.13}, []),  # half a cent
        ({"open": 10.0}, {"open": 10.04}, ["open"]),  # round by chance
        ({"volume": 123_400}, {"volume": 123_456}, []),  # whole lots
        ({"volume": 123_400}, {"volume": 123_500}, ["volume"]),
        ({"volume": 123_457}, {"volume": 123_456}, ["volume"]),
        ({"amount": 123_450_000.0}, {"amount": 123_454_321.5}, []),  # in ten thousands
        ({"amount": 123_450_000.0}, {"amount": 123_468_000.0}, ["amount"]),
        ({"amount": 863_100_689.0}, {"amount": 86_310.07 * 10_000}, []),  # 863100700.0000001
        ({"amount": None}, {"amount": 5.0}, []),  # one source does not send it
    ],
)
def test_values_differ_beyond_rounding_only(here, there, fields):
    assert differing(here, there) == fields
    assert differing(there, here) == fields


def test_prices_below_one_are_compared_by_thousandths():
    cheap = make_bar(DAY, 0.5, high=0.506)
    found = compare(Side([cheap]), Side([cheap._replace(high=0.508)]))
    assert [each.here for each in found.differences] == [{"high": 0.506}]


def test_adjusted_prices_differ_beyond_their_factors_rounding_only():
    assert differing({"high": 20_000.0}, {"high": 20_001.0}, adjusted=True) == []
    assert differing({"high": 20_000.0}, {"high": 20_010.0}, adjusted=True) == ["high"]


def test_source_of_one_decimal_is_compared_by_tenths():
    days = [date(2024, 3, n) for n in range(1, 15)]
    rough = Side([make_bar(day, 10.5) for day in days])
    fine = Side([make_bar(day, 10.54, high=10.64, low=10.4) for day in days])
    assert not compare(rough, fine).differences


def test_day_of_one_source_only_is_a_difference():
    found = compare(Side([make_bar(DAY)]), Side([make_bar(DAY.replace(day=4))]))
    assert [(each.code, each.day.day) for each in found.differences] == [
        ("missing_there", 1),
        ("missing_here", 4),
    ]
    assert found.bars == 2
    assert (found.counts["day", DAY].compared, found.counts["day", DAY].differing) == (2, 2)


def test_suspended_day_without_volume_is_no_difference():
    there = Side([], suspended={DAY})
    assert compare(Side([make_bar(DAY, volume=0)]), there).bars == 0
    assert compare(Side([make_bar(DAY)]), there).differences


def test_day_with_a_refused_bar_is_not_compared():
    assert compare(Side([make_bar(DAY)]), Side([], refused={DAY})).bars == 0


def test_counts_are_by_field_and_month_with_the_largest_difference():
    days = [DAY, DAY.replace(day=4), date(2024, 4, 1)]
    there = [make_bar(day, amount=None)._replace(close=9.95) for day in days]
    there[1] = there[1]._replace(close=8.0, low=8.0)
    found = compare(Side([make_bar(day) for day in days]), Side(there))
    march, april = found.counts["close", DAY], found.counts["close", days[2]]
    assert (march.compared, march.differing, march.worst) == (2, 2, pytest.approx(0.2))
    assert (april.compared, april.differing, april.worst) == (1, 1, pytest.approx(0.005))
    assert found.counts["low", DAY].differing == 1
    assert ("amount", DAY) not in found.counts
