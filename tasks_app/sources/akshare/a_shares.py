"""What the sources `tencent` and `sina` share: A-shares by stock, through AKShare's functions.

Both send unadjusted bars; the amounts must prove the unit of each response's volumes. Adjusted prices are
computed from Sina's factors.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.sources.akshare.errors import interface_changed
from tasks_app.sources.akshare.frames import join_names, parse_number, parse_volume
from tasks_app.sources.akshare.source import SHARE_OF_TIMEOUT, any_weekday
from tasks_app.sources.akshare.throttle_probe import NoData, ThrottleProbe
from tasks_app.sources.base import (
    Answer,
    Bar,
    Factor,
    Permanent,
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

COLUMNS = ("date", "open", "high", "low", "close", "volume", "amount", "turnover")
BOARDS = ("60", "68", "00", "30", "4", "8", "92")  # the clients' prices have two decimals, too few for funds
PROBED_DAYS = (date(2024, 1, 2), date(2024, 12, 31))  # on which the stocks of the probe had bars


class ASharesSource:
    """One stock per request. Subclasses name the vendor and read its bars."""

    vendor: ClassVar[str]
    name: ClassVar[str]
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    # One at a time, as with Eastmoney: no rate is known to be safe.
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1

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
            except NoData:
                self._probe.require_answers(symbol)
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


def parse_bars(frame: Any, vendor: str) -> list[Bar]:
    """Returns the bars of a table, in shares, yuan and percent.

    Which of the volumes are lots is proven by the amounts. Raises `Permanent` for missing columns, and for
    volumes that are neither.
    """
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise interface_changed(f"missing columns: {join_names(missing)}", vendor)
    rows = list(zip(*(frame[name].tolist() for name in COLUMNS), strict=True))
    lot = shares_in_a_volume(rows, vendor)
    return [
        Bar(
            *(day, opened, high, low, close),
            volume=parse_volume(volume, lot),
            amount=parse_number(amount),
            turnover=None if (part := parse_number(turnover)) is None else round(part * 100, 4),
        )
        for day, opened, high, low, close, volume, amount, turnover in rows
    ]


def shares_in_a_volume(rows: Sequence[Sequence[Any]], vendor: str) -> float:
    """Returns what to multiply volumes by: 1, 100, or 0.01 where the client took shares for lots."""
    traded = [(volume, amount, close) for *_, close, volume, amount, _ in rows if volume > 0 and amount > 0]
    if not traded:
        return 1.0
    ratio = median(amount / volume / close for volume, amount, close in traded)
    lot = min((0.01, 1.0, 100.0), key=lambda lot: abs(math.log(ratio / lot)))
    if not 0.5 < ratio / lot < 2:
        text = f"{vendor}'s volumes have changed their unit: amount ÷ volume is {ratio:.3g} times the price."
        raise Permanent(text, code="units_changed")
    return lot
