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
    """A source of daily quotes. Any class of this shape is one; no base class is needed.

    The engine makes one source per worker process and calls it from several threads at once. Its methods may
    block. They raise only `SourceError` for what can be foreseen; any other exception counts as a fault of
    the source and fails the stock.

    A source may declare further class attributes: see `tasks_app.sources.traits.SourceTraits`.
    """

    name: ClassVar[str]
    markets: ClassVar[tuple[str, ...]]
    adjusts: ClassVar[tuple[str, ...]]

    @classmethod
    def from_conf(cls, conf: Conf) -> "Source":
        """Returns the source for these settings."""

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the stock list of one of the source's markets."""

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the request's days in ascending date order.

        An empty answer means that there truly are none. An answer that is empty because the vendor throttles
        is a `Transient`; a code that the vendor does not know is an `UnknownStock`.
        """


@runtime_checkable
class DaySource(Protocol):
    """A `Source` that can also fetch one day of a whole market in one request.

    `day_markets` and `day_adjusts` name the markets and adjustments for which it can; by default all of its
    own.
    """

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns the day's bars by code. A stock that is missing had no bar on that day.

        Only sessions are requested, so an answer without any bar counts as a failure. Raises as
        `Source.fetch` does.
        """


@runtime_checkable
class SelectiveDaySource(DaySource, Protocol):
    """A `DaySource` that can fetch only some days."""

    def offers_day(self, market: str, day: date) -> bool:
        """Returns whether `fetch_day` can fetch this session."""


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
