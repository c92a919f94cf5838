"""Prices that differ from those the vendor meant by the representation of numbers only."""

import math
from collections.abc import Sequence

DECIMALS = 4  # the finest prices of any exchange here
REPRESENTATION = 1e-7  # relative: single precision, in which some clients keep prices
EQUAL = 1e-9  # relative: prices this close are the same one
MOSTLY = 20  # all but one in twenty


def clean_prices(columns: Sequence[list[float]]) -> int:
    """Rounds prices such as 10.300000000000002 in place. Returns how many were changed.

    Only if nearly all prices are decimal fractions of at most four digits, which adjusted ones are not.
    """
    odd: list[tuple[int, int, float]] = []
    long = total = 0
    for at, column in enumerate(columns):
        for row, price in enumerate(column):
            total += 1
            rounded = round(price, DECIMALS)
            if rounded == price or math.isnan(price):
                continue
            if abs(price - rounded) <= REPRESENTATION * abs(price):
                odd.append((at, row, rounded))
            else:
                long += 1
    if long * MOSTLY > total:
        return 0
    for at, row, rounded in odd:
        columns[at][row] = rounded
    return len(odd)


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
