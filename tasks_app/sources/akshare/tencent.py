"""A-shares from Tencent through AKShare: requests go to finance.qq.com and gtimg.cn.

The vendor sends volumes in lots, those of the STAR market in shares. The client multiplies what it takes for
lots, and errs twice: it leaves sz000… alone, as if these were indices, and multiplies the receipts 689….
"""

import json
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from tasks_app.sources.akshare.a_shares import ASharesSource
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Bar, Permanent

if TYPE_CHECKING:
    from requests import Response

    from tasks_app.sources.http_calls import CallScope


class TencentSource(ASharesSource):
    """Unadjusted bars: one request for the stock's first day, and one for each calendar year."""

    vendor: ClassVar[str] = "Tencent"
    name: ClassVar[str] = "tencent"
    rate: ClassVar[float] = 1.0

    def read_bars(self, symbol: str, start: date, end: date, scope: "CallScope") -> list[Bar]:
        from tasks_app.sources.akshare import calls
        from tasks_app.sources.akshare.a_share_frames import parse_bars
        from tasks_app.sources.akshare.client import akshare

        try:
            # With dashes, or the client would ask for all years up to now.
            span = {"start_date": start.isoformat(), "end_date": end.isoformat()}
            frame = calls.call(akshare.stock_zh_a_hist_tx, symbol=symbol, adjust="", **span)
        except Permanent as error:
            # The client fails if there is no day in the years that it asks for, or no week at all before.
            weeks, days = (
                _read_data(scope.responses[place]) if scope.responses else None for place in (0, -1)
            )
            bars = days.get(symbol, {}).get("day") if isinstance(days, dict) else days
            if days is None or bars:
                raise
            raise NoData(self.vendor, is_known=bool(weeks)) from error
        return parse_bars(frame, self.vendor)


def _read_data(response: "Response") -> Any:
    """Returns the data of a response `name={…}`; None if it is malformed."""
    try:
        return json.loads(response.text.partition("=")[2])["data"]
    except (KeyError, TypeError, ValueError):
        return None
