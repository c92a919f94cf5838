"""From Tushare's rows to ours: lots to shares, thousands of yuan to yuan."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar, cast

from tasks_app.sources.base import Bar, CorporateAction, Factor, Permanent, Symbol, UnknownStock
from tasks_app.sources.cn_codes import SHORT, exchange_of

Row = Mapping[str, Any]
T = TypeVar("T")

LISTING = "ts_code,name,list_date,delist_date"
BAR = "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount"
SUSPENSION = "ts_code,trade_date,suspend_timing"
FACTOR = "trade_date,adj_factor"
DIVIDEND = "ann_date,record_date,ex_date,pay_date,cash_div_tax,stk_div"
LOT, THOUSAND = 100, 1000


def vendor_code(code: str) -> str:
    """Returns 600000.SH for 600000. Raises `UnknownStock` for a code that is not Chinese."""
    exchange = exchange_of(code)
    if not exchange:
        raise UnknownStock(f"{code} is not the code of a Chinese stock.")
    return f"{code}.{SHORT[exchange].upper()}"


def own_code(row: Row) -> str:
    return str(row["ts_code"]).partition(".")[0]


def parse_symbol(row: Row) -> Symbol:
    code = own_code(row)
    listed_on, delisted_on = parse_day(row["list_date"]), parse_day(row["delist_date"])
    return Symbol(code, str(row["name"]), exchange_of(code), listed_on, delisted_on)


def is_listed_within(row: Row, start: date, end: date) -> bool:
    """Returns whether a stock of the list was listed on any of these days; so it is where no date is told."""
    listed_on, delisted_on = parse_day(row["list_date"]), parse_day(row["delist_date"])
    return (listed_on or date.min) <= end and (delisted_on or date.max) > start


def parse_bar(row: Row) -> Bar:
    """Returns the bar; NaN for a required number that is missing, for which the engine refuses this bar."""
    opened, high, low, close = (
        math.nan if (price := number(row[name])) is None else price
        for name in ("open", "high", "low", "close")
    )
    volume, amount = number(row["vol"]), number(row["amount"])
    return Bar(
        trading_day(row),
        *(opened, high, low, close),
        volume=cast(int, math.nan) if volume is None else round(volume * LOT),
        prev_close=number(row["pre_close"]),
        amount=None if amount is None else round(amount * THOUSAND, 2),
        change=number(row["change"]),
        change_pct=number(row["pct_chg"]),
    )


def grouped(rows: Iterable[Row], parse: Callable[[Row], T]) -> dict[str, list[T]]:
    """Returns the parsed rows of each code, empty for any other code."""
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[own_code(row)].append(parse(row))
    return found


def by_day(bars: Iterable[Bar]) -> list[Bar]:
    """Returns the bars in ascending date order: the vendor sends the newest first."""
    return sorted(bars, key=lambda bar: bar.day)


def is_suspended(row: Row) -> bool:
    """Returns whether a suspension was of the whole day, not of some of its hours."""
    return not isinstance(row["suspend_timing"], str) or not row["suspend_timing"]


def parse_factors(rows: Iterable[Row]) -> Iterator[Factor]:
    """Yields the factor of each day on which it changes: the vendor has a row for every day."""
    last = Decimal(1)
    for row in sorted(rows, key=lambda row: str(row["trade_date"])):
        if (hfq := decimal(row["adj_factor"])) and hfq != last:
            yield Factor(trading_day(row), hfq)
            last = hfq


def parse_dividend(row: Row) -> Iterator[CorporateAction]:
    """Yields a cash dividend, bonus shares, or both; nothing of a plan that has no ex day yet."""
    ex_day, announced_on, record_day, paid_on = (
        parse_day(row[name]) for name in ("ex_date", "ann_date", "record_date", "pay_date")
    )
    if ex_day and (cash := decimal(row["cash_div_tax"])):
        yield CorporateAction("dividend", ex_day, announced_on, record_day, paid_on, cash=cash)
    if ex_day and (ratio := decimal(row["stk_div"])):
        yield CorporateAction("split", ex_day, announced_on, record_day, paid_on, ratio=ratio)


def trading_day(row: Row) -> date:
    """Returns the row's day. Raises `Permanent` for a malformed one."""
    if day := parse_day(row["trade_date"]):
        return day
    raise Permanent(f"Tushare sent a row without a day: {dict(row)}.", code="bad_day")


def parse_day(value: Any) -> date | None:
    return datetime.strptime(value, "%Y%m%d").date() if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def decimal(value: Any) -> Decimal | None:
    return None if (read := number(value)) is None else Decimal(repr(read))
