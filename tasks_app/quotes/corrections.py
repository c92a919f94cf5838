"""When a stored bar and a new one of the same day differ, and what is to be stored then.

Two numbers that differ by representation only are the same. A value that the new bar lacks never
overwrites a stored one, unless the prices changed too: then it belonged to the old prices.

A bar of another source than the stored one's (a fallback) replaces it only where the two contradict
each other: vendors round, and some count in lots. Otherwise the stored bar stays as it is, so that
it keeps one origin.
"""

from dataclasses import dataclass
from typing import Any

from tasks_app.sources.base import Bar

REPRESENTATION = 1e-9  # relative
HALF_A_CENT, HALF_A_PERCENT = 0.0051, 0.005
LOT = 100
AMOUNT = 0.001  # relative
TRADE = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class BarDiff:
    """A stored bar and what it becomes."""

    old: Bar
    new: Bar

    @property
    def columns(self) -> list[str]:
        """The columns that change."""
        pairs = zip(Bar._fields, self.old, self.new, strict=True)
        return [name for name, old, new in pairs if not _same(old, new)]

    def before(self) -> dict[str, Any]:
        """The changed columns as they were."""
        return {name: getattr(self.old, name) for name in self.columns}

    def after(self) -> dict[str, Any]:
        """The changed columns as they are now."""
        return {name: getattr(self.new, name) for name in self.columns}


def diff_bars(old: Bar, new: Bar, *, same_source: bool) -> BarDiff | None:
    """What storing `new` over `old` changes; None when it changes nothing."""
    if not same_source and not conflicts(old, new):
        return None
    if all(_same(getattr(old, name), getattr(new, name)) for name in TRADE):
        new = Bar._make(before if after is None else after for before, after in zip(old, new, strict=True))
    change = BarDiff(old, new)
    return change if change.columns else None


def conflicts(old: Bar, new: Bar) -> bool:
    """Whether two sources tell different things of a day, beyond what rounding explains."""
    prices = zip(old[1:5], new[1:5], strict=True)
    if any(abs(a - b) > min(HALF_A_CENT, HALF_A_PERCENT * abs(a)) for a, b in prices):
        return True
    if abs(old.volume - new.volume) >= LOT:
        return True
    if old.amount is None or new.amount is None:
        return False
    return abs(old.amount - new.amount) > AMOUNT * abs(old.amount)


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None or a == b:
        return a is b or a == b
    if not isinstance(a, int | float):
        return False
    return bool(abs(a - b) <= REPRESENTATION * max(abs(a), abs(b)))
