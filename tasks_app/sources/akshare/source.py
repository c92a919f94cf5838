"""Quotes of China, Hong Kong and the US from Eastmoney through AKShare, an optional dependency.

Importing this module is cheap: AKShare with pandas (half a second, 100 MB) is imported with the first
request. The workers make their requests in one process that they share (`own_process`), so it is there once
per machine. docs/sources.md describes the vendor's traps.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time as time_of_day, timedelta
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Self

from tasks_app.conf import MARKETS, Conf
from tasks_app.source_settings import gettext_noop
from tasks_app.sources.akshare import codes
from tasks_app.sources.akshare.completeness import History, require_all_bars
from tasks_app.sources.akshare.throttle_probe import NoData, ThrottleProbe
from tasks_app.sources.base import (
    Answer,
    Bar,
    CorporateAction,
    Factor,
    Permanent,
    Request,
    Setting,
    Symbol,
    Transient,
    UnknownStock,
    check_served,
)
from tasks_app.sources.market_time import market_now
from tasks_app.sources.raw_answers import NotRecorded

if find_spec("akshare") is None:
    raise ModuleNotFoundError("pip install -r requirements-akshare.txt", name="akshare")

if TYPE_CHECKING:
    from tasks_app.sources.http_calls import CallScope

DOMAIN = "eastmoney.com"
# The source's timeout must come before the engine's, which abandons the whole worker process.
SHARE_OF_TIMEOUT = 0.9
# After the close of trading at fixed prices (STAR and ChiNext, 15:30) the list has the day's final quotes.
FINAL_FROM = time_of_day(15, 35)


def header(text: str) -> str:
    """Checks the value of an HTTP header. Raises `ValueError`."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it has characters that a header can't have")
    return text


class AkshareSource:
    """Eastmoney by way of AKShare's functions.

    `fetch` makes one request, up to three for a US stock whose exchange is not known yet, and one more when
    a response is in doubt (see `ThrottleProbe` and `completeness`). `symbols("CN")` reads the exchanges'
    lists; the other lists and `fetch_day` read pages of 100. `fetch_factors` makes one request,
    `fetch_actions` two.
    """

    name: ClassVar[str] = "akshare"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ("", "qfq", "hfq")
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "cookie",
            header,
            gettext_noop("The cookie of a browser that has opened eastmoney.com."),
            secret=True,
        ),
        Setting("user_agent", header, gettext_noop("The User-Agent of the same browser.")),
    )
    factor_markets: ClassVar[tuple[str, ...]] = ("CN",)
    action_markets: ClassVar[tuple[str, ...]] = ("CN",)
    kinds: ClassVar[tuple[str, ...]] = ("stock", "etf", "index")
    kind_markets: ClassVar[tuple[str, ...]] = ("CN",)
    day_markets: ClassVar[tuple[str, ...]] = ("CN",)
    day_adjusts: ClassVar[tuple[str, ...]] = ("",)
    # One at a time: no rate is known to be safe, and several processes at once were banned soonest.
    rate: ClassVar[float] = 0.25
    daily: ClassVar[int] = 10_000
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1
    own_process: ClassVar[bool] = True
    takes_first_permit: ClassVar[bool] = True  # `http_calls` does

    def __init__(
        self,
        timeout: float = 27.0,
        *,
        cookie: str = "",
        user_agent: str = "",
        now: Callable[[str], datetime] = market_now,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`timeout` is in seconds, for all requests of one call together.

        `cookie` and `user_agent` are a browser's, for Eastmoney alone.
        """
        headers = {"Cookie": cookie, "User-Agent": user_agent}
        self._headers = {name: value for name, value in headers.items() if value}
        self._timeout, self._now, self._sleep = timeout, now, sleep
        self._probes = {market: ThrottleProbe(market, self._has_bars) for market in MARKETS}
        self._us_ids: dict[str, str] = {}
        self._closed_in_a_row = 0
        self._lock = threading.Lock()

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source, with a timeout a little shorter than COLLECTOR_FETCH_TIMEOUT."""
        settings = conf.source_settings(cls)
        return cls(
            conf.fetch_timeout * SHARE_OF_TIMEOUT,
            cookie=settings["cookie"],
            user_agent=settings["user_agent"],
        )

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the market's complete list. Raises `Transient` for a list that broke off."""
        check_served(self, market)
        from tasks_app.sources.akshare import stock_lists

        with self._scope() as scope:
            if market == "CN":
                return stock_lists.read_chinese_list(scope)
            symbols = stock_lists.read_foreign_list(market, scope, self._sleep)
        if market == "US":
            self._us_ids |= {symbol.code: codes.us_security_id(symbol) for symbol in symbols}
        return symbols

    def symbols_of_kind(self, market: str, kind: str) -> Sequence[Symbol]:
        """Returns the ETFs, or the indices of the exchanges and of CSI, from Eastmoney's pages."""
        check_served(self, market)
        if kind == "stock" or market not in self.kind_markets:
            return self.symbols(market)
        from tasks_app.sources.akshare import stock_lists

        with self._scope() as scope:
            return stock_lists.read_kind_list(kind, scope, self._sleep)

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days; without a request for weekends and days in the future."""
        market, code = request.market, request.code
        check_served(self, market, request.adjust)
        security_ids = codes.security_ids(market, code)
        if market == "US" and code in self._us_ids:
            security_ids = (self._us_ids[code],)
        end = min(request.end, self._now(market).date())
        if not any_weekday(request.start, end):
            return ()
        with self._scope() as scope:
            for security_id in security_ids:
                fetch = partial(self._fetch_days, scope, security_id, request.adjust)
                try:
                    history = fetch(request.start, end)
                except (NoData, NotRecorded):  # the recorded call may have known the exchange already
                    continue
                if market == "US":
                    self._us_ids[code] = security_id
                if not history.is_known:
                    self._probes[market].require_answers(security_id, fresh=True)
                is_whole = require_all_bars(history, request, self._now(market).date(), fetch)
                bars = [bar for bar in history.bars if request.start <= bar.day <= end]
                return Answer(bars, is_whole=is_whole)
            self._probes[market].require_answers(security_ids[-1])
            raise UnknownStock(
                f"Eastmoney knows no quotes of {code}: it was delisted, is not listed yet, or never was."
            )

    def offers_day(self, market: str, day: date) -> bool:
        """Returns whether `fetch_day` has this day: today, of A-shares, once its session is over."""
        now = self._now(market)
        return market in self.day_markets and day == now.date() and now.time() >= FINAL_FROM

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns today's bars of all A-shares, once the session is over. Other days come by stock only."""
        check_served(self, market, adjust)
        if adjust not in self.day_adjusts or not self.offers_day(market, day):
            text = "Eastmoney's list has unadjusted quotes of A-shares only, and of today after its session."
            raise Permanent(text, code="day_not_offered")
        from tasks_app.sources.akshare import frames, stock_lists

        with self._scope() as scope:
            rows = stock_lists.read_pages(market, frames.LIST_FIELDS, scope, self._sleep)
        return frames.parse_list_rows(rows, day)

    def fetch_factors(self, market: str, code: str) -> Sequence[Factor]:
        """Returns Sina's factors of an A-share: Eastmoney has adjusted prices, but no factors."""
        check_served(self, market)
        codes.security_ids(market, code)
        from tasks_app.sources.akshare import adjustments

        with self._scope():
            return adjustments.fetch_factors(code)

    def fetch_actions(self, market: str, code: str, since: date | None) -> Sequence[CorporateAction]:
        """Returns all dividends and bonus shares of an A-share, from Eastmoney."""
        check_served(self, market)
        codes.security_ids(market, code)
        from tasks_app.sources.akshare import adjustments

        with self._scope() as scope:
            return adjustments.fetch_actions(code, scope)

    def _fetch_days(
        self, scope: "CallScope", security_id: str, adjust: str, start: date, end: date
    ) -> History:
        from tasks_app.sources.akshare.history import fetch_bars

        return fetch_bars(security_id, scope, start=start, end=end, adjust=adjust)

    def _has_bars(self, security_id: str) -> bool:
        """Returns whether the vendor sends bars of the security, by month: the shortest response."""
        from tasks_app.sources.akshare.history import fetch_bars
        from tasks_app.sources.http_calls import call_scope

        with call_scope(self._timeout, DOMAIN, self._headers) as scope:
            try:
                return bool(fetch_bars(security_id, scope, period="monthly").bars)
            except NoData:
                return False

    @contextmanager
    def _scope(self) -> Iterator["CallScope"]:
        """Limits the requests of one call; connections closed in a row lengthen the pause each time."""
        from tasks_app.sources.akshare.errors import ban_seconds
        from tasks_app.sources.http_calls import call_scope

        try:
            with call_scope(self._timeout, DOMAIN, self._headers) as scope:
                yield scope
        except Transient as error:
            if error.code == "blacklisted":
                with self._lock:
                    self._closed_in_a_row += 1
                    error.retry_after = max(error.retry_after or 0.0, ban_seconds(self._closed_in_a_row))
            raise
        with self._lock:
            self._closed_in_a_row = 0


def any_weekday(start: date, end: date) -> bool:
    """Returns whether Monday to Friday has a day from `start` to `end`; no market here trades on others."""
    days = (end - start).days
    return days >= 0 and (days >= 2 or any((start + timedelta(n)).weekday() < 5 for n in range(days + 1)))
