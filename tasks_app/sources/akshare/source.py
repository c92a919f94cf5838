"""A-shares, Hong Kong and US quotes from Eastmoney through AKShare, an optional dependency.

Loading this module costs nothing: AKShare with pandas (half a second, 100 MB) is imported with the
first request, never by a process that only lists the sources. `docs/sources.md` tells the traps.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time as time_of_day, timedelta
from importlib.util import find_spec
from os import environ
from typing import TYPE_CHECKING, ClassVar, Self
from zoneinfo import ZoneInfo

from tasks_app.conf import ADJUSTS, MARKET_TIME_ZONES, MARKETS, Conf
from tasks_app.sources.akshare import codes
from tasks_app.sources.akshare.throttle_probe import Probe
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock

if find_spec("akshare") is None:
    raise ModuleNotFoundError("pip install -r requirements-akshare.txt", name="akshare")

environ.setdefault("TQDM_DISABLE", "1")  # the client's progress bars would fill the workers' logs

if TYPE_CHECKING:
    from tasks_app.sources.akshare.calls import Watch

# A source's own limit comes before the engine's, which has to give the whole worker process up.
SHARE_OF_TIMEOUT = 0.9
# After the close of trading at fixed prices (STAR and ChiNext, 15:30) the list is a day's last word.
CLOSED_AT = time_of_day(15, 35)
QUOTE_FIELDS = "f2,f3,f4,f5,f6,f7,f8,f12,f13,f14,f15,f16,f17,f18,f297"


def now(market: str) -> datetime:
    """The time in the market's zone."""
    return datetime.now(ZoneInfo(MARKET_TIME_ZONES[market]))


class AkshareSource:
    """Eastmoney by way of AKShare's functions.

    `fetch` makes one request, for a US stock whose exchange is not known yet up to three, and one
    more when an answer is in doubt (see `Probe`). `symbols("CN")` asks the exchanges; the other
    lists and `fetch_day` read pages of 100.
    """

    name: ClassVar[str] = "akshare"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ADJUSTS
    day_markets: ClassVar[tuple[str, ...]] = ("CN",)
    day_adjusts: ClassVar[tuple[str, ...]] = ("",)
    # One at a time: nobody knows a rate that is safe, and several processes were banned soonest.
    rate: ClassVar[float] = 0.25
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1

    def __init__(
        self,
        timeout: float = 27.0,
        *,
        now: Callable[[str], datetime] = now,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._timeout, self._now, self._sleep = timeout, now, sleep
        self._probes = {market: Probe(market, self._has_bars) for market in MARKETS}
        self._us_names: dict[str, str] = {}
        self._closed_in_a_row = 0
        self._lock = threading.Lock()

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """The source; a call of it ends before the engine would give it up."""
        return cls(conf.fetch_timeout * SHARE_OF_TIMEOUT)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """The market's stocks, whole: a list that broke off is a `Transient`."""
        self._check(market)
        from tasks_app.sources.akshare import stock_lists

        with self._watched(self._timeout, market) as watching:
            if market == "CN":
                return stock_lists.chinese(watching)
            found = stock_lists.foreign(market, watching, self._sleep)
        if market == "US":
            self._us_names |= {symbol.code: codes.us_name(symbol) for symbol in found}
        return found

    def fetch(self, request: Request) -> Sequence[Bar]:
        """The bars of the span. None without asking for a span of weekend days or in the future."""
        self._check(request.market, request.adjust)
        names = self._names(request.market, request.code)
        end = min(request.end, self._now(request.market).date())
        if not any_weekday(request.start, end):
            return ()
        with self._watched(self._timeout, request.market) as watching:
            return self._ask(replace(request, end=end), names, watching)

    def offers_day(self, market: str, day: date) -> bool:
        """Whether `fetch_day` has this day: today, of A-shares, once its session is over."""
        at = self._now(market)
        return market in self.day_markets and day == at.date() and at.time() >= CLOSED_AT

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """The bars of all A-shares for today, once its session is over; other days by stock only."""
        self._check(market, adjust)
        if adjust not in self.day_adjusts or not self.offers_day(market, day):
            text = "Eastmoney's list tells unadjusted quotes of A-shares only, of today once it is over."
            raise Permanent(text, code="day_not_offered")
        from tasks_app.sources.akshare import day_quotes, stock_lists

        with self._watched(self._timeout, market) as watching:
            rows = stock_lists.page_rows(market, QUOTE_FIELDS, watching, self._sleep)
        return day_quotes.bars(rows, day)

    def _check(self, market: str, adjust: str = "") -> None:
        if market not in self.markets:
            raise Permanent(f"AKShare serves the markets {', '.join(self.markets)}, not {market}.")
        if adjust not in self.adjusts:
            raise Permanent(f"AKShare knows no adjustment “{adjust}”.")

    def _names(self, market: str, code: str) -> tuple[str, ...]:
        """What Eastmoney may call the stock. Raises `UnknownStock` for a code that can be none."""
        if market == "CN":
            return (codes.cn(code),)
        if market == "HK":
            return (codes.hk(code),)
        names = codes.us(code)
        return (self._us_names[code],) if code in self._us_names else names

    def _ask(self, request: Request, names: Sequence[str], watching: "Watch") -> Sequence[Bar]:
        from tasks_app.sources.akshare.errors import NoData
        from tasks_app.sources.akshare.history import Query, ask

        span = (request.start, request.end)
        for name in names:
            try:
                bars, traded = ask(Query(name, span, request.adjust), watching)
            except NoData:
                continue
            if request.market == "US":
                self._us_names[request.code] = name
            if not (bars or traded):
                self._probes[request.market].settle(name, proof=True)
            return [bar for bar in bars if request.start <= bar.day <= request.end]
        self._probes[request.market].settle(names[-1])
        text = (
            f"Eastmoney knows no quotes of {request.code}: it was delisted, is not listed yet, or never was."
        )
        raise UnknownStock(text)

    def _has_bars(self, name: str) -> bool:
        """Whether the vendor answers for a stock that must have bars. By month: the shortest answer."""
        from tasks_app.sources.akshare.calls import watch
        from tasks_app.sources.akshare.errors import NoData
        from tasks_app.sources.akshare.history import Query, ask

        with watch(self._timeout) as watching:
            try:
                return bool(ask(Query(name, period="monthly"), watching)[0])
            except NoData:
                return False

    @contextmanager
    def _watched(self, seconds: float, market: str) -> Iterator["Watch"]:
        """Bounds requests, and makes of a row of closed connections ever longer pauses."""
        from tasks_app.sources.akshare.calls import watch
        from tasks_app.sources.akshare.errors import NoData, closed_seconds

        try:
            with watch(seconds) as watching:
                yield watching
        except NoData as error:
            text = f"Eastmoney sends nothing for the list of {market}: it throttles."
            raise Transient(text, code="throttled", retry_after=300.0) from error
        except Transient as error:
            if error.code == "blacklisted":
                with self._lock:
                    self._closed_in_a_row += 1
                    error.retry_after = max(error.retry_after or 0.0, closed_seconds(self._closed_in_a_row))
            raise
        with self._lock:
            self._closed_in_a_row = 0


def any_weekday(start: date, end: date) -> bool:
    """Whether a day from Monday to Friday lies between them; no market here trades on others."""
    days = (end - start).days
    return days >= 0 and (days >= 2 or any((start + timedelta(n)).weekday() < 5 for n in range(days + 1)))
