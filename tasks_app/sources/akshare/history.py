"""One stock's quotes from Eastmoney through AKShare's own functions, with the right market id."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import akshare

from tasks_app.sources.akshare import calls, frames
from tasks_app.sources.akshare.calls import Watch
from tasks_app.sources.akshare.errors import NoData
from tasks_app.sources.base import Bar

WHOLE = (date(1970, 1, 1), date(2050, 1, 1))


@dataclass(frozen=True)
class Query:
    """What to ask the vendor for: `name` is its name of the security, "1.600000"."""

    name: str
    span: tuple[date, date] = WHOLE
    adjust: str = ""
    period: str = "daily"

    @property
    def chinese(self) -> bool:
        """Volumes come in lots."""
        return self.name[:2] in ("0.", "1.")


def table(query: Query) -> Any:
    """The client's table. Raises `NoData` for `data: null`.

    `stock_zh_a_hist` takes every code that does not begin with 6 for Shenzhen's, so funds and B shares of
    Shanghai (5xxxxx, 900xxx) came back silently empty. `stock_us_hist` takes a whole name, whatever
    the market, and asks the same interface.
    """
    market, _, code = query.name.partition(".")
    start, end = (f"{day:%Y%m%d}" for day in query.span)
    given = {"period": query.period, "start_date": start, "end_date": end, "adjust": query.adjust}
    if market == "116":
        return calls.call(akshare.stock_hk_hist, symbol=code, **given)
    if market == "0" or (market == "1" and code.startswith("6")):
        return calls.call(akshare.stock_zh_a_hist, symbol=code, **given)
    return calls.call(akshare.stock_us_hist, symbol=query.name, **given)


def ask(query: Query, watching: Watch) -> tuple[list[Bar], bool]:
    """The bars of the span, and whether the vendor knows the stock to have any bars at all.

    Raises `NoData` when it says nothing about the stock, `Transient` and `Permanent`.
    """
    frame = table(query)
    if len(frame):
        lot = frames.LOT if query.chinese else 1
        daily = query.period == "daily"
        return frames.bars(frame, lot, unadjusted=daily and not query.adjust), True
    data = (watching.payload() or {}).get("data")
    if not data:
        raise NoData
    # `dktotal` is the number of all its bars; Eastmoney's relays send 0 for stocks that they can't look up.
    return [], bool(data.get("klines") or data.get("dktotal"))
