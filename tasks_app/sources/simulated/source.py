"""A synthetic exchange for drills, demos and benchmarks, with misbehaviour on demand."""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import count
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, SYNTHETIC_MARKET, Conf, Simulated
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock, check_served
from tasks_app.sources.market_time import market_today
from tasks_app.sources.simulated.exchange import Exchange, index_of, sessions_between, symbol_at

HANG_SECONDS = 60.0
RETRY_AFTER = 1.0


class SimulatedSource:
    """Any number of synthetic stocks that trade Monday to Friday and pay no dividends.

    They are listed in a market of their own, apart from real quotes. Without dividends every adjustment is
    the same. The response to a request holds the last `settings.bars`
    sessions of its days, today in the market's time zone included.
    """

    name: ClassVar[str] = "simulated"
    markets: ClassVar[tuple[str, ...]] = (SYNTHETIC_MARKET,)
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
        self._sleep, self._clock, self._pid = sleep, clock, pid
        self._exchange = Exchange(settings.seed)
        self._request_numbers = count()

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source with the COLLECTOR_SIMULATED_* settings."""
        return cls(conf.simulated)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the market's list."""
        check_served(self, market)
        return tuple(symbol_at(index) for index in range(self._settings.stocks))

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days. May block and raise as the settings' rates say."""
        check_served(self, request.market)
        sessions = sessions_between(request.start, min(request.end, self._today(request.market)))
        sessions = sessions[max(0, len(sessions) - self._settings.bars) :]
        self._simulate_request(request.code, has_bars=bool(sessions))
        index = index_of(request.code)
        if index is None or index >= self._settings.stocks:
            raise UnknownStock(f"The simulated exchange lists no stock {request.code}.")
        return self._exchange.bars(request.code, sessions)

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns the bars of all stocks on one day; one request. May block and raise as `fetch` does."""
        check_served(self, market)
        sessions = sessions_between(day, min(day, self._today(market)))
        self._simulate_request(day.isoformat(), has_bars=bool(sessions and self._settings.stocks))
        codes = [symbol_at(index).code for index in range(self._settings.stocks)]
        return {code: bar for code in codes for bar in self._exchange.bars(code, sessions)}

    def _simulate_request(self, key: str, *, has_bars: bool) -> None:
        """Logs the request for a code or day, waits, and misbehaves at the settings' rates.

        Every request has a chance of its own, so that a retry may succeed. Raises `SourceError`; an empty
        response is one only where there are bars.
        """
        self._log(key)
        if self._settings.latency:
            self._sleep(self._settings.latency)
        seed = f"{self._settings.seed}/{self._pid()}/{next(self._request_numbers)}"
        chance = random.Random(seed).random()  # noqa: S311 - a drill, not a secret
        # Should the rates exceed 1 together, the first ones win.
        if (chance := chance - self._settings.hang_rate) < 0:
            # Not cancellable on purpose: neither is a socket without a timeout.
            self._sleep(HANG_SECONDS)
            text = f"The simulated vendor did not respond for {HANG_SECONDS:.0f} s."
            raise Transient(text, code="timeout")
        if (chance := chance - self._settings.throttle_rate) < 0:
            text = "The simulated vendor asks to slow down."
            raise Transient(text, code="throttled", retry_after=RETRY_AFTER)
        if (chance := chance - self._settings.failure_rate) < 0:
            raise Transient("The simulated vendor failed, as it was configured to.", code="source_error")
        if chance < self._settings.empty_rate and has_bars:
            raise Transient(f"An empty response for {key}, though it has bars.", code="empty_answer")

    def _log(self, key: str) -> None:
        """Appends "unix_time pid code-or-day" in one write, so that lines of processes don't mix."""
        if not self._settings.log:
            return
        line = f"{self._clock():.6f} {self._pid()} {key}\n".encode()
        try:
            file = os.open(self._settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise Permanent(f"The log of simulated requests cannot be written: {error}.") from error
