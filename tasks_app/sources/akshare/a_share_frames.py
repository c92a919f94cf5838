"""From the tables of AKShare's functions for Tencent and Sina to bars.

Imports requests: import this module only when a request is made.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from tasks_app.sources.akshare.errors import interface_changed
from tasks_app.sources.akshare.frames import join_names, parse_number, parse_volume
from tasks_app.sources.base import Bar, Permanent

COLUMNS = ("date", "open", "high", "low", "close", "volume", "amount", "turnover")


def parse_bars(frame: Any, vendor: str) -> list[Bar]:
    """Returns the bars of a table, in shares, yuan and percent.

    Which of the volumes are lots is proven by the amounts. Raises `Permanent` for missing columns, and for
    volumes that are neither.
    """
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise interface_changed(f"missing columns: {join_names(missing)}", vendor)
    rows = list(zip(*(frame[name].tolist() for name in COLUMNS), strict=True))
    lot = shares_in_a_volume(rows, vendor)
    return [
        Bar(
            *(day, opened, high, low, close),
            volume=parse_volume(volume, lot),
            # AKShare multiplies Tencent's amounts by 10,000: 863100700.0000001.
            amount=None if (yuan := parse_number(amount)) is None else round(yuan, 2),
            turnover=None if (part := parse_number(turnover)) is None else round(part * 100, 4),
        )
        for day, opened, high, low, close, volume, amount, turnover in rows
    ]


def shares_in_a_volume(rows: Sequence[Sequence[Any]], vendor: str) -> float:
    """Returns what to multiply volumes by: 1, 100, or 0.01 where the client took shares for lots."""
    traded = [(volume, amount, close) for *_, close, volume, amount, _ in rows if volume > 0 and amount > 0]
    if not traded and any(volume > 0 for *_, volume, _amount, _ in rows):
        text = f"{vendor} sent volumes without amounts, so nothing proves their unit."
        raise Permanent(text, code="units_changed")
    if not traded:
        return 1.0
    ratio = median(amount / volume / close for volume, amount, close in traded)
    lot = min((0.01, 1.0, 100.0), key=lambda lot: abs(math.log(ratio / lot)))
    if not 0.5 < ratio / lot < 2:
        text = f"{vendor}'s volumes have changed their unit: amount ÷ volume is {ratio:.3g} times the price."
        raise Permanent(text, code="units_changed")
    return lot
