"""Adjusted series (qfq, hfq): a dividend or split changes all past prices, so they are never patched.

An increment is requested together with some stored bars. If their prices have changed, the whole series is
requested again and replaces the stored one.
"""

from collections.abc import Collection, Sequence
from datetime import date

from tasks_app.models import DailyBar, Series
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import Bar, Request

# Between two responses to the same request: far less than the smallest dividend changes.
CLOSE_TOLERANCE, CLOSE_TOLERANCE_SHARE = 0.0011, 1e-4
MAX_LOST = 0.05  # of the stored days
DELETE_BATCH = 500  # days


def is_rebased(series: Series, request: Request, bars: Sequence[Bar]) -> bool:
    """Returns whether new bars do not fit the stored ones: closes differ, or they have no day in common."""
    if not request.adjust or not series.bars or not bars:
        return False
    stored = bars_of(request.market, request.code, request.adjust)
    closes = dict(stored.filter(day__range=(bars[0].day, bars[-1].day)).values_list("day", "close"))
    common = [(closes[bar.day], bar.close) for bar in bars if bar.day in closes]
    return not common or any(
        abs(a - b) > max(CLOSE_TOLERANCE, CLOSE_TOLERANCE_SHARE * abs(a)) for a, b in common
    )


def spans_series(series: Series, request: Request) -> bool:
    """Returns whether the request includes every stored day."""
    return (series.first_day or date.max) >= request.start and request.end >= (series.last_day or date.min)


def lost_days(request: Request, bars: Sequence[Bar]) -> list[date]:
    """Returns the stored days without a bar in the response, ascending."""
    stored = bars_of(request.market, request.code, request.adjust).values_list("day", flat=True)
    return sorted(set(stored) - {bar.day for bar in bars})


def is_truncated(series: Series, bars: Sequence[Bar], lost: Collection[date]) -> bool:
    """Returns whether the response to a request for the whole series is too short to replace the stored one.

    Judged by the stored days that it lacks. One may lie before its first bar or after its last, since sources
    differ by the day of a listing or by the newest day; in all 5 % may be missing, and always one. More means
    that a page was cut off, or that the source has less of the past: failing the stock costs no history.
    """
    outside = sum(not bars[0].day <= day <= bars[-1].day for day in lost)
    return outside > 1 or len(lost) > max(1, MAX_LOST * series.bars)


def delete_days(request: Request, days: Sequence[date]) -> None:
    """Deletes the stored bars of these days."""
    stored = bars_of(request.market, request.code, request.adjust)
    for first in range(0, len(days), DELETE_BATCH):
        batch = stored.filter(day__in=days[first : first + DELETE_BATCH])
        DailyBar.objects.filter(pk__in=batch).delete()
