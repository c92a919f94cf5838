"""Between Yahoo's symbols, prices and events and ours.

Yahoo divides prices, volumes and dividends by the splits that came later, up to today.
"""

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from tasks_app.sources.base import Bar, CorporateAction, Symbol, UnknownStock
from tasks_app.sources.cn_codes import exchange_of
from tasks_app.sources.security_codes import CodeError, canonical_or_same, parse_code

REGIONS = {
    "US": ("us", {"NMS": "NASDAQ", "NGM": "NASDAQ", "NCM": "NASDAQ", "NYQ": "NYSE", "ASE": "AMEX"}),
    "HK": ("hk", {"HKG": "HKEX"}),
    "CN": ("cn", {"SHH": "SSE", "SHZ": "SZSE"}),
}
SUFFIXES = {"SSE": "SS", "SZSE": "SZ"}
Split = tuple[date, Decimal]  # the ex day, and the shares that one share became


def vendor_symbol(market: str, code: str) -> str:
    """Returns AAPL, BRK-B, 0700.HK or 600000.SS. Raises `UnknownStock` for a code that Yahoo can't have."""
    try:
        code = parse_code(code, market, wide=True)[1]
    except CodeError:
        raise UnknownStock(f"“{code}” is not the code of a stock of {market}.") from None
    if market == "US":
        return code.replace(".", "-")
    if market == "HK":
        return f"{code.lstrip('0').zfill(4)}.HK"
    if not (suffix := SUFFIXES.get(exchange_of(code))):
        raise UnknownStock(f"Yahoo has no stocks of Beijing's exchange, such as {code}.")
    return f"{code}.{suffix}"


def parse_symbol(market: str, row: dict[str, Any]) -> Symbol:
    code = str(row["symbol"]).partition(".")[0].zfill({"HK": 5}.get(market, 0))
    name = row.get("longName") or row.get("shortName") or ""
    return Symbol(canonical_or_same(market, code), name, REGIONS[market][1].get(row["exchange"], ""))


def splits_of(chart: dict[str, Any], zone: str) -> list[Split]:
    """Returns the splits within the chart's days."""
    splits = (chart.get("events") or {}).get("splits") or {}
    return [
        (
            cast(date, day_of(row["date"], zone)),
            Decimal(str(row["numerator"])) / Decimal(str(row["denominator"])),
        )
        for row in splits.values()
    ]


def split_after(day: date, splits: list[Split]) -> Decimal:
    """Returns the shares that a share of that day has become."""
    return math.prod((ratio for ex_day, ratio in splits if ex_day > day), start=Decimal(1))


def parse_bars(table: Any, splits: list[Split]) -> Iterator[Bar]:
    """Yields the table's bars, without the effect of these later splits."""
    columns = ("Open", "High", "Low", "Close", "Volume")
    rows = zip(table.index, *(table[name].tolist() for name in columns), strict=True)
    for moment, *prices, volume in rows:
        ratio = float(split_after(moment.date(), splits))
        opened, high, low, close = (_plain(price * ratio) for price in prices)
        shares = cast(int, volume) if math.isnan(volume) else round(volume / ratio)
        yield Bar(moment.date(), opened, high, low, close, volume=shares)


def parse_actions(chart: dict[str, Any], zone: str) -> Iterator[CorporateAction]:
    """Yields splits, and dividends as they were paid."""
    splits = splits_of(chart, zone)
    for ex_day, ratio in splits:
        yield CorporateAction("split", ex_day, ratio=ratio - 1)
    for row in ((chart.get("events") or {}).get("dividends") or {}).values():
        ex_day = cast(date, day_of(row["date"], zone))
        cash = Decimal(str(row["amount"])) * split_after(ex_day, splits)
        yield CorporateAction("dividend", ex_day, cash=round(cash, 6).normalize())


def day_of(seconds: int | None, zone: str) -> date | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, ZoneInfo(zone)).date()


def _plain(price: float) -> float:
    """Returns a price without the noise of the 32 bits in which Yahoo keeps it: 189.94999694824219."""
    return float(f"{price:.7g}")
