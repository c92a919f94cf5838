"""Arithmetic of answered days: rising, disjoint spans, both ends included."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any

DateRange = tuple[date, date]
DAY = timedelta(days=1)
MAX_RANGES = 100  # spans that are remembered of one series; what is forgotten is merely asked again


def parse(stored: Iterable[Sequence[str]]) -> list[DateRange]:
    """The spans of a `Series.covered`."""
    return [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in stored]


def dump(spans: Iterable[DateRange]) -> list[Any]:
    """The spans as `Series.covered` keeps them."""
    return [[first.isoformat(), last.isoformat()] for first, last in spans]


def add_range(
    spans: Iterable[DateRange], new: DateRange, adjoin: Callable[[date, date], bool]
) -> list[DateRange]:
    """The spans with one more; those between which `adjoin` sees nothing become one.

    `adjoin(a, b)` tells whether no session lies between the end `a` and the beginning `b`.
    """
    merged: list[DateRange] = []
    for span in sorted([*spans, new]):
        if merged and (span[0] <= merged[-1][1] + DAY or adjoin(merged[-1][1], span[0])):
            merged[-1] = (merged[-1][0], max(merged[-1][1], span[1]))
        else:
            merged.append(span)
    longest = sorted(merged, key=lambda span: span[1] - span[0], reverse=True)[:MAX_RANGES]
    return sorted(longest)


def missing_range(days: Sequence[date], spans: Iterable[DateRange]) -> DateRange | None:
    """From the first to the last of the rising days that no span holds; None when all are held."""
    first, last = 0, len(days)
    for start, end in spans:
        if first < last and days[first] >= start:
            first = max(first, bisect_right(days, end))
    for start, end in reversed(list(spans)):
        if first < last and days[last - 1] <= end:
            last = min(last, bisect_left(days, start))
    return (days[first], days[last - 1]) if first < last else None


def missing_calendar_range(window: DateRange, spans: Iterable[DateRange]) -> DateRange | None:
    """The same of all days from the window's first to its last."""
    first, last = window
    for start, end in spans:
        if start <= first <= end:
            first = end + DAY
    for start, end in reversed(list(spans)):
        if start <= last <= end:
            last = start - DAY
    return (first, last) if first <= last else None
