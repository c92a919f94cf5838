"""Fast column-wise validation of a whole response, several times as fast as checking bar by bar.

Each function returns True only if the check of every single bar would find nothing. Anything unusual, even if
only by its type, returns False, and the bars are checked one by one (`quotes.validation`).
"""

import math
from collections.abc import Sequence
from datetime import date
from itertools import chain
from operator import le, lt, sub
from typing import Any

from tasks_app.sources.base import Bar

WIDTH = len(Bar._fields)
# Amount, amplitude, turnover and the price limits, by their places after the volume.
NEVER_NEGATIVE = [
    Bar._fields.index(name) - 6 for name in ("amount", "amplitude", "turnover", "limit_up", "limit_down")
]
Column = Sequence[Any]


def to_columns(bars: Sequence[Bar]) -> list[Column] | None:
    """Returns one list of values per column, in the order of `Bar._fields`; None unless all are `Bar`s."""
    if set(map(type, bars)) != {Bar}:
        return None
    values = list(chain.from_iterable(bars))  # zip would trigger garbage collections, and getters are slower
    return [values[place::WIDTH] for place in range(WIDTH)]


def all_valid(columns: Sequence[Column], first: date, last: date, floor: float, max_volume: int) -> bool:
    """Returns whether every bar may be stored, and their dates ascend within `first` to `last`.

    Prices must be above `floor`.
    """
    days, opens, highs, lows, closes, volumes, *rest = columns
    prices_in_order = ((lows, opens), (lows, closes), (opens, highs), (closes, highs))
    try:
        rest = [[v for v in column if v is not None] if None in column else column for column in rest]
        return (
            set(map(type, days)) == {date}
            and first <= days[0]
            and days[-1] <= last
            and all(map(lt, days, days[1:]))
            and floor < min(lows)
            and math.isfinite(min(lows))
            and math.isfinite(max(highs))  # raises for an int beyond any float, as the check per bar does
            and all(all(map(le, a, b)) for a, b in prices_in_order)
            and set(map(type, volumes)) == {int}
            and min(volumes) >= 0
            and max(volumes) <= max_volume
            and all(math.isfinite(sum(column)) for column in rest)
            and all(min(rest[place], default=0) >= 0 for place in NEVER_NEGATIVE)
        )
    except (TypeError, ArithmeticError):  # a Decimal beside a NaN can't be compared
        return False


def amounts_consistent(columns: Sequence[Column], tick: float, tolerance: float, lot: int) -> bool:
    """Returns whether amount ÷ volume lies between low and high everywhere, but for rounding."""
    _, _, highs, lows, _, volumes, _, amounts, *_ = columns
    if None in amounts:
        return False
    return all(
        [  # noqa: C419 - faster
            (low - (slack := tick + high * tolerance)) * (vol - lot) <= amount <= (high + slack) * (vol + lot)
            for high, low, vol, amount in zip(highs, lows, volumes, amounts, strict=True)
        ]
    )


def within_price_limit(columns: Sequence[Column], limit: float, tick: float) -> bool:
    """Returns whether the source sent every previous close, and no price is further from it than `limit`."""
    _, _, highs, lows, closes, _, prev_closes, _, _, changes, *_ = columns
    if None in prev_closes:
        if set(prev_closes) != {None} or None in changes:
            return False
        prev_closes = list(map(sub, closes, changes))
    return min(prev_closes) > 0 and all(
        [  # noqa: C419 - faster
            high - before <= before * limit + tick >= before - low
            for high, low, before in zip(highs, lows, prev_closes, strict=True)
        ]
    )


def without_jumps(columns: Sequence[Column], jump: float) -> bool:
    """Returns whether every open is within a factor `jump` of the close before, all prices being positive."""
    _, opens, _, lows, closes, *_ = columns
    return (
        min(lows) > 0
        and all(
            [  # noqa: C419 - faster
                close < opened * jump and opened < close * jump
                for opened, close in zip(opens[1:], closes, strict=False)
            ]
        )
    )
