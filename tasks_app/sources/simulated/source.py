"""A synthetic exchange for drills, demos and benchmarks, with misbehaviour on demand.

A simulated vendor answers, late or wrongly where the settings say so; the source treats its answers as it
would those of a real vendor.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import count
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, MARKETS, Conf, Simulated
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.market_time import market_today
from tasks_app.sources.simulated.exchange import Exchange, index_of, sessions_between, symbol_at

HANG_SECONDS = 60.0
RETRY_AFTER = 1.0


class SimulatedVendor:
    """Each request misbehaves by a chance of its own, so a retry may succeed."""

    def __init__(
        self,
        settings: Simulated,
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        pid: Callable[[], int],
    ) -> None:
        self._settings, self._sleep, self._clock, self._pid = settings, sleep, clock, pid
        self._exchange = Exchange(settings.seed)
        self._request_numbers = count()

    def bars(self, request: Request, sessions: range) -> list[Bar]:
        """Returns the bars of the sessions, or none at all at the empty rate. Raises `SourceError`."""
        if self._begin_request(request.code):
            return []
        index = index_of(request.market, request.code)
        if index is None or index >= self._settings.stocks:
            raise UnknownStock(f"The simulated {request.market} market lists no stock {request.code}.")
        return self._exchange.bars(request.market, request.code, sessions)

    def day_bars(self, market: str, day: date, sessions: range) -> dict[str, Bar]:
        """Returns the bars of the day's session, if it is one, by code. Misbehaves as `bars` does."""
        if self._begin_request(day.isoformat()):
            return {}
        codes = [symbol_at(market, index).code for index in range(self._settings.stocks)]
        return {code: bar for code in codes for bar in self._exchange.bars(market, code, sessions)}

    def _begin_request(self, key: str) -> bool:
        """Logs the request, waits and misbehaves. Returns whether it is to be answered with nothing."""
        self._log(key)
        if self._settings.latency:
            self._sleep(self._settings.latency)
        seed = f"{self._settings.seed}/{self._pid()}/{next(self._request_numbers)}"
        chance = random.Random(seed).random()  # noqa: S311 - a drill, not a secret
        # Each happens at its rate of all requests; should the rates exceed 1 together, the first ones win.
        if (chance := chance - self._settings.hang_rate) < 0:
            # Not cancellable on purpose: neither is a socket without a timeout.
            self._sleep(HANG_SECONDS)
            text = f"The simulated vendor did not answer for {HANG_SECONDS:.0f} s."
            raise Transient(text, code="timeout")
        if (chance := chance - self._settings.throttle_rate) < 0:
            text = "The simulated vendor asks to slow down."
            raise Transient(text, code="throttled", retry_after=RETRY_AFTER)
        if (chance := chance - self._settings.failure_rate) < 0:
            raise Transient("The simulated vendor failed, as it was configured to.", code="source_error")
        return chance < self._settings.empty_rate

    def _log(self, key: str) -> None:
        """Appends "unix_time pid code-or-day" in one write, so that lines of processes don't mix."""
        path = self._settings.log
        if not path:
            return
        line = f"{self._clock():.6f} {self._pid()} {key}\n".encode()
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise Permanent(f"The log of simulated requests cannot be written: {error}.") from error


class SimulatedSource:
    """Any number of synthetic stocks that trade Monday to Friday and pay no dividends.

    Without dividends every adjustment is the same. A request is answered with the last `settings.bars`
    sessions of its days, today in the market's time zone included.
    """

    name: ClassVar[str] = "simulated"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ADJUSTS
    calendar: ClassVar[bool] = False  # it trades on holidays, too
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
        self._vendor = SimulatedVendor(settings, sleep, clock, pid)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source with the COLLECTOR_SIMULATED_* settings."""
        return cls(conf.simulated)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the market's list. Raises `Permanent` for a market that is not simulated."""
        self._check(market)
        return tuple(symbol_at(market, index) for index in range(self._settings.stocks))

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days. May block and raise as the settings' rates say."""
        self._check(request.market)
        end = min(request.end, self._today(request.market))
        sessions = sessions_between(request.start, end)
        sessions = sessions[max(0, len(sessions) - self._settings.bars) :]
        bars = self._vendor.bars(request, sessions)
        if sessions and not bars:
            raise Transient(f"An empty answer for {request.code}, though it traded.", code="empty_answer")
        return bars

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns the bars of all stocks on one day; one request. May block and raise as `fetch` does."""
        self._check(market)
        sessions = sessions_between(day, min(day, self._today(market)))
        bars = self._vendor.day_bars(market, day, sessions)
        if sessions and self._settings.stocks and not bars:
            raise Transient(f"An empty answer for {day}, though it was a session.", code="empty_answer")
        return bars

    def _check(self, market: str) -> None:
        if market not in self.markets:
            raise Permanent(f"There is no simulated market {market}.")
