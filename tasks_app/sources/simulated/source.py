"""A made-up exchange for drills, demos and benchmarks, with misbehaviour on demand.

A pretend vendor answers, late or wrongly if told to; the source makes of it what a source must.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from itertools import count
from typing import ClassVar, Self
from zoneinfo import ZoneInfo

from tasks_app.conf import ADJUSTS, MARKET_TIME_ZONES, MARKETS, Conf, Simulated
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.simulated.exchange import (
    Exchange,
    index_of,
    sessions_between,
    symbol_at,
)

HANG_SECONDS = 60.0
RETRY_AFTER = 1.0


def market_today(market: str) -> date:
    """Today in the market's time zone."""
    return datetime.now(ZoneInfo(MARKET_TIME_ZONES[market])).date()


class Vendor:
    """The pretend vendor. Each request misbehaves by a chance of its own, so a retry may succeed."""

    def __init__(
        self,
        settings: Simulated,
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        pid: Callable[[], int],
    ) -> None:
        self._settings, self._sleep, self._clock, self._pid = settings, sleep, clock, pid
        self._exchange = Exchange(settings.seed)
        self._numbers = count()
        # Each at its rate of all requests; should the rates exceed 1 together, the first ones win.
        self._mishaps: tuple[tuple[float, Callable[[], None]], ...] = (
            (settings.hang_rate, self._hang),
            (settings.throttle_rate, self._throttle),
            (settings.failure_rate, self._fail),
        )

    def answer(self, request: Request, sessions: range) -> list[Bar]:
        """The bars of the sessions, or none at all at the empty rate. Raises `SourceError`."""
        if self._is_empty(request.code):
            return []
        index = index_of(request.market, request.code)
        if index is None or index >= self._settings.stocks:
            raise UnknownStock(f"The simulated {request.market} market lists no stock {request.code}.")
        return self._exchange.bars(request.market, request.code, sessions)

    def answer_day(self, market: str, day: date, sessions: range) -> dict[str, Bar]:
        """The bars of the day's session, if it is one, by code. Misbehaves as `answer` does."""
        if self._is_empty(day.isoformat()):
            return {}
        codes = [symbol_at(market, index).code for index in range(self._settings.stocks)]
        return {code: bar for code in codes for bar in self._exchange.bars(market, code, sessions)}

    def _is_empty(self, asked: str) -> bool:
        """Take a request: log it, wait, misbehave; whether it is to be answered with nothing."""
        self._log(asked)
        if self._settings.latency:
            self._sleep(self._settings.latency)
        return self._misbehave() < self._settings.empty_rate

    def _misbehave(self) -> float:
        """Let the request's chance strike; what is left of it, from 0, if it does not."""
        key = f"{self._settings.seed}/{self._pid()}/{next(self._numbers)}"
        chance = random.Random(key).random()  # noqa: S311 - a drill, not a secret
        for rate, strike in self._mishaps:
            if chance < rate:
                strike()
            chance -= rate
        return chance

    def _hang(self) -> None:
        # Deliberately deaf to cancellation, as a socket without a time-out is.
        self._sleep(HANG_SECONDS)
        raise Transient(f"The simulated vendor did not answer for {HANG_SECONDS:.0f} s.", code="timeout")

    def _throttle(self) -> None:
        raise Transient("The simulated vendor asks to slow down.", code="throttled", retry_after=RETRY_AFTER)

    def _fail(self) -> None:
        raise Transient("The simulated vendor failed, as it was told to.", code="source_error")

    def _log(self, code: str) -> None:
        """Append "unix_time pid code-or-day" in one write, which no threads or processes can mix up."""
        path = self._settings.log
        if not path:
            return
        line = f"{self._clock():.6f} {self._pid()} {code}\n".encode()
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise Permanent(f"The log of simulated requests cannot be written: {error}.") from error


class SimulatedSource:
    """Any number of made-up stocks that trade Monday to Friday and pay no dividends.

    Without dividends every adjustment is the same. A request is answered with the last
    `settings.bars` sessions of its window, today in the market's time zone included.
    """

    name: ClassVar[str] = "simulated"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ADJUSTS
    calendar: ClassVar[bool] = False  # its sessions are made up
    free_list: ClassVar[bool] = True
    local: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True

    def __init__(
        self,
        settings: Simulated,
        *,
        today: Callable[[str], date] = market_today,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.time,
        pid: Callable[[], int] = os.getpid,
    ) -> None:
        self._settings, self._today = settings, today
        self._vendor = Vendor(settings, sleep, clock, pid)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """The source with the COLLECTOR_SIMULATED_* settings."""
        return cls(conf.simulated)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """The market's list. Raises `Permanent` for a market that is not simulated."""
        self._check(market)
        return tuple(symbol_at(market, index) for index in range(self._settings.stocks))

    def fetch(self, request: Request) -> Sequence[Bar]:
        """The bars of the window. May block and raise as the settings' rates say."""
        self._check(request.market)
        end = min(request.end, self._today(request.market))
        sessions = sessions_between(request.start, end)
        sessions = sessions[max(0, len(sessions) - self._settings.bars) :]
        bars = self._vendor.answer(request, sessions)
        if sessions and not bars:
            raise Transient(f"An empty answer for {request.code}, though it traded.", code="empty_answer")
        return bars

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """The bars of all stocks on one day; one request. May block and raise as `fetch` does."""
        self._check(market)
        sessions = sessions_between(day, min(day, self._today(market)))
        bars = self._vendor.answer_day(market, day, sessions)
        if sessions and self._settings.stocks and not bars:
            raise Transient(f"An empty answer for {day}, though it was a session.", code="empty_answer")
        return bars

    def _check(self, market: str) -> None:
        if market not in self.markets:
            raise Permanent(f"There is no simulated market {market}.")
