"""Arithmetic of answered days: ascending, disjoint date ranges, both ends included."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

DateRange = tuple[date, date]
DAY = timedelta(days=1)
MAX_RANGES = 100  # per series; the days of a dropped range are merely requested again


def parse(covered: Iterable[Sequence[str]]) -> list[DateRange]:
    """Returns the ranges of a `Series.covered`."""
    return [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in covered]


def dump(ranges: Iterable[DateRange]) -> list[Any]:
    """Returns the ranges as `Series.covered` stores them."""
    return [[first.isoformat(), last.isoformat()] for first, last in ranges]


def add_range(
    ranges: Iterable[DateRange], new: DateRange, contiguous: Callable[[date, date], bool]
) -> list[DateRange]:
    """Returns the ranges with one more, merged where they overlap or adjoin; the longest 100 are kept.

    `contiguous(a, b)` returns whether no session lies between a range's end `a` and the next one's start `b`.
    """
    merged: list[DateRange] = []
    for first, last in sorted([*ranges, new]):
        if merged and (first <= merged[-1][1] + DAY or contiguous(merged[-1][1], first)):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return _longest(merged)


def merge(ranges: Iterable[DateRange]) -> list[DateRange]:
    """Returns ranges in any order as ascending, disjoint ones."""
    merged: list[DateRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + DAY:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def subtract_ranges(ranges: Iterable[DateRange], holes: Iterable[DateRange]) -> list[DateRange]:
    """Returns the ranges without the days of the holes; the longest 100 are kept."""
    left = list(ranges)
    for hole in holes:
        left = [part for one in left for part in _cut(one, hole)]
    return _longest(left)


def missing_range(days: Sequence[date], ranges: Sequence[DateRange]) -> DateRange | None:
    """Returns the first and last of the ascending days that lie in no range, None if all do."""
    first, last = 0, len(days)
    for start, end in ranges:
        if first < last and days[first] >= start:
            first = max(first, bisect_right(days, end))
    for start, end in reversed(ranges):
        if first < last and days[last - 1] <= end:
            last = min(last, bisect_left(days, start))
    return (days[first], days[last - 1]) if first < last else None


def missing_calendar_range(window: DateRange, ranges: Sequence[DateRange]) -> DateRange | None:
    """The same for every day of the window, without listing its days."""
    first, last = window
    for start, end in ranges:
        if start <= first <= end:
            first = end + DAY
    for start, end in reversed(ranges):
        if start <= last <= end:
            last = start - DAY
    return (first, last) if first <= last else None


def _longest(ranges: Iterable[DateRange]) -> list[DateRange]:
    """Returns the longest ranges, ascending, as many as a series may keep."""
    return sorted(sorted(ranges, key=lambda one: one[1] - one[0], reverse=True)[:MAX_RANGES])


def _cut(one: DateRange, hole: DateRange) -> list[DateRange]:
    """Returns what remains of a range: itself, one or two parts, or nothing."""
    if one[1] < hole[0] or hole[1] < one[0]:
        return [one]
    parts = [(one[0], hole[0] - DAY)] if one[0] < hole[0] else []
    return [*parts, (hole[1] + DAY, one[1])] if hole[1] < one[1] else parts
