"""Arithmetic of answered days."""

from datetime import date
from itertools import pairwise

from hypothesis import given, strategies as st

from tasks_app.quotes import date_ranges

DAY = date(2024, 3, 1)
DAYS = st.integers(0, 60).map(lambda n: date.fromordinal(DAY.toordinal() + n))
RANGES = st.lists(st.tuples(DAYS, DAYS).map(lambda pair: (min(pair), max(pair))), max_size=8)


def contains(ranges, day):
    return any(first <= day <= last for first, last in ranges)


def merge(ranges):
    merged = []
    for one in ranges:
        merged = date_ranges.add_range(merged, one, lambda end, start: False)
    return merged


@given(RANGES)
def test_merged_ranges_hold_the_same_days(ranges):
    merged = merge(ranges)
    for n in range(61):
        day = date.fromordinal(DAY.toordinal() + n)
        assert contains(merged, day) == contains(ranges, day)
    assert all(a[1] < b[0] for a, b in pairwise(merged))
    assert date_ranges.parse(date_ranges.dump(merged)) == merged


@given(RANGES, st.sets(DAYS))
def test_missing_range_spans_all_missing_days(ranges, days):
    merged, days = merge(ranges), sorted(days)
    missing = [day for day in days if not contains(merged, day)]
    expected = (missing[0], missing[-1]) if missing else None
    assert date_ranges.missing_range(days, merged) == expected


@given(RANGES)
def test_missing_calendar_range_agrees(ranges):
    merged = merge(ranges)
    window = [date.fromordinal(DAY.toordinal() + n) for n in range(10, 40)]
    assert date_ranges.missing_calendar_range((window[0], window[-1]), merged) == date_ranges.missing_range(
        window, merged
    )


def test_only_the_longest_ranges_are_kept():
    merged = []
    for n in range(date_ranges.MAX_RANGES + 20):
        first = date.fromordinal(DAY.toordinal() + 10 * n)
        merged = date_ranges.add_range(
            merged, (first, date.fromordinal(first.toordinal() + (n % 5))), lambda a, b: False
        )
    assert len(merged) == date_ranges.MAX_RANGES
    assert merged == sorted(merged)


@given(RANGES, RANGES)
def test_subtracted_days_are_gone_and_the_others_stay(ranges, holes):
    merged = merge(ranges)
    left = date_ranges.subtract_ranges(merged, holes)
    assert left == sorted(left)
    for n in range(-5, 80):
        day = date.fromordinal(DAY.toordinal() + n)
        is_in_hole = any(first <= day <= last for first, last in holes)
        assert contains(left, day) == (contains(merged, day) and not is_in_hole)


def test_whole_time_can_be_subtracted():
    assert date_ranges.subtract_ranges([(DAY, DAY)], [(date.min, date.max)]) == []
