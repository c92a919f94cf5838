"""One security's quotes from Eastmoney through AKShare's own functions, with the right market id."""

from datetime import date

import akshare

from tasks_app.sources.akshare import calls, frames
from tasks_app.sources.akshare.calls import CallScope
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Bar

EARLIEST, LATEST = date(1970, 1, 1), date(2050, 1, 1)


def fetch_bars(
    security_id: str,
    scope: CallScope,
    *,
    start: date = EARLIEST,
    end: date = LATEST,
    adjust: str = "",
    period: str = "daily",
) -> tuple[list[Bar], bool]:
    """Returns the bars from `start` to `end`, and whether the vendor knows any bars of the security at all.

    Raises `SourceError`, of which `NoData` when the vendor sends nothing about the security.
    """
    market_id, _, code = security_id.partition(".")
    # stock_zh_a_hist takes every code that does not begin with 6 for Shenzhen's, so funds and B shares of
    # Shanghai (5xxxxx, 900xxx) come back silently empty. stock_us_hist takes a whole id, whatever the market,
    # and reads the same interface.
    function, symbol = akshare.stock_us_hist, security_id
    if market_id == "116":
        function, symbol = akshare.stock_hk_hist, code
    elif market_id == "0" or (market_id == "1" and code.startswith("6")):
        function, symbol = akshare.stock_zh_a_hist, code
    frame = calls.call(
        function,
        symbol=symbol,
        period=period,
        start_date=f"{start:%Y%m%d}",
        end_date=f"{end:%Y%m%d}",
        adjust=adjust,
    )
    if len(frame):
        lot = frames.LOT if market_id in ("0", "1") else 1
        return frames.parse_bars(frame, lot, unadjusted=period == "daily" and not adjust), True
    data = (scope.last_json() or {}).get("data")
    if not data:
        raise NoData()
    # `dktotal` is the number of all its bars; Eastmoney's relays send 0 for stocks that they can't look up.
    return [], bool(data.get("klines") or data.get("dktotal"))
