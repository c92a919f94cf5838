"""What the sources `tencent` and `sina` share: A-shares by stock, through AKShare's functions.

Both send unadjusted bars; the amounts must prove the unit of each response's volumes. Adjusted prices are
computed from Sina's factors.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.sources.akshare.source import SHARE_OF_TIMEOUT, any_weekday
from tasks_app.sources.akshare.throttle_probe import NoData, ThrottleProbe
from tasks_app.sources.base import (
    Answer,
    Bar,
    Factor,
    Request,
    Symbol,
    UnknownStock,
    check_served,
)
from tasks_app.sources.cn_codes import SHORT, exchange_of
from tasks_app.sources.market_time import market_now

if find_spec("akshare") is None:
    raise ModuleNotFoundError("pip install -r requirements-akshare.txt", name="akshare")

if TYPE_CHECKING:
    from tasks_app.sources.http_calls import CallScope

BOARDS = ("60", "68", "00", "30", "4", "8", "92")  # the clients' prices have two decimals, too few for funds
PROBED_DAYS = (date(2024, 1, 2), date(2024, 12, 31))  # on which the stocks of the probe had bars


class ASharesSource(ABC):
    """One stock per request. Subclasses name the vendor and read its bars."""

    vendor: ClassVar[str]
    name: ClassVar[str]
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    # One at a time, as with Eastmoney: no rate is known to be safe.
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1
    own_process: ClassVar[bool] = True
    takes_first_permit: ClassVar[bool] = True  # `http_calls` does

    def __init__(self, timeout: float = 27.0) -> None:
        """`timeout` is in seconds, for all requests of one call together."""
        self._timeout = timeout
        self._probe = ThrottleProbe("CN", self._has_bars, vendor=self.vendor)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(conf.fetch_timeout * SHARE_OF_TIMEOUT)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the lists of the three exchanges: these vendors have none with listing dates."""
        check_served(self, market)
        from tasks_app.sources.akshare import stock_lists
        from tasks_app.sources.http_calls import call_scope

        with call_scope(self._timeout) as scope:
            return stock_lists.read_chinese_list(scope)

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days. A stock without any is compared with one that has some."""
        check_served(self, request.market, request.adjust)
        symbol = vendor_symbol(request.code)
        end = min(request.end, market_now("CN").date())
        if not any_weekday(request.start, end):
            return ()
        from tasks_app.sources.http_calls import call_scope

        with call_scope(self._timeout) as scope:
            try:
                bars = self.read_bars(symbol, request.start, end, scope)
            except NoData as nothing:
                self._probe.require_answers(symbol, fresh=nothing.is_known)
                if nothing.is_known:
                    return Answer()
                raise UnknownStock(f"{self.vendor} knows no quotes of {request.code}.") from None
        return Answer(bar for bar in bars if request.start <= bar.day <= end)

    def fetch_factors(self, market: str, code: str) -> Sequence[Factor]:
        """Returns Sina's factors."""
        check_served(self, market)
        vendor_symbol(code)
        from tasks_app.sources.akshare import adjustments
        from tasks_app.sources.http_calls import call_scope

        with call_scope(self._timeout):
            return adjustments.fetch_factors(code)

    @abstractmethod
    def read_bars(self, symbol: str, start: date, end: date, scope: "CallScope") -> list[Bar]:
        """Returns the bars from `start` to `end`, or more. Raises `SourceError`, `NoData` without any."""

    def _has_bars(self, security_id: str) -> bool:
        from tasks_app.sources.http_calls import call_scope

        with call_scope(self._timeout) as scope:
            try:
                return bool(self.read_bars(vendor_symbol(security_id[2:]), *PROBED_DAYS, scope))
            except NoData:
                return False


def vendor_symbol(code: str) -> str:
    """Returns sh600000 for 600000. Raises `UnknownStock` for anything but an A-share."""
    exchange = exchange_of(code)
    if not exchange or not code.startswith(BOARDS):
        raise UnknownStock(f"“{code}” is not the six-digit code of an A-share, as 600000 is.")
    return f"{SHORT[exchange]}{code}"
