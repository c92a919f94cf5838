"""Adjusted series: a dividend or split moves all of their past, so they are never patched.

An increment is asked for together with some stored bars. Where those have moved, the series is asked
for again as a whole and put in the place of the stored one.
"""

from collections.abc import Collection, Sequence
from datetime import date

from tasks_app.models import DailyBar, Series
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import Bar, Request

# Between two answers to the same question: far below what the smallest dividend moves.
ROUNDING, RELATIVE = 0.0011, 1e-4
MOST_LOST = 0.05  # of the stored days


def is_rebased(held: Series, request: Request, bars: Sequence[Bar]) -> bool:
    """Whether the new bars can't stand beside the stored ones: other closes, or not one day in common."""
    if not request.adjust or not held.bars or not bars:
        return False
    stored = bars_of(request.market, request.code, request.adjust)
    closes = dict(stored.filter(day__range=(bars[0].day, bars[-1].day)).values_list("day", "close"))
    common = [(closes[bar.day], bar.close) for bar in bars if bar.day in closes]
    return not common or any(abs(a - b) > max(ROUNDING, RELATIVE * abs(a)) for a, b in common)


def spans_series(held: Series, request: Request) -> bool:
    """Whether the request reaches over all that is stored."""
    return (held.first_day or date.max) >= request.start and request.end >= (held.last_day or date.min)


def lost_days(request: Request, bars: Sequence[Bar]) -> list[date]:
    """The stored days that the answer has no bar of, rising."""
    stored = bars_of(request.market, request.code, request.adjust).values_list("day", flat=True)
    return sorted(set(stored) - {bar.day for bar in bars})


def is_truncated(held: Series, bars: Sequence[Bar], lost: Collection[date]) -> bool:
    """Whether the answer to a whole request is too little to be put in the stored series' place.

    Judged by the stored days that it lacks: one is allowed before its first bar or after its last, for
    sources differ by the day of a listing or the newest one, and 5 % in all, but always one. More is a
    page that was cut off, or a source with less of the past: a stock that fails costs no history.
    """
    outside = sum(not bars[0].day <= day <= bars[-1].day for day in lost)
    return outside > 1 or len(lost) > max(1, MOST_LOST * held.bars)


def delete_days(request: Request, days: Sequence[date]) -> None:
    """Delete the stored bars of these days."""
    stored = bars_of(request.market, request.code, request.adjust)
    for first in range(0, len(days), 500):
        DailyBar.objects.filter(pk__in=stored.filter(day__in=days[first : first + 500])).delete()
