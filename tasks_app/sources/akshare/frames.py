"""From AKShare's tables and the rows of Eastmoney's list to bars: columns by their names, units as ours.

A table is a pandas.DataFrame, but this module does not import pandas.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from statistics import median
from typing import Any, cast

from tasks_app.sources.akshare.errors import interface_changed
from tasks_app.sources.base import Bar, Permanent, Transient

DAY, OPEN, CLOSE, HIGH, LOW, VOLUME, AMOUNT = "日期", "开盘", "收盘", "最高", "最低", "成交量", "成交额"
AMPLITUDE, CHANGE_PCT, CHANGE, TURNOVER = "振幅", "涨跌幅", "涨跌额", "换手率"
COLUMNS = (DAY, OPEN, HIGH, LOW, CLOSE, VOLUME, AMOUNT, AMPLITUDE, CHANGE, CHANGE_PCT, TURNOVER)
KNOWN = {*COLUMNS, "股票代码"}
# The list's fields for these columns; f12 is the code, f297 the day of the quotes.
FIELDS = {OPEN: "f17", HIGH: "f15", LOW: "f16", CLOSE: "f2", VOLUME: "f5", AMOUNT: "f6", AMPLITUDE: "f7"}
FIELDS |= {CHANGE: "f4", CHANGE_PCT: "f3", TURNOVER: "f8"}
LIST_FIELDS = ",".join(["f12", "f297", *FIELDS.values()])
LOT = 100  # shares in a 手
MAX_MEAN_PRICE = 1000  # of an index's shares, in yuan
MAX_UNIT_RATIO = 10  # amount ÷ volume ÷ close beyond this means another unit, not a volatile day


def parse_bars(frame: Any, lot: int, unadjusted: bool) -> list[Bar]:
    """Returns the bars of a table in ascending date order; `lot` is the number of shares in one volume.

    Raises `Permanent` when columns are missing (one more alone does no harm) or units have changed.
    """
    columns = list(frame.columns)
    if not columns:
        return []
    if missing := [name for name in COLUMNS if name not in columns]:
        unexpected = [name for name in columns if name not in KNOWN]
        raise interface_changed(
            f"missing columns: {join_names(missing)}; unexpected columns: {join_names(unexpected)}"
        )
    rows = zip(*(frame[name].tolist() for name in COLUMNS), strict=True)
    bars = [_parse_row(dict(zip(COLUMNS, row, strict=True)), lot) for row in rows]
    if unadjusted:
        check_units(bars)
    return sorted(bars, key=lambda bar: bar.day)


def parse_list_rows(rows: Iterable[Mapping[str, Any]], day: date) -> dict[str, Bar]:
    """Returns the bars of a day by code from the rows of the list of A-shares.

    Leaves out rows of another day, and suspended stocks, which have dashes for prices. Raises `Transient`
    when no row at all is of that day, and `Permanent` when the volume's unit has changed.
    """
    bars = {}
    for row in rows:
        values = {column: row[field] for column, field in FIELDS.items()}
        traded = all(parse_number(values[column]) is not None for column in (OPEN, HIGH, LOW, CLOSE, VOLUME))
        if traded and str(row["f297"]) == f"{day:%Y%m%d}":
            bars[str(row["f12"])] = _parse_row({DAY: day, **values}, LOT)
    if not bars:
        raise Transient(
            f"Eastmoney's list has no quotes of {day} yet.", code="empty_answer", retry_after=300.0
        )
    check_units(bars.values())
    return bars


def join_names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def check_units(bars: Iterable[Bar]) -> None:
    """Raises `Permanent` when amount ÷ volume is far from the prices: the volume's unit has changed."""
    traded = [bar for bar in bars if bar.amount and parse_number(bar.volume) and bar.close > 0]
    ratios = [(bar.amount or 0.0) / bar.volume / bar.close for bar in traded]
    ratio = median(ratios) if ratios else 1.0
    if not 1 / MAX_UNIT_RATIO < ratio < MAX_UNIT_RATIO:
        raise Permanent(
            f"The volumes have changed their unit: amount ÷ volume is {ratio:.3g} times the price.",
            code="units_changed",
        )


def check_index_units(bars: Iterable[Bar]) -> None:
    """Raises `Permanent` unless the volumes of an index are in lots, as those of stocks and ETFs are.

    The mean price of its stocks then is from 1 to 1,000 yuan a share; the vendor does not document the unit.
    """
    traded = [bar for bar in bars if bar.amount and parse_number(bar.volume)]
    price = median((bar.amount or 0.0) / bar.volume for bar in traded) if traded else LOT
    if not 1 <= price <= MAX_MEAN_PRICE:
        text = (
            f"An index's amount ÷ volume is {price:.3g} a share: its volumes are in another unit than lots."
        )
        raise Permanent(text, code="units_changed")


def _parse_row(row: dict[str, Any], lot: int) -> Bar:
    """`prev_close` is what the vendor measures its change against, so dividends are taken off."""
    close, change = float(row[CLOSE]), parse_number(row[CHANGE])
    day = parse_day(row[DAY])
    if day is None:
        raise Permanent(f"Not a date: {row[DAY]!r}.", code="bad_day")
    return Bar(
        day=day,
        open=float(row[OPEN]),
        high=float(row[HIGH]),
        low=float(row[LOW]),
        close=close,
        volume=parse_volume(row[VOLUME], lot),
        prev_close=None if change is None or math.isnan(close) else round(close - change, 4),
        amount=parse_number(row[AMOUNT]),
        amplitude=parse_number(row[AMPLITUDE]),
        change=change,
        change_pct=parse_number(row[CHANGE_PCT]),
        turnover=parse_number(row[TURNOVER]),
    )


def parse_number(value: Any) -> float | None:
    """Returns None for what the vendor left out ("-" or NaN)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def parse_volume(value: Any, lot: float) -> int:
    """Returns shares; NaN for a value that is not a number, so that the engine refuses this one bar."""
    lots = parse_number(value)
    return cast(int, math.nan) if lots is None else round(lots * lot)


def parse_day(value: Any) -> date | None:
    """Returns the date of a text, date or timestamp; None for a missing one ("-", NaN, NaT)."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip()[:10])
        except ValueError:
            return None
    if isinstance(value, datetime):
        return None if str(value) == "NaT" else value.date()
    return value if isinstance(value, date) else None
