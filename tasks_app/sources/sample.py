"""Real quotes shipped with the code: five US stocks, 2000-03-01 to 2013-03-01, unadjusted."""

import csv
import gzip
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.sources.base import Bar, CorporateAction, Request, Symbol, UnknownStock, check_served

DATA = Path(__file__).parent / "data" / "sample_us_daily.csv.gz"
# `listed_on` only where the data begin with the stock's first day of trading.
SYMBOLS = (
    Symbol("AAPL", "Apple", "NASDAQ"),
    Symbol("FB", "Facebook", "NASDAQ", listed_on=date(2012, 5, 18)),
    Symbol("GOOG", "Google (Alphabet)", "NASDAQ", listed_on=date(2004, 8, 19)),
    Symbol("IBM", "IBM", "NYSE"),
    Symbol("MSFT", "Microsoft", "NASDAQ"),
)
# The days from which one share was two; the closes show it. IBM, GOOG and FB had no split in these years.
SPLITS = {
    "AAPL": (date(2000, 6, 21), date(2005, 2, 28)),
    "MSFT": (date(2003, 2, 18),),
}


@cache
def bars_by_code() -> MappingProxyType[str, tuple[Bar, ...]]:
    """Returns every bar by code, in ascending date order; read once per process (about 5 MB)."""
    bars: dict[str, list[Bar]] = {symbol.code: [] for symbol in SYMBOLS}
    with gzip.open(DATA, "rt", encoding="ascii", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for code, day, *prices, volume in rows:
            opened, high, low, close = map(float, prices)
            bars[code].append(Bar(date.fromisoformat(day), opened, high, low, close, int(volume)))
    return MappingProxyType({code: tuple(series) for code, series in bars.items()})


class SampleSource:
    """Daily bars of AAPL, FB, GOOG, IBM and MSFT: public-domain data, see data/README.md. Never blocks."""

    name: ClassVar[str] = "sample"
    markets: ClassVar[tuple[str, ...]] = ("US",)
    first_day: ClassVar[date] = date(2000, 3, 1)
    last_day: ClassVar[date] = date(2013, 3, 1)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    free_list: ClassVar[bool] = True
    local: ClassVar[bool] = True

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source, which has no settings."""
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the five stocks. Raises `Permanent` for a market other than US."""
        check_served(self, market)
        return SYMBOLS

    def fetch_actions(self, market: str, code: str, since: date | None) -> Sequence[CorporateAction]:
        """Returns the stock's splits within the data. Their dividends are not shipped."""
        check_served(self, market)
        return [
            CorporateAction("split", ex_day, ratio=Decimal(1), note="2 for 1")
            for ex_day in SPLITS.get(code, ())
        ]

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars from `start` to `end`; none outside 2000-03-01 to 2013-03-01."""
        if request.market not in self.markets or request.code not in bars_by_code():
            raise UnknownStock(f"The sample data hold no stock {request.code} in market {request.market}.")
        check_served(self, request.market, request.adjust)
        bars, day = bars_by_code()[request.code], attrgetter("day")
        first = bisect_left(bars, request.start, key=day)
        return bars[first : bisect_right(bars, request.end, lo=first, key=day)]
