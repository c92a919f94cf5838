"""A-shares from Tencent through AKShare: requests go to finance.qq.com and gtimg.cn.

The vendor sends volumes in lots, those of the STAR market in shares. The client multiplies what it takes for
lots, and errs twice: it leaves sz000… alone, as if these were indices, and multiplies the receipts 689….
"""

import json
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from tasks_app.sources.akshare.a_shares import ASharesSource
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Bar, Permanent

if TYPE_CHECKING:
    from tasks_app.sources.http_calls import CallScope


class TencentSource(ASharesSource):
    """Unadjusted bars: one request for the stock's first day, and one for each calendar year."""

    vendor: ClassVar[str] = "Tencent"
    name: ClassVar[str] = "tencent"
    rate: ClassVar[float] = 1.0

    def read_bars(self, symbol: str, start: date, end: date, scope: "CallScope") -> list[Bar]:
        import akshare

        from tasks_app.sources.akshare import calls
        from tasks_app.sources.akshare.a_share_frames import parse_bars

        try:
            # With dashes, or the client would ask for all years up to now.
            span = {"start_date": start.isoformat(), "end_date": end.isoformat()}
            frame = calls.call(akshare.stock_zh_a_hist_tx, symbol=symbol, adjust="", **span)
        except Permanent as error:
            if _is_empty(scope, symbol):
                raise NoData(self.vendor) from error
            raise
        return parse_bars(frame, self.vendor)


def _is_empty(scope: "CallScope", symbol: str) -> bool:
    """Returns whether the last response, `name={…}`, is well-formed without bars: the client fails on it."""
    try:
        data = json.loads(scope.responses[-1].text.partition("=")[2])["data"]
        return not data or not data[symbol].get("day")
    except (IndexError, KeyError, TypeError, ValueError):
        return False
