"""From AKShare's tables to bars: columns by their names, units made ours.

A table is a pandas.DataFrame; nothing here imports pandas.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from statistics import median
from typing import Any

from tasks_app.sources.akshare.errors import changed
from tasks_app.sources.base import Bar, Permanent

DAY, OPEN, CLOSE, HIGH, LOW, VOLUME, AMOUNT = "日期", "开盘", "收盘", "最高", "最低", "成交量", "成交额"
AMPLITUDE, CHANGE_PCT, CHANGE, TURNOVER = "振幅", "涨跌幅", "涨跌额", "换手率"
NEEDED = (DAY, OPEN, HIGH, LOW, CLOSE, VOLUME, AMOUNT, AMPLITUDE, CHANGE, CHANGE_PCT, TURNOVER)
KNOWN = {*NEEDED, "股票代码"}
LOT = 100  # shares in a 手
FAR_OFF = 10  # amount / volume against close: more than this is another unit, not a volatile day


def bars(frame: Any, lot: int, unadjusted: bool) -> list[Bar]:
    """The bars of a table by rising day. Raises `Permanent` for columns or units that have changed."""
    if not len(frame.columns):
        return []
    check_columns(frame.columns)
    found = [bar(dict(zip(NEEDED, row, strict=True)), lot) for row in rows(frame)]
    if unadjusted:
        check_units(found)
    return sorted(found, key=lambda bar: bar.day)


def rows(frame: Any) -> Iterator[tuple[Any, ...]]:
    """The needed columns of each row, in the order of `NEEDED`."""
    return zip(*(frame[name].tolist() for name in NEEDED), strict=True)


def check_columns(columns: Iterable[str]) -> None:
    """Raises `Permanent` when one is missing; one more alone does no harm."""
    names = list(columns)
    missing = [name for name in NEEDED if name not in names]
    if missing:
        unexpected = [name for name in names if name not in KNOWN]
        raise changed(f"missing columns: {listed(missing)}; unexpected columns: {listed(unexpected)}")


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def check_units(found: Iterable[Bar]) -> None:
    """Raises `Permanent` when amount ÷ volume is far from the prices: the volume's unit has changed."""
    traded = [b for b in found if b.amount and number(b.volume) and b.close > 0]
    ratios = [(b.amount or 0.0) / b.volume / b.close for b in traded]
    ratio = median(ratios) if ratios else 1.0
    if not 1 / FAR_OFF < ratio < FAR_OFF:
        raise Permanent(
            f"The volumes have changed their unit: amount ÷ volume is {ratio:.3g} times the price.",
            code="units_changed",
        )


def bar(row: dict[str, Any], lot: int) -> Bar:
    """One row. `prev_close` is what the vendor's change is measured against, so it knows of dividends."""
    close, change = float(row[CLOSE]), number(row[CHANGE])
    return Bar(
        day=day(row[DAY]),
        open=float(row[OPEN]),
        high=float(row[HIGH]),
        low=float(row[LOW]),
        close=close,
        volume=volume(row[VOLUME], lot),
        prev_close=None if change is None or math.isnan(close) else round(close - change, 4),
        amount=number(row[AMOUNT]),
        amplitude=number(row[AMPLITUDE]),
        change=change,
        change_pct=number(row[CHANGE_PCT]),
        turnover=number(row[TURNOVER]),
    )


def number(value: Any) -> float | None:
    """A number, or None for what the vendor left out ("-" or NaN)."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def volume(value: Any, lot: int) -> Any:
    """Shares; what is no number stays as it came, for the engine to refuse that one bar."""
    lots = number(value)
    return value if lots is None else round(lots * lot)


def day(value: Any) -> date:
    """A session's date, sent as a date, a timestamp or text. Raises `Permanent` for anything else."""
    found = day_or_none(value)
    if found is None:
        raise Permanent(f"A day is none: {value!r}.", code="bad_day")
    return found


def day_or_none(value: Any) -> date | None:
    """The same, with None for what is missing: "-", NaN, NaT."""
    if isinstance(value, str):
        value = value.strip()[:10]
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return None if str(value) == "NaT" else value.date()
    return value if isinstance(value, date) else None
