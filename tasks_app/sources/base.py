"""The source contract: requests, bars, stock lists, errors and limits. It is public API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from tasks_app.conf import Conf
from tasks_app.source_settings import Setting as Setting  # noqa: PLC0414 - part of this contract
from tasks_app.sources.permits import take_permit as take_permit  # noqa: PLC0414 - part of this contract


class Bar(NamedTuple):
    """One session of one stock. Prices and amounts are in the market's currency.

    What the vendor does not send is None, never a guess.
    """

    day: date  # the session's date in the market's time zone
    open: float
    high: float
    low: float
    close: float
    volume: int  # shares, never lots
    prev_close: float | None = None  # what the change is measured against: dividends are taken off
    amount: float | None = None  # traded value
    amplitude: float | None = None  # (high - low) ÷ previous close, in percent
    change: float | None = None  # close - previous close, in currency
    change_pct: float | None = None  # the same in percent of the previous close
    turnover: float | None = None  # traded share of the free float, in percent
    is_st: bool | None = None  # whether the stock was under special treatment (ST, *ST) on this day
    limit_up: float | None = None  # the day's price limits, where the vendor tells them
    limit_down: float | None = None


class Answer(list[Bar]):
    """The bars of one request, with what else the source said of its days.

    A source may return any sequence of bars; with this one it can tell more. `suspended` are the days on
    which it says that the stock was suspended, `notes` English sentences on what it left out. `is_whole`: the
    vendor confirms that there are no bars between the first requested day and the first bar. Otherwise that
    is believed of a stock that was listed by then only once two responses say so.
    """

    def __init__(
        self,
        bars: Iterable[Bar] = (),
        *,
        suspended: Sequence[date] = (),
        notes: Sequence[str] = (),
        is_whole: bool = False,
    ) -> None:
        super().__init__(bars)
        self.suspended = tuple(suspended)
        self.notes = tuple(notes)
        self.is_whole = is_whole


class DayAnswer(dict[str, Bar]):
    """One day's bars by code, with the codes of the stocks that the source calls suspended on it.

    `fetch_day` may return any mapping; with this one it can tell more.
    """

    def __init__(self, bars: Mapping[str, Bar], *, suspended: Iterable[str] = ()) -> None:
        super().__init__(bars)
        self.suspended = frozenset(suspended)


class Factor(NamedTuple):
    """The adjustment factors of a stock from an ex day on, until its next ex day.

    An unadjusted price times `hfq` is the backward-adjusted price; before the first ex day the factor is 1.
    Times `qfq` it is the forward-adjusted one; None means `hfq` divided by the newest `hfq`. Decimals with
    all of the vendor's digits: a float is no factor.
    """

    ex_day: date
    hfq: Decimal
    qfq: Decimal | None = None


class CorporateAction(NamedTuple):
    """A dividend, split or rights issue. What the vendor does not say is None or "", never a guess.

    A payment of cash and of bonus shares on one day makes two of them.
    """

    kind: str  # dividend; split (also bonus shares and transfers from reserves); rights
    ex_day: date | None = None
    announced_on: date | None = None
    record_day: date | None = None
    paid_on: date | None = None
    cash: Decimal | None = None  # per share, before tax, in the market's currency
    ratio: Decimal | None = (
        None  # new shares per held share: 1 if one is split into two, -0.9 if ten are merged
    )
    price: Decimal | None = None  # of a new share in a rights issue
    note: str = ""  # the vendor's words, at most 200 characters


class CorporateActions(list[CorporateAction]):
    """The corporate actions of one stock, complete from `complete_from` on; None: all of them."""

    def __init__(self, actions: Iterable[CorporateAction] = (), complete_from: date | None = None) -> None:
        super().__init__(actions)
        self.complete_from = complete_from


class LeftAside(NamedTuple):
    """Something that a source did not use, such as a file, and an English sentence without full stop why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Symbol:
    """One entry of a source's stock list. Dates are in the market's time zone."""

    code: str
    name: str = ""
    exchange: str = ""  # SSE, SZSE, BSE, HKEX, NYSE, NASDAQ, …; "" where it is not known
    listed_on: date | None = None
    delisted_on: date | None = None
    kind: str = ""  # stock, etf, index or other; "" lets the code tell


@dataclass(frozen=True)
class Request:
    """A request for the daily bars of one stock, ETF or index from `start` to `end`, both included."""

    market: str  # CN, HK or US; SIM for made-up quotes
    code: str
    start: date
    end: date
    # "" unadjusted, qfq (forward-adjusted), hfq (backward-adjusted), split (adjusted for splits only)
    adjust: str = ""


class SourceError(Exception):
    """A request to a source failed.

    `code` is a stable identifier for machines, the message one English sentence. `retry_after` is the time to
    wait in seconds, if the vendor names one.
    """

    code = "source_error"

    def __init__(self, message: str, *, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.retry_after = retry_after


class Transient(SourceError):
    """The request may succeed later: timeouts, refusals, throttling. The engine retries it."""

    code = "source_busy"


def unreachable(
    vendor: str, problem: str, *, code: str = "unreachable", retry_after: float | None = None
) -> Transient:
    """Returns the error for a connection that was not made: the vendor has neither answered nor refused.

    `reasons.STORED_REASONS` has the same sentence, which pages translate.
    """
    text = (
        f"{vendor} can't be reached ({problem}): check the network, the proxy and the firewall, or choose"
        " another source."
    )
    return Transient(text, code=code, retry_after=retry_after)


class Permanent(SourceError):
    """A retry will not help. The stock fails, or goes to the next source of the fallback chain."""

    code = "source_refused"


class SourceRefusal(Permanent):
    """The source refuses every request, whatever its stock: a wrong token, an outdated client, other columns.

    The source is paused at once, and the task goes on with the next source of its fallback chain, or fails
    with this error.
    """

    code = "all_refused"


class UnknownStock(Permanent):
    """The source does not know the code."""

    code = "unknown_stock"


@runtime_checkable
class Source(Protocol):
    """A source of daily quotes. Any class of this shape is one; no base class is needed.

    The engine makes one source per worker process and calls it from several threads at once. Its methods may
    block. They raise only `SourceError` for what can be foreseen; any other exception counts as a fault of
    the source and fails the stock.

    What the methods return may be any iterable, and may be lazy: it is read in the thread of the call, up to
    COLLECTOR_ANSWER_MAX_BARS and COLLECTOR_ANSWER_MAX_MB. Its rows must be `Bar`s or `Symbol`s with values of
    the declared types; one row that is not fails the whole response (`engine.answers`).

    A source may declare further class attributes: see `tasks_app.sources.traits.SourceTraits`.
    """

    name: ClassVar[str]
    markets: ClassVar[tuple[str, ...]]
    adjusts: ClassVar[tuple[str, ...]]

    @classmethod
    def from_conf(cls, conf: Conf) -> "Source":
        """Returns the source for these settings."""

    def symbols(self, market: str) -> Iterable[Symbol]:
        """Returns the stock list of one of the source's markets.

        A code has 1 to 16 letters, digits, dots, dashes or underscores.
        """

    def fetch(self, request: Request) -> Iterable[Bar]:
        """Returns the bars of the request's days in ascending date order.

        A required price or volume that the vendor left out is NaN: that bar alone is refused. An empty
        response means that there truly are no bars. If it is empty because the vendor throttles, raise
        `Transient`; for a code that the vendor does not know, `UnknownStock`.
        """


@runtime_checkable
class AdjustedListSource(Protocol):
    """A `Source` whose stock list depends on the adjustment, such as a folder with few adjusted files."""

    def symbols_adjusted(self, market: str, adjust: str) -> Sequence[Symbol]:
        """Returns the stocks of which it has quotes in this adjustment. Raises as `Source.symbols` does."""


@runtime_checkable
class KindListSource(Protocol):
    """A `Source` that also has lists of ETFs or indices; `kinds` names what it serves: stock, etf, index.

    `symbols` then returns the stocks only. Without `kinds` a source serves stocks, and is asked for funds
    that users name, but never for an index: it might take 000001.SH for the stock 000001.
    """

    kinds: ClassVar[tuple[str, ...]]

    def symbols_of_kind(self, market: str, kind: str) -> Iterable[Symbol]:
        """Returns the market's securities of one of these kinds. Raises as `Source.symbols` does."""


@runtime_checkable
class LeavingSource(Protocol):
    """A `Source` that may leave something aside, and says so."""

    def left_aside(self, market: str) -> Sequence[LeftAside]:
        """Returns what the last stock list of the market did not use."""


@runtime_checkable
class DaySource(Protocol):
    """A `Source` that can also fetch one day of a whole market in one request.

    `day_markets` and `day_adjusts` name the markets and adjustments for which it can; by default all of its
    own.
    """

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns the day's bars by code. A stock that is missing had no bar on that day.

        Only sessions are requested, so a response without any bar counts as a failure. Raises as
        `Source.fetch` does.
        """


@runtime_checkable
class SelectiveDaySource(DaySource, Protocol):
    """A `DaySource` that can fetch only some days."""

    def offers_day(self, market: str, day: date) -> bool:
        """Returns whether `fetch_day` can fetch this session. Must not block: it is given one second."""


@runtime_checkable
class BatchSource(Protocol):
    """A `Source` that can also fetch the bars of several stocks in one request."""

    batch_size: ClassVar[int]  # the most stocks in one request

    def fetch_many(self, requests: Sequence[Request]) -> Mapping[str, Iterable[Bar] | SourceError]:
        """Returns each requested code's bars, as `Source.fetch` does, or the error of that stock alone.

        All requests have the same market, adjustment, first and last day. A code that is missing is requested
        again by itself with `fetch`. What the method raises concerns the whole request: its stocks are then
        requested in halves, in the end one by one, unless the error concerns the source.
        """


@runtime_checkable
class FactorSource(Protocol):
    """A `Source` that also has the adjustment factors of its stocks.

    `factor_markets` names the markets for which it has them; by default all of its own.
    """

    def fetch_factors(self, market: str, code: str) -> Iterable[Factor]:
        """Returns all factors of the stock, one per ex day; none for a stock that never had one.

        They replace the stored ones as a whole. One request at the source's rate limit, made together with
        a request for unadjusted bars. Raises as `Source.fetch` does; the bars are stored all the same.
        """


@runtime_checkable
class ActionSource(Protocol):
    """A `Source` that also has the corporate actions of its stocks, in `action_markets` (as above)."""

    def fetch_actions(self, market: str, code: str, since: date | None) -> Iterable[CorporateAction]:
        """Returns the stock's corporate actions; a plain list replaces the stored ones as a whole.

        `since` is the last ex day that is stored, None if none is. A source that has to be asked year by
        year may return only those of the last years, as `CorporateActions` with `complete_from`: stored
        ones before that day are kept. Requested and raises as `FactorSource.fetch_factors`.
        """


@runtime_checkable
class SessionSource(Protocol):
    """A `Source` that keeps a session with its vendor, of which there may be only one at a time."""

    def end_session(self) -> None:
        """Ends this machine's session, if it has one: another machine sends the next request.

        Takes at most a few seconds. Raises `SourceError` if the session may still be open.
        """


@dataclass(frozen=True)
class Limits:
    """The limits of a source's requests: those that it declares, overridden by the settings.

    A request counts one permit, or what the source declares as its `cost`.
    """

    rate: float = 0.0  # requests per second over all workers and hosts; 0: no limit
    per_minute: int = 0  # permits in any 60 seconds over all workers and hosts; 0: no limit
    per_hour: int = 0  # permits in any 3,600 seconds over all workers and hosts; 0: no limit
    daily: int = 0  # permits per day over all workers and hosts; 0: no limit
    dearest: int = 1  # permits that a request takes at most
    in_flight: int = 0  # requests at once in one worker; 0: as many as the rate needs
    most_workers: int = 0  # workers at once in a task; 0: any number
    time_zone: str = "UTC"  # in which a day of `daily` begins
    breaker: bool = False  # whether the source is paused after many refusals

    @property
    def unlimited(self) -> bool:
        """Whether workers have nothing to coordinate."""
        return not (self.rate or self.per_minute or self.per_hour or self.daily or self.breaker)


def check_served(source: Source, market: str, adjust: str | None = None) -> None:
    """Raises `Permanent` for a market or adjustment that the source does not serve."""
    if market not in source.markets:
        markets = ", ".join(source.markets)
        raise Permanent(f"The source {source.name} serves the markets {markets}, not {market}.")
    if adjust is not None and adjust not in source.adjusts:
        raise Permanent(f"The source {source.name} does not serve the adjustment “{adjust}”.")
