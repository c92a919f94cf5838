"""A-shares from Sina through AKShare: requests go to finance.sina.com.cn."""

from datetime import date
from typing import TYPE_CHECKING, ClassVar

from tasks_app.sources.akshare.a_shares import ASharesSource
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Bar, Permanent

if TYPE_CHECKING:
    from tasks_app.sources.http_calls import CallScope

NOT_FOUND = 404


class SinaSource(ASharesSource):
    """Unadjusted bars: always the whole history, in two requests."""

    vendor: ClassVar[str] = "Sina"
    name: ClassVar[str] = "sina"
    rate: ClassVar[float] = 0.5

    def read_bars(self, symbol: str, start: date, end: date, scope: "CallScope") -> list[Bar]:
        from tasks_app.sources.akshare import calls
        from tasks_app.sources.akshare.a_share_frames import parse_bars
        from tasks_app.sources.akshare.client import akshare

        try:
            # The whole history: the client fills days on which only the number of shares changed, and drops
            # these copies of a bar only together with the bar.
            frame = calls.call(akshare.stock_zh_a_daily, symbol=symbol, adjust="")
        except Permanent as error:
            if _is_empty(scope):
                raise NoData(self.vendor) from error
            raise
        return parse_bars(frame, self.vendor)


def _is_empty(scope: "CallScope") -> bool:
    """Returns whether the bars' response, `var name="…";`, is missing or empty: the client then fails.

    It may also have failed before it sent a request, which says nothing about the stock.
    """
    if not scope.responses:
        return False
    response = scope.responses[0]
    return response.status_code == NOT_FOUND or not response.text.partition('"')[2].partition('"')[0]
