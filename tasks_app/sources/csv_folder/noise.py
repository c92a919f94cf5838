"""Prices that differ from those the vendor meant by the representation of numbers only."""

import math
from collections.abc import Sequence

DECIMALS = (2, 3, 4)  # of the prices of exchanges
REPRESENTATION = 1e-7  # relative: single precision, in which some clients keep prices
EQUAL = 1e-9  # relative: prices this close are the same one
MOSTLY = 20  # all but one in twenty


def clean_prices(columns: Sequence[list[float]]) -> int:
    """Rounds prices such as 10.300000000000002 in place. Returns how many were changed.

    Only if nearly all prices have few decimals, apart from noise, which adjusted prices have not.
    """
    for decimals in DECIMALS:
        if (odd := _find_noise(columns, decimals)) is not None:
            for column, row, rounded in odd:
                column[row] = rounded
            return len(odd)
    return 0


def _find_noise(columns: Sequence[list[float]], decimals: int) -> list[tuple[list[float], int, float]] | None:
    """Returns the prices that rounding changes by their representation only: column, row, rounded.

    None if too many prices have more decimals.
    """
    odd: list[tuple[list[float], int, float]] = []
    longer = 0
    for column in columns:
        for row, price in enumerate(column):
            rounded = round(price, decimals)
            if rounded == price or math.isnan(price):
                continue
            if abs(price - rounded) <= REPRESENTATION * abs(price):
                odd.append((column, row, rounded))
            else:
                longer += 1
    return odd if longer * MOSTLY <= sum(map(len, columns)) else None


def join_equal(opened: list[float], high: list[float], low: list[float], close: list[float]) -> int:
    """Makes an open or close that is beyond the high or low by representation only equal to it, in place.

    Returns how many were changed.
    """
    count = 0
    for row, (top, bottom) in enumerate(zip(high, low, strict=True)):
        for prices in (opened, close):
            price = prices[row]
            if bottom <= price <= top:
                continue
            for bound in (top, bottom):
                if abs(price - bound) <= EQUAL * abs(bound):
                    prices[row] = bound
                    count += 1
                    break
    return count
