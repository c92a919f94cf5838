"""Is an empty answer true, or does the vendor throttle? Asked of a stock that must have quotes."""

import threading
import time
from collections.abc import Callable

from tasks_app.sources.base import Transient

# Two for each market, for the one may be the stock in doubt. Traded since long, and every month.
SURE = {
    "CN": ("0.000001", "1.600519"),
    "HK": ("116.00700", "116.00005"),
    "US": ("105.AAPL", "105.MSFT"),
}
TRUSTED_SECONDS, TRUSTED_TIMES = 60.0, 20
THROTTLED_SECONDS = 300.0


class Probe:
    """Tells throttling from emptiness for one market.

    A probe is a request more, so one that was answered is trusted for a minute and 20 further
    stocks: a run of a thousand delisted stocks costs fifty probes, not a thousand. In that minute
    a throttle may begin, so what it decides without proof is "the source does not know this
    stock", a failure that people see and can retry, and never "there are no quotes".
    """

    def __init__(
        self, market: str, has_bars: Callable[[str], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names, self._has_bars, self._clock = SURE[market], has_bars, clock
        self._lock = threading.Lock()
        self._trusted_until = float("-inf")
        self._times_left = 0

    def settle(self, doubtful: str, *, proof: bool = False) -> None:
        """Returns when the vendor answers for others, at this moment if `proof`. Raises `Transient`."""
        with self._lock:
            if not proof and self._times_left > 0 and self._clock() < self._trusted_until:
                self._times_left -= 1
                return
            self._times_left = 0
            name = next(name for name in self._names if name != doubtful)
            if not self._has_bars(name):
                text = f"Eastmoney sends nothing even for {name}, which must have quotes: it throttles."
                raise Transient(text, code="throttled", retry_after=THROTTLED_SECONDS)
            self._trusted_until = self._clock() + TRUSTED_SECONDS
            self._times_left = TRUSTED_TIMES
