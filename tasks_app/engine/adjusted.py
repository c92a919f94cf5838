"""Adjusted series: a dividend or split moves all of their past, so they are never patched.

An increment is asked for together with some stored bars. Where those have moved, the series is asked
for again as a whole and put in the place of the stored one.
"""

from collections.abc import Sequence
from datetime import date

from tasks_app.engine.missing import bars_of
from tasks_app.models import DailyBar, Series
from tasks_app.sources.base import Bar, Request

# Between two answers to the same question: far below what the smallest dividend moves.
ROUNDING, RELATIVE = 0.0011, 1e-4
SHORT = 0.5


def has_moved(held: Series, request: Request, bars: Sequence[Bar]) -> bool:
    """Whether the new bars can't stand beside the stored ones: other closes, or not one day in common."""
    if not request.adjust or not held.bars or not bars:
        return False
    stored = bars_of(request.market, request.code, request.adjust)
    closes = dict(stored.filter(day__range=(bars[0].day, bars[-1].day)).values_list("day", "close"))
    common = [(closes[bar.day], bar.close) for bar in bars if bar.day in closes]
    return not common or any(abs(a - b) > max(ROUNDING, RELATIVE * abs(a)) for a, b in common)


def is_whole(held: Series, request: Request) -> bool:
    """Whether the request reaches over all that is stored."""
    return (held.first_day or date.max) >= request.start and request.end >= (held.last_day or date.min)


def is_short(held: Series, bars: Sequence[Bar]) -> bool:
    """So few bars that the answer must be cut off: it is no whole series to put in the stored one's place."""
    return len(bars) < SHORT * held.bars


def drop_others(request: Request, bars: Sequence[Bar]) -> list[date]:
    """Delete the stored bars of days that the whole series does not have; those days."""
    stored = bars_of(request.market, request.code, request.adjust)
    gone = sorted(set(stored.values_list("day", flat=True)) - {bar.day for bar in bars})
    for first in range(0, len(gone), 500):
        DailyBar.objects.filter(pk__in=stored.filter(day__in=gone[first : first + 500])).delete()
    return gone
