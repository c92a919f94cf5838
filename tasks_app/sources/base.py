"""The source contract: what a source promises, what it is asked, what it may raise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from tasks_app.conf import Conf


class Bar(NamedTuple):
    """One session of one symbol. Prices in the market's currency, volume in shares.

    `amount` in the currency; `amplitude`, `change_pct` and `turnover` in percent. What the
    vendor does not send is None. `day` is the session's date in the market's time zone.
    """

    day: date
    open: float
    high: float
    low: float
    close: float
    volume: int
    prev_close: float | None = None
    amount: float | None = None
    amplitude: float | None = None
    change: float | None = None
    change_pct: float | None = None
    turnover: float | None = None


@dataclass(frozen=True)
class Symbol:
    """A line of a source's stock list."""

    code: str
    name: str = ""
    exchange: str = ""
    listed_on: date | None = None
    delisted_on: date | None = None


@dataclass(frozen=True)
class Request:
    """Bars of one symbol from `start` to `end`, both days included."""

    market: str
    code: str
    start: date
    end: date
    adjust: str = ""


class SourceError(Exception):
    """A source could not answer. `code` is stable, the message one English sentence."""

    code = "source_error"

    def __init__(self, message: str, *, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.retry_after = retry_after


class Transient(SourceError):
    """It may work later: time-outs, refusals, throttling. `retry_after` in seconds, if known."""

    code = "source_busy"


class Permanent(SourceError):
    """Asking again will not help."""

    code = "source_refused"


class UnknownStock(Permanent):
    """The source does not know the code."""

    code = "unknown_stock"


@runtime_checkable
class Source(Protocol):
    """A source of daily quotes.

    `symbols` lists a market. `fetch` answers a request with its bars by rising day, and answers
    with none only when there truly are none: an answer that is empty because the vendor throttles
    is a `Transient`. Both may be called from several threads at once, may block, and raise only
    `SourceError` for what can be foreseen; anything else counts as the source's fault, too.

    A source may also declare how it wants to be treated, as class attributes (`Limits` says what
    they mean): `rate`, `daily`, `in_flight`, `most_workers`, `time_zone`. Settings win over `rate`
    and `daily`. `calendar = False` says that its sessions are not those of the market's exchange:
    missing days are then counted as plain days. `free_list = True`: asking for the list costs nothing,
    so that a task never goes by a stored one. `local = True`: nobody is asked, so that there is nobody to
    be kind to and a failure pauses nothing. `grows = True`: it may have more of the past tomorrow (a
    folder of files), so that only the days between its bars count as answered.
    """

    name: ClassVar[str]
    markets: ClassVar[tuple[str, ...]]
    adjusts: ClassVar[tuple[str, ...]]

    @classmethod
    def from_conf(cls, conf: Conf) -> "Source": ...

    def symbols(self, market: str) -> Sequence[Symbol]: ...

    def fetch(self, request: Request) -> Sequence[Bar]: ...


@runtime_checkable
class DaySource(Protocol):
    """What a source may offer besides `Source`: one day of a whole market in one request.

    `fetch_day` answers with the bars by code; a stock that is not among them had no bar that day.
    An answer without any bar counts as a failure, since only sessions are asked for. Raises as
    `Source.fetch` does. `day_adjusts` says for which adjustments (all of `adjusts` when it is not
    declared), `day_markets` likewise for which markets, and
    `offers_day(market, day)` for which days (any session when it is not declared).
    """

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]: ...


@dataclass(frozen=True)
class Limits:
    """How a source wants to be treated.

    `rate` requests per second and `daily` requests per day over all workers and hosts, 0: no limit;
    a day is one of `time_zone`. At most `in_flight` requests at once in a worker, 0: as many as the
    rate needs. At most `most_workers` workers at once in a task, 0: any number. `breaker`: it is paused
    after many refusals.
    """

    rate: float = 0.0
    daily: int = 0
    in_flight: int = 0
    most_workers: int = 0
    time_zone: str = "UTC"
    breaker: bool = False

    @property
    def unlimited(self) -> bool:
        """Nothing to keep to between two workers."""
        return not (self.rate or self.daily or self.breaker)


def is_number(value: float | None) -> bool:
    """Neither missing, NaN nor infinite."""
    return value is not None and math.isfinite(value)
