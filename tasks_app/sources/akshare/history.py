"""One security's quotes from Eastmoney through AKShare's own functions, with the right market id."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from tasks_app.sources.akshare import calls, codes, frames
from tasks_app.sources.akshare.client import akshare
from tasks_app.sources.akshare.completeness import History
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.http_calls import CallScope

EARLIEST, LATEST = date(1970, 1, 1), date(2050, 1, 1)


def fetch_bars(
    security_id: str,
    scope: CallScope,
    *,
    start: date = EARLIEST,
    end: date = LATEST,
    adjust: str = "",
    period: str = "daily",
) -> History:
    """Returns the bars from `start` to `end`.

    Raises `SourceError`, of which `NoData` when the vendor sends nothing about the security.
    """
    function, symbol = _function_for(security_id)
    frame = calls.call(
        function,
        symbol=symbol,
        period=period,
        start_date=f"{start:%Y%m%d}",
        end_date=f"{end:%Y%m%d}",
        adjust=adjust,
    )
    data = (scope.last_json() or {}).get("data") or {}
    # `dktotal` is the number of all its bars; Eastmoney's relays send 0 for stocks that they can't look up.
    total = data.get("dktotal")
    known = History(
        [],
        rows=len(data.get("klines") or ()),
        total=total if isinstance(total, int) else 0,
        ignores_days=function is not akshare.stock_zh_a_hist,
    )
    if len(frame):
        lot = frames.LOT if security_id[:2] in ("0.", "1.", "2.") else 1
        is_index, unadjusted = bool(codes.index_of(security_id)), period == "daily" and not adjust
        bars = frames.parse_bars(frame, lot, unadjusted=unadjusted and not is_index)
        if is_index and unadjusted:
            frames.check_index_units(bars)
        return replace(known, bars=bars)
    if not data:
        raise NoData()
    return known


def _function_for(security_id: str) -> tuple[Callable[..., Any], str]:
    """Returns the client's function for a security, and the symbol to call it with."""
    market_id, _, code = security_id.partition(".")
    # stock_zh_a_hist takes every code that does not begin with 6 for Shenzhen's, so funds and B shares of
    # Shanghai (5xxxxx, 900xxx) come back silently empty. stock_us_hist takes a whole id, whatever the market,
    # and reads the same interface. So do the client's functions for indices and ETFs, but index_zh_a_hist
    # tries up to four ids a call, and stock_zh_index_daily_em leaves out the changes.
    if market_id == "116":
        return akshare.stock_hk_hist, code
    if market_id == "0" or (market_id == "1" and code.startswith("6")):
        return akshare.stock_zh_a_hist, code
    return akshare.stock_us_hist, security_id
