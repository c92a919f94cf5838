"""One day of all A-shares from the rows of Eastmoney's list."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from tasks_app.sources.akshare import frames
from tasks_app.sources.akshare.frames import LOT, number
from tasks_app.sources.base import Bar, Transient


def bars(rows: Iterable[Mapping[str, Any]], day: date) -> dict[str, Bar]:
    """The bars of that day by code. A row of another day or without a trade is no bar.

    Raises `Transient` when no row at all is of that day, `Permanent` for volumes in another unit.
    """
    stamp = f"{day:%Y%m%d}"
    found = {str(row["f12"]): bar(row, day) for row in rows if str(row["f297"]) == stamp and traded(row)}
    if not found:
        raise Transient(
            f"Eastmoney's list has no quotes of {day} yet.", code="empty_answer", retry_after=300.0
        )
    frames.check_units(found.values())
    return found


def traded(row: Mapping[str, Any]) -> bool:
    """A suspended stock's row has dashes for prices."""
    return all(number(row[field]) is not None for field in ("f2", "f15", "f16", "f17", "f5"))


def bar(row: Mapping[str, Any], day: date) -> Bar:
    """A row by the vendor's field names."""
    return Bar(
        day=day,
        open=float(row["f17"]),
        high=float(row["f15"]),
        low=float(row["f16"]),
        close=float(row["f2"]),
        volume=frames.volume(row["f5"], LOT),
        prev_close=number(row["f18"]),
        amount=number(row["f6"]),
        amplitude=number(row["f7"]),
        change=number(row["f4"]),
        change_pct=number(row["f3"]),
        turnover=number(row["f8"]),
    )
