"""A glance at a whole answer, column by column: several times as fast as a close look at each bar.

Nearly always all is well. Each function says so only when the close look would find nothing, either;
whatever is unusual, if only by its type, gets the close look.
"""

import math
from collections.abc import Sequence
from datetime import date
from operator import itemgetter, le, lt, sub
from typing import Any

from tasks_app.sources.base import Bar

GETTERS = [itemgetter(place) for place in range(len(Bar._fields))]  # zip would wake the garbage collector
Column = Sequence[Any]


def to_columns(bars: Sequence[Bar]) -> list[Column] | None:
    """The bars by column; None unless all are bars."""
    return [list(map(get, bars)) for get in GETTERS] if set(map(type, bars)) == {Bar} else None


def all_valid(by_column: Sequence[Column], first: date, last: date, floor: float, most: int) -> bool:
    """Whether every bar may be stored, and they come by rising day."""
    days, opened, high, low, close, volume, *rest = by_column
    try:
        return (
            set(map(type, days)) == {date}
            and first <= days[0]
            and days[-1] <= last
            and all(map(lt, days, days[1:]))
            and floor < min(low)
            and math.isfinite(min(low))
            and math.isfinite(max(high))  # raises for an int beyond any float, as the close look does
            and all(
                all(map(le, a, b)) for a, b in ((low, opened), (low, close), (opened, high), (close, high))
            )
            and set(map(type, volume)) == {int}
            and min(volume) >= 0
            and max(volume) <= most
            and all(map(_finite, rest))
            and all(min(_given(rest[place]), default=0) >= 0 for place in (1, 2, 5))
        )
    except (TypeError, OverflowError):
        return False


def amounts_consistent(by_column: Sequence[Column], tick: float, tolerance: float, lot: int) -> bool:
    """Whether amount ÷ volume lies between low and high everywhere, but for rounding."""
    _, _, high, low, _, volume, _, amount, *_ = by_column
    if None in amount:
        return False
    return all(
        [  # noqa: C419 - faster
            (lo - (slack := tick + h * tolerance)) * (v - lot) <= a <= (h + slack) * (v + lot)
            for h, lo, v, a in zip(high, low, volume, amount, strict=True)
        ]
    )


def within_price_limit(by_column: Sequence[Column], limit: float, tick: float) -> bool:
    """Whether no price is further from the previous close that the source tells than the limit."""
    _, _, high, low, close, _, told, _, _, change, *_ = by_column
    if None in told:
        if set(told) != {None} or None in change:
            return False
        told = list(map(sub, close, change))
    return min(told) > 0 and all(
        [  # noqa: C419 - faster
            h - before <= before * limit + tick >= before - lo
            for h, lo, before in zip(high, low, told, strict=True)
        ]
    )


def _given(column: Column) -> Column:
    return [value for value in column if value is not None] if None in column else column


def _finite(column: Column) -> bool:
    return math.isfinite(sum(_given(column)))
