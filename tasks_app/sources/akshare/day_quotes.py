"""One day of all A-shares from the rows of Eastmoney's list."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from tasks_app.sources.akshare import frames
from tasks_app.sources.akshare.frames import LOT, parse_number
from tasks_app.sources.base import Bar, Transient

REQUIRED = ("f2", "f15", "f16", "f17", "f5")  # the row of a suspended stock has dashes instead


def parse_rows(rows: Iterable[Mapping[str, Any]], day: date) -> dict[str, Bar]:
    """Returns the bars of the day by code, without rows of another day or without a trade.

    Raises `Transient` when no row at all is of that day, `Permanent` for volumes in another unit.
    """
    stamp = f"{day:%Y%m%d}"
    bars = {
        str(row["f12"]): _parse_row(row, day)
        for row in rows
        if str(row["f297"]) == stamp and all(parse_number(row[name]) is not None for name in REQUIRED)
    }
    if not bars:
        raise Transient(
            f"Eastmoney's list has no quotes of {day} yet.", code="empty_answer", retry_after=300.0
        )
    frames.check_units(bars.values())
    return bars


def _parse_row(row: Mapping[str, Any], day: date) -> Bar:
    return Bar(
        day=day,
        open=float(row["f17"]),
        high=float(row["f15"]),
        low=float(row["f16"]),
        close=float(row["f2"]),
        volume=frames.parse_volume(row["f5"], LOT),
        prev_close=parse_number(row["f18"]),
        amount=parse_number(row["f6"]),
        amplitude=parse_number(row["f7"]),
        change=parse_number(row["f4"]),
        change_pct=parse_number(row["f3"]),
        turnover=parse_number(row["f8"]),
    )
