"""Plans the request for each stock of a task: the smallest range of days that it still lacks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import takewhile

from tasks_app import lifecycle
from tasks_app.lifecycle import Claim, Lane
from tasks_app.market import silent_days
from tasks_app.models import CollectionItem, CollectionTask, Series, Stock
from tasks_app.models.states import OPEN_STATES
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.series import bars_of, needs_refetch
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.sources.base import Request

OVERLAP_BARS = 5  # stored bars that an increment requests again
MAX_READ_AHEAD = 500  # stocks


@dataclass(frozen=True)
class StoredState:
    """What is stored of one stock in the task's adjustment; None where there is nothing."""

    series: Series | None = None
    stock: Stock | None = None


@dataclass(frozen=True)
class PlannedRequest(Request):
    """A request whose days before `missing_from` are answered already, and compared once more.

    `source` is the first of the task's sources that may have quotes of the missing days.
    """

    missing_from: date = date.min
    source: str = ""

    @property
    def first_missing(self) -> date:
        """The first day that is not answered yet."""
        return max(self.start, self.missing_from)

    @property
    def compares(self) -> bool:
        """Whether the request includes stored days only in order to compare them."""
        return self.start < self.missing_from


class RequestPlanner:
    """Plans requests for the stocks of a task. Reads ahead, so that a stock costs no query of its own.

    What was read ahead stays true: only one task runs, and it writes each stock once.
    """

    def __init__(self, task: CollectionTask, days: TradingDays, sources: Callable[[], Sequence[str]]) -> None:
        """`sources` returns those of the task's sources that may be asked now, in their order."""
        self.task = task
        self.days = days
        self.sources = sources
        self._read: dict[str, StoredState] = {}
        self._ahead = 1
        self._warned = False
        self._silent: dict[str, frozenset[date]] = {}
        self._silence_warned = False

    def plan(self, claim: Claim) -> tuple[StoredState, PlannedRequest | None]:
        """Returns what is stored of a claimed stock, and the request for what it lacks; None for nothing.

        Raises `StaleClaim` once the task has ended.
        """
        self._warn_of_days(claim.lane)
        if claim.code not in self._read:
            self._read_states(claim)
        stored = self._read.pop(claim.code)  # read again if it is claimed again
        for source in self.sources():
            if missing := self._missing_days(stored, self.silent_days_of(source)):
                request = Request(self.task.market, claim.code, *missing, self.task.adjust)
                return stored, self._with_compared_days(request, stored, source)
        self._warn_of_silence(claim.lane, stored)
        return stored, None

    def forget(self, claim: Claim) -> None:
        """Has the stock read again when it is claimed again."""
        self._read.pop(claim.code, None)

    def window(self) -> DateRange:
        """Returns the task's days up to the last day with final bars; empty if the end precedes the start."""
        return self.task.start_date, min(self.task.end_date, self.days.last_closed)

    def silent_days_of(self, source: str) -> frozenset[date]:
        """Returns the days of which a source has no quotes of any stock, as settled so far."""
        if source not in self._silent:
            task = self.task
            settled = silent_days.settled_days(
                task.market, source, task.pk, with_proven=not task.force_update
            )
            start, end = self.window()
            self._silent[source] = frozenset(day for day in settled if start <= day <= end)
        return self._silent[source]

    def forget_silent_days(self) -> None:
        """Has the settled days read again: an answer without quotes has been added."""
        self._silent.clear()

    def days_without_quotes(self, stored: StoredState) -> Sequence[date]:
        """Returns the days for which a stock is not requested because no source has quotes of them."""
        silent = frozenset.intersection(*map(self.silent_days_of, self.sources()))
        if not silent:
            return ()
        first, last = listed_days(self.window(), stored.stock)
        answered = date_ranges.parse(stored.series.covered) if stored.series else []
        return [
            day
            for day in sorted(silent)
            if first <= day <= last and not any(start <= day <= end for start, end in answered)
        ]

    def _warn_of_days(self, lane: Lane) -> None:
        """Warns once of days beyond the calendar's end, and of a day that the source does not have yet."""
        if self._warned:
            return
        self._warned = True
        if (end := self.days.calendar_end) and self.window()[1] > end:
            lifecycle.warn(lane, "calendar_ends", market=self.task.market, end=end.isoformat())
        if self.days.is_early and self.task.end_date > self.days.last_closed:
            day = (self.days.last_closed + date_ranges.DAY).isoformat()
            at = f"{self.days.ready_at:%H:%M}"
            lifecycle.warn(lane, "day_not_ready", source=self.task.source, day=day, time=at)

    def _warn_of_silence(self, lane: Lane, stored: StoredState) -> None:
        """Warns once of days for which a stock is not requested because no stock has quotes of them."""
        if not self._silence_warned and (days := self.days_without_quotes(stored)):
            self._silence_warned = True
            texts = ", ".join(day.isoformat() for day in days)
            lifecycle.warn(lane, "no_quotes", source=", ".join(self.sources()), days=texts)

    def _missing_days(self, stored: StoredState, silent: Collection[date]) -> DateRange | None:
        """Returns the smallest range that covers all missing days; None when nothing is missing."""
        series, window = stored.series, self.window()
        if series and needs_refetch(series):
            return min(window[0], series.first_day or window[0]), max(window[1], series.last_day or window[1])
        if not self.task.force_update:
            window = listed_days(window, stored.stock)
        if window[1] < window[0]:
            return None
        if self.task.force_update or series is None or not series.covered:
            return self.days.missing_range(window, (), silent) if silent else window
        missing = self.days.missing_range(window, date_ranges.parse(series.covered), silent)
        return with_overlap(missing, series) if missing and series.adjust and series.bars else missing

    def _with_compared_days(self, request: Request, stored: StoredState, source: str) -> PlannedRequest:
        """Returns the request with stored days to compare, if it is the task's own source that is asked."""
        first, start = request.start, request.start
        if stored.series and source == self.task.source:
            start = self._compare_from(first, stored.series)
        key = request.market, request.code, start, request.end, request.adjust
        return PlannedRequest(*key, missing_from=first, source=source)

    def _compare_from(self, first: date, series: Series) -> date:
        """Returns the day from which to request the days from `first` on: that of the fifth bar before it.

        Vendors revise their newest bars, and a longer range costs no further request. Only bars right before
        the missing days are compared: no unanswered day, none that a later stored bar follows, and no bar of
        another source, such as one from a file.
        """
        if self.task.force_update or series.adjust or not series.last_day or series.last_day >= first:
            return first
        ranges = date_ranges.parse(series.covered)
        start, end = max((one for one in ranges if one[1] < first), default=(first, first))
        if start == first or not (first <= end + date_ranges.DAY or self.days.contiguous(end, first)):
            return first
        bars = bars_of(series.market, series.symbol, series.adjust).filter(day__range=(start, end))
        newest = bars.order_by("-day").values_list("day", "source")[:OVERLAP_BARS]
        own = takewhile(lambda bar: bar[1] == self.task.source, newest)
        return min((day for day, _ in own), default=first)

    def _read_states(self, claim: Claim) -> None:
        """Reads what is stored of this stock and of the next ones in line, more of them each time."""
        # Claimed ones included: a slice may claim several at once.
        due = CollectionItem.objects.filter(task_id=self.task.pk, state__in=OPEN_STATES)
        following = due.order_by("position").values_list("code", flat=True)[: self._ahead - 1]
        codes = [claim.code, *following]
        self._ahead = min(MAX_READ_AHEAD, self._ahead * 8)
        market = self.task.market
        series = Series.objects.filter(market=market, adjust=self.task.adjust, symbol__in=codes)
        stocks = Stock.objects.filter(market=market, code__in=codes)
        series_by_code = {one.symbol: one for one in series}
        stocks_by_code = {one.code: one for one in stocks}
        for code in codes:
            self._read[code] = StoredState(series_by_code.get(code), stocks_by_code.get(code))


def listed_days(window: DateRange, stock: Stock | None) -> DateRange:
    """Returns the part of the window in which the stock was listed, as far as its dates are known."""
    first, last = window
    if stock and stock.listed_on:
        first = max(first, stock.listed_on)
    if stock and stock.delisted_on:
        last = min(last, stock.delisted_on)
    return first, last


def is_full(stock: Stock | None, covered: Sequence[DateRange], days: TradingDays) -> bool:
    """Returns whether the whole listed life is answered: to the delisting, or to the last five sessions.

    It begins with the listing, or with the market's first session where the listing is not known.
    """
    life = listed_days((days.first_day, days.final_until), stock)
    if stock and stock.listed_on:
        life = stock.listed_on, life[1]
    return life[0] <= life[1] and days.missing_range(life, covered) is None


def with_overlap(missing: DateRange, series: Series) -> DateRange:
    """Extends a range to the nearest stored bars, which show whether an adjusted series was rebased."""
    first, last = missing
    bars = bars_of(series.market, series.symbol, series.adjust).values_list("day", flat=True)
    if before := list(bars.filter(day__lt=first).order_by("-day")[:OVERLAP_BARS]):
        return before[-1], last
    after = list(bars.filter(day__gt=last).order_by("day")[:OVERLAP_BARS])
    return (first, after[-1]) if after else missing
