"""Compares a stored bar with a new one of the same day, and decides what is stored.

Two numbers that differ by representation only are equal. A value that the new bar lacks never overwrites a
stored one, unless the prices changed, too: then it belonged to the old prices.

A bar of another source than the stored one's (a fallback) replaces it only if the two conflict: vendors
round, and some count in lots. Otherwise the stored bar stays as it is, so that its values have one origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks_app.sources.base import Bar

REPRESENTATION = 1e-9  # relative: what the representation of a number explains
PRICE_TOLERANCE, PRICE_TOLERANCE_SHARE = 0.0051, 0.005  # half a cent, or half a percent of a very low price
LOT = 100  # shares
AMOUNT_TOLERANCE = 0.001  # relative
DAY_COLUMNS = {"is_st", "limit_up", "limit_down"}  # what a source says of the day, not of its trade
MIN_RESCALE = 0.005  # of a price: a smaller one could be rounding, or a late figure
TRADE_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class BarDiff:
    """A stored bar with the source that it came from, and the bar that replaces it."""

    old: Bar
    new: Bar
    source: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns that change."""
        pairs = zip(Bar._fields, self.old, self.new, strict=True)
        return [name for name, old, new in pairs if not _is_equal(old, new)]

    @property
    def is_correction(self) -> bool:
        """Whether it changes more than what is said of the day where nothing was said before."""
        return any(name not in DAY_COLUMNS or getattr(self.old, name) is not None for name in self.columns)

    def before(self) -> dict[str, Any]:
        """Returns the changed columns with their old values."""
        return {name: getattr(self.old, name) for name in self.columns}

    def after(self) -> dict[str, Any]:
        """Returns the changed columns with their new values."""
        return {name: getattr(self.new, name) for name in self.columns}


def diff_bars(old: Bar, new: Bar, *, same_source: bool, source: str = "") -> BarDiff | None:
    """Returns what storing `new` over `old`, which came from `source`, changes; None for nothing."""
    if not same_source and not conflicts(old, new):
        return None
    if all(_is_equal(getattr(old, name), getattr(new, name)) for name in TRADE_COLUMNS):
        new = Bar._make(before if after is None else after for before, after in zip(old, new, strict=True))
    diff = BarDiff(old, new, source)
    return diff if diff.columns else None


def conflicts(old: Bar, new: Bar) -> bool:
    """Returns whether bars of two sources differ by more than rounding explains."""
    prices = zip(old[1:5], new[1:5], strict=True)
    if any(abs(a - b) > min(PRICE_TOLERANCE, PRICE_TOLERANCE_SHARE * abs(a)) for a, b in prices):
        return True
    if abs(old.volume - new.volume) >= LOT:
        return True
    if old.amount is None or new.amount is None:
        return False
    return abs(old.amount - new.amount) > AMOUNT_TOLERANCE * abs(old.amount)


def rescale_ratio(diffs: Sequence[BarDiff]) -> float | None:
    """Returns the one ratio of new to old prices, if all prices of at least two bars have it; else None.

    Late figures do not look like that: a vendor has adjusted its past for a split or dividend. Prices are
    rounded to cents, so each pair of them allows a range of ratios, which must all have one in common.
    """
    pairs = [pair for diff in diffs for pair in zip(diff.old[1:5], diff.new[1:5], strict=True)]
    if len(diffs) < 2 or any(min(pair) <= PRICE_TOLERANCE for pair in pairs):
        return None
    lowest = max((new - PRICE_TOLERANCE) / (old + PRICE_TOLERANCE) for old, new in pairs)
    highest = min((new + PRICE_TOLERANCE) / (old - PRICE_TOLERANCE) for old, new in pairs)
    ratio = (lowest + highest) / 2
    is_other = not lowest <= 1 <= highest and abs(ratio - 1) >= MIN_RESCALE
    return ratio if lowest <= highest and is_other else None


def _is_equal(a: Any, b: Any) -> bool:
    if a is None or b is None or a == b:
        return a is b or a == b
    if not isinstance(a, int | float):
        return False
    return bool(abs(a - b) <= REPRESENTATION * max(abs(a), abs(b)))
