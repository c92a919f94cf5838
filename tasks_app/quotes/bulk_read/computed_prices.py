"""Adjusted prices of whole arrays: the same numbers as `quotes.adjusted_prices` computes one by one.

A product of doubles is within a few units in the last place of the exact one. Nearly everywhere that decides
how the sixth decimal is rounded, so that the result is exact; the few others are computed exactly.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tasks_app.quotes.adjusted_prices import PRICES, Multipliers, adjusted_price, adjusted_shares
from tasks_app.quotes.bulk_read.stored_bars import EPOCH, Array, Bars

MILLION = 1e6  # six decimal places
ERROR = 2e-15  # relative; six roundings of 1.1e-16 each are less
EXACT_INTEGERS = 2.0**51


def adjust_bars(bars: Bars, factors: Sequence[Multipliers | None]) -> Bars:
    """Returns the bars with the prices and volumes of their parts' factors, None for none."""
    if not any(factors):
        return bars
    exact, which = _multipliers_of(bars, factors)
    inexact = np.array([float(value) for value in exact])[which]
    columns, is_plain = dict(bars.columns), which == 0
    for name in filter(columns.__contains__, PRICES):
        adjusted = _times(columns[name], inexact, lambda row: exact[which[row]])
        columns[name] = np.where(is_plain, columns[name], adjusted)
    if "volume" in columns:
        divided = np.array([bool(one and one.with_volume) for one in factors])[bars.part]
        columns["volume"] = _shares(columns["volume"], inexact, divided, lambda row: exact[which[row]])
    return Bars(bars.part, columns)


def _multipliers_of(bars: Bars, factors: Sequence[Multipliers | None]) -> tuple[list[Decimal], Array]:
    """Returns multipliers, and the place among them of each bar's one. The first is for none."""
    exact, which = [Decimal(1)], np.zeros(len(bars), "i8")
    starts = np.flatnonzero(np.diff(bars.part, prepend=-1))
    for first, end in zip(starts, [*starts[1:], len(bars)], strict=True):
        if (own := factors[bars.part[first]]) is not None:
            days = np.array([(day - EPOCH).days for day in own.days], "i4")
            which[first:end] = len(exact) + np.searchsorted(
                days, bars.columns["day"][first:end], side="right"
            )
            exact += own.values
    return exact, which


def _times(prices: Array, multipliers: Array, exact: Callable[[Any], Decimal]) -> Array:
    products = prices * multipliers
    scaled = np.abs(products) * MILLION
    result: Array = np.copysign(np.floor(scaled + 0.5) / MILLION, products)
    for row in np.flatnonzero(~(_is_sure(scaled) | np.isnan(prices))):
        result[row] = adjusted_price(float(prices[row]), exact(row))
    return result


def _shares(volumes: Array, multipliers: Array, wanted: Array, exact: Callable[[Any], Decimal]) -> Array:
    quotients = volumes / multipliers
    result = np.where(wanted, np.floor(quotients + 0.5), 0).astype("i8")
    result = np.where(wanted, result, volumes)
    for row in np.flatnonzero(wanted & ~_is_sure(quotients)):
        result[row] = adjusted_shares(int(volumes[row]), exact(row))
    return result


def _is_sure(values: Array) -> Array:
    """Whether rounding half up does not depend on the error of a value of at least 0."""
    distance = np.abs(values - np.floor(values) - 0.5)
    return (distance > values * ERROR) & (values < EXACT_INTEGERS)
