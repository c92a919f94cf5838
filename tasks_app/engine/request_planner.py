"""What of a task a stock still lacks: the smallest span of days to ask its source for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tasks_app import lifecycle
from tasks_app.lifecycle import Claim, Lane
from tasks_app.models import CollectionItem, CollectionTask, Series, Stock, states
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.series import bars_of, needs_refetch
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.sources.base import Request

OVERLAP = 5  # stored bars that an increment of an adjusted series is asked with again
FAR = 500  # stocks to read ahead at most


@dataclass(frozen=True)
class StoredState:
    """What is stored of one stock of the task; None where there is nothing."""

    series: Series | None = None
    stock: Stock | None = None


class RequestPlanner:
    """Says what to ask for each stock of a task. Reads ahead, so that a stock costs no query of its own.

    What was read ahead stays true: only one task runs, and in it each stock is written once.
    `in_hand` has what was known of the stocks that were asked about.
    """

    def __init__(self, task: CollectionTask, days: TradingDays) -> None:
        self.task = task
        self.days = days
        self.in_hand: dict[str, StoredState] = {}
        self._read: dict[str, StoredState] = {}
        self._ahead = 1
        self._warned = False

    def request(self, claim: Claim) -> Request | None:
        """The request for one stock of the task; None when nothing of it is missing.

        Raises `StaleClaim` once the task has ended.
        """
        self._warn(claim.lane)
        if claim.code not in self._read:
            self._load(self._next(claim))
        known = self._read.pop(claim.code)  # should it be claimed again, it is read again
        self.in_hand[claim.code] = known
        if (span := self._span(known)) is None:
            return None
        return Request(self.task.market, claim.code, *span, self.task.adjust)

    def forget(self, claim: Claim) -> None:
        """Read the stock again, should it be claimed again."""
        self._read.pop(claim.code, None)

    def window(self) -> DateRange:
        """The task's days, up to the last one whose bars are final; empty if its end is before its start."""
        return self.task.start_date, min(self.task.end_date, self.days.last_closed)

    def _warn(self, lane: Lane) -> None:
        """Say that the task goes beyond what the calendar knows, if it does."""
        end = None if self._warned else self.days.calendar_end
        self._warned = True
        if end and self.window()[1] > end:
            lifecycle.warn(lane, "calendar_ends", market=self.task.market, end=end.isoformat())

    def _span(self, known: StoredState) -> DateRange | None:
        series, window = known.series, self.window()
        if series and needs_refetch(series):
            return min(window[0], series.first_day or window[0]), max(window[1], series.last_day or window[1])
        if not self.task.force_update:
            window = listed(window, known.stock)
        if window[1] < window[0]:
            return None
        if self.task.force_update or series is None or not series.covered:
            return window
        span = self.days.missing_range(window, date_ranges.parse(series.covered))
        return overlapping(span, series) if span and series.adjust and series.bars else span

    def _next(self, claim: Claim) -> list[str]:
        """The codes of this claim and of the next stocks in line, more of them each time."""
        # Claimed, too: a slice may claim several at once.
        due = CollectionItem.objects.filter(task_id=self.task.pk, state__in=states.OPEN_STATES)
        codes = due.order_by("position").values_list("code", flat=True)[: self._ahead - 1]
        self._ahead = min(FAR, self._ahead * 8)
        return [claim.code, *codes]

    def _load(self, codes: Collection[str]) -> None:
        of_market: dict[str, Any] = {"market": self.task.market}
        series = Series.objects.filter(**of_market, adjust=self.task.adjust, symbol__in=codes)
        stocks = Stock.objects.filter(**of_market, code__in=codes)
        found = {one.symbol: one for one in series}, {one.code: one for one in stocks}
        self._read |= {code: StoredState(found[0].get(code), found[1].get(code)) for code in codes}


def listed(window: DateRange, stock: Stock | None) -> DateRange:
    """The days of the window on which the stock was listed, as far as its dates are known."""
    first, last = window
    if stock and stock.listed_on:
        first = max(first, stock.listed_on)
    if stock and stock.delisted_on:
        last = min(last, stock.delisted_on)
    return first, last


def overlapping(span: DateRange, series: Series) -> DateRange:
    """The span prolonged to the nearest stored bars, which tell whether an adjusted series has moved."""
    first, last = span
    bars = bars_of(series.market, series.symbol, series.adjust).values_list("day", flat=True)
    if before := list(bars.filter(day__lt=first).order_by("-day")[:OVERLAP]):
        return before[-1], last
    after = list(bars.filter(day__gt=last).order_by("day")[:OVERLAP])
    return (first, after[-1]) if after else span
