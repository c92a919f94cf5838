"""Distinguishes true empty responses from throttling, by probing a stock that must have quotes."""

import threading
import time
from collections.abc import Callable

from tasks_app.sources.base import Transient
from tasks_app.sources.raw_answers import replay_moment

THROTTLED_SECONDS = 300.0
# Two for each market, since one may be the stock in doubt. Both are old, and traded in every month.
PROBE_STOCKS = {
    "CN": ("0.000001", "1.600519"),
    "HK": ("116.00700", "116.00005"),
    "US": ("105.AAPL", "105.MSFT"),
}
TRUSTED_SECONDS, TRUSTED_TIMES = 60.0, 20


class NoData(Transient):
    """The vendor responded with nothing: it throttles, unless it does not know the stock."""

    def __init__(self, vendor: str = "Eastmoney", *, is_known: bool = False) -> None:
        """`is_known`: the vendor knows the stock, and sent none of the requested days."""
        self.is_known = is_known
        text = f"{vendor} sends nothing: it throttles."
        super().__init__(text, code="throttled", retry_after=THROTTLED_SECONDS)


class ThrottleProbe:
    """Distinguishes throttling from true emptiness for one market.

    A probe costs a request, so a successful one is trusted for a minute and 20 further stocks: a run of a
    thousand delisted stocks costs fifty probes, not a thousand. Throttling may begin within that minute, so
    what is decided without a fresh probe is "the source does not know this stock", a failure that users see
    and can retry, and never "there are no quotes".
    """

    def __init__(
        self,
        market: str,
        has_bars: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        vendor: str = "Eastmoney",
    ) -> None:
        self._stocks, self._has_bars, self._clock = PROBE_STOCKS[market], has_bars, clock
        self._vendor, self._lock = vendor, threading.Lock()
        self._trusted_until = float("-inf")
        self._times_left = 0

    def require_answers(self, doubtful: str, *, fresh: bool = False) -> None:
        """Raises `Transient` unless the vendor has bars of another stock than `doubtful`.

        An earlier probe counts while it is trusted, unless it must be `fresh`.
        """
        if replay_moment():  # the call was recorded, so its probe succeeded
            return
        with self._lock:
            if not fresh and self._times_left > 0 and self._clock() < self._trusted_until:
                self._times_left -= 1
                return
            self._times_left = 0
            stock = next(stock for stock in self._stocks if stock != doubtful)
            if not self._has_bars(stock):
                text = f"{self._vendor} sends nothing even for {stock}, which must have quotes: it throttles."
                raise Transient(text, code="throttled", retry_after=THROTTLED_SECONDS)
            self._trusted_until = self._clock() + TRUSTED_SECONDS
            self._times_left = TRUSTED_TIMES
