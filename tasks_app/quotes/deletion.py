"""Deletes what a source stored: its bars, and what is recorded about them.

A series that keeps bars of other sources stays, with its counts; of one that keeps none nothing stays. Days
whose bars were deleted no longer count as answered, nor do the days without a bar between them, of which the
same source has spoken: the next order asks for them again.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.conf import SYNTHETIC_MARKET
from tasks_app.models import (
    AdjustmentFactor,
    AdjustmentTable,
    CorporateAction,
    Correction,
    DailyBar,
    Finding,
    RecordedCall,
    Series,
    SilentAnswer,
    Stock,
    StockList,
)
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import absences, date_ranges, month_counts, raw_answers
from tasks_app.quotes.date_ranges import DAY, DateRange
from tasks_app.quotes.series import bars_of, withdraw_full_history

BATCH = 5000  # rows; a larger batch would make others wait
TABLES = 200  # of factors or corporate actions, in a batch
SERIES_READ = 500  # in a batch, for those that hold no bar of the source


@dataclass(frozen=True)
class Selection:
    """What a source stored, in one market or in all ("") and on the days from `first` to `last`, if given."""

    source: str
    market: str = ""
    first: date | None = None
    last: date | None = None

    @property
    def has_all_days(self) -> bool:
        return self.first is None and self.last is None

    @property
    def days(self) -> DateRange:
        return self.first or date.min, self.last or date.max

    def rows(self, model: Any) -> QuerySet[Any]:
        """Returns the rows of a table with the columns source, market and day."""
        return _between(model.objects.filter(source=self.source, **self.in_market()), self)

    def findings(self) -> QuerySet[Finding]:
        """Returns the findings in its bars, and those that compare another source's with its bars."""
        mine = Q(source=self.source) | Q(other_source=self.source)
        return _between(Finding.objects.filter(mine, **self.in_market()), self)

    def in_market(self) -> dict[str, str]:
        return {"market": self.market} if self.market else {}


class Deleted(NamedTuple):
    """How many rows were deleted; of series and stocks, in how many a bar was deleted, and which are gone."""

    series: int = 0
    bars: int = 0
    corrections: int = 0
    findings: int = 0
    stocks: int = 0
    adjustments: int = 0
    raw_answers: int = 0


@dataclass(frozen=True)
class MarketContents:
    """What a source stored in a market: bars in so many series, from the first to the last day."""

    market: str
    bars: int
    series: int
    first: date
    last: date


@dataclass(frozen=True)
class Contents:
    """What a selection holds: what would be deleted."""

    markets: tuple[MarketContents, ...]
    corrections: int
    findings: int
    lists: int
    adjustments: int
    raw_answers: int = 0

    @property
    def bars(self) -> int:
        return sum(each.bars for each in self.markets)

    @property
    def is_empty(self) -> bool:
        records = self.corrections or self.findings or self.raw_answers
        return not (self.markets or records or self.lists or self.adjustments)


def count_contents(selection: Selection) -> Contents:
    """Counts what would be deleted. Reads every bar of the market, or of all: seconds for ten millions."""
    per_series = (
        selection.rows(DailyBar)
        .values_list("market", "symbol", "adjust")
        .annotate(Count("pk"), Min("day"), Max("day"))
        .order_by()
    )
    markets: dict[str, MarketContents] = {}
    for market, _symbol, _adjust, bars, first, last in per_series.iterator():
        known = markets.get(market, MarketContents(market, 0, 0, first, last))
        markets[market] = MarketContents(
            market, known.bars + bars, known.series + 1, min(known.first, first), max(known.last, last)
        )
    return Contents(
        tuple(markets[market] for market in sorted(markets)),
        selection.rows(Correction).count(),
        selection.findings().count(),
        _lists(selection).count() if selection.has_all_days else 0,
        _tables(selection).count() if selection.has_all_days else 0,
        _calls(selection).count(),
    )


def next_series(selection: Selection, after: int) -> list[Series]:
    """Returns the next series that may hold bars of the source, by id."""
    return list(Series.objects.filter(pk__gt=after, **selection.in_market()).order_by("pk")[:SERIES_READ])


def delete_from_series(selection: Selection, rows: Sequence[Series]) -> Iterator[tuple[int, Deleted]]:
    """Deletes from one series after the other, in the caller's transaction; yields its id and the counts."""
    for row in rows:
        yield row.pk, _delete_from(selection, row)


def delete_records(selection: Selection) -> Deleted:
    """Deletes up to a batch of corrections and findings that stayed: they belong to no deleted bar."""
    selection.rows(SilentAnswer).delete()  # it may have quotes of these days when it is asked again
    corrections = _delete_some(selection.rows(Correction))
    return Deleted(corrections=corrections, findings=_delete_some(selection.findings()))


def delete_adjustments(selection: Selection) -> Deleted:
    """Deletes the source's factors and corporate actions, up to a batch of tables, each as a whole.

    With days given they stay: a table without some of its ex days would be wrong for all prices before.
    """
    if not selection.has_all_days:
        return Deleted()
    tables = list(_tables(selection).order_by("pk")[:TABLES])
    for table in tables:
        key = {"market": table.market, "symbol": table.symbol, "source": table.source}
        is_factors = table.content == AdjustmentContent.FACTORS
        (AdjustmentFactor if is_factors else CorporateAction).objects.filter(**key).delete()
        table.delete()
    return Deleted(adjustments=len(tables))


def delete_raw_answers(selection: Selection) -> Deleted:
    """Deletes a batch of the source's raw answers: a replay would bring back what was deleted.

    With days given these are the answers that have one of them, with their other days.
    """
    return Deleted(raw_answers=raw_answers.delete_calls(_calls(selection)))


def delete_lists(selection: Selection) -> Deleted:
    """Deletes the source's stock lists, and up to a batch of the made-up stocks that no list has any more.

    Stocks of other markets stay: it is not recorded which list or collection added them.
    """
    if not selection.has_all_days:
        return Deleted()
    _lists(selection).delete()
    if selection.market not in ("", SYNTHETIC_MARKET):
        return Deleted()
    if StockList.objects.filter(market=SYNTHETIC_MARKET).exists():
        return Deleted()
    series = Series.objects.filter(market=OuterRef("market"), symbol=OuterRef("code"))
    return Deleted(stocks=_delete_some(Stock.objects.filter(~Exists(series), market=SYNTHETIC_MARKET)))


def _delete_from(selection: Selection, row: Series) -> Deleted:
    stored = bars_of(row.market, row.symbol, row.adjust)
    mine = _between(stored.filter(source=selection.source), selection)
    deleted = list(mine.order_by("day").values_list("day", "item_id"))
    if not deleted:
        return Deleted()
    days, items = [day for day, _ in deleted], {item for _, item in deleted if item}
    mine.delete()
    key = {"market": row.market, "symbol": row.symbol, "adjust": row.adjust}
    corrections = _between(Correction.objects.filter(source=selection.source, **key), selection)
    unattributed = Q(source="", kind=FindingKind.FLAGGED, item_id__in=items, day__range=(days[0], days[-1]))
    findings = Finding.objects.filter(Q(source=selection.source) | unattributed, **key)
    counts = corrections.delete()[0], _between(findings, selection).delete()[0]
    _update(selection, row, days, list(stored.order_by("day").values_list("day", flat=True)))
    withdraw_full_history(row.market, row.symbol)
    return Deleted(1, len(days), *counts)


def _update(selection: Selection, row: Series, deleted: Sequence[date], left: Sequence[date]) -> None:
    """Updates the series' row, or deletes it if it has neither bars nor answered days any more."""
    holes = sorted(_holes(selection, deleted, left))
    covered = date_ranges.subtract_ranges(date_ranges.parse(row.covered), holes)
    one = Series.objects.filter(pk=row.pk)
    if not left and not covered:
        one.delete()
        return
    one.update(
        bars=len(left),
        first_day=left[0] if left else None,
        last_day=left[-1] if left else None,
        months=month_counts.dump(month_counts.count_days(left)),
        covered=date_ranges.dump(covered),
        absences=absences.dump(absences.clear(absences.parse(row.absences), holes)),
        full_at=None,
        updated_at=Now(),
    )


def _holes(selection: Selection, deleted: Sequence[date], left: Sequence[date]) -> set[DateRange]:
    """Returns the days around the deleted bars, up to the next bars that stay and the selection's ends."""
    first, last = selection.days
    holes = set()
    for day in deleted:
        place = bisect_left(left, day)
        start = left[place - 1] + DAY if place else date.min
        end = left[place] - DAY if place < len(left) else date.max
        holes.add((max(start, first), min(end, last)))
    return holes


def _between(rows: QuerySet[Any], selection: Selection) -> QuerySet[Any]:
    return rows if selection.has_all_days else rows.filter(day__range=selection.days)


def _lists(selection: Selection) -> QuerySet[StockList]:
    return StockList.objects.filter(source=selection.source, **selection.in_market())


def _tables(selection: Selection) -> QuerySet[AdjustmentTable]:
    return AdjustmentTable.objects.filter(source=selection.source, **selection.in_market())


def _calls(selection: Selection) -> QuerySet[RecordedCall]:
    calls = RecordedCall.objects.filter(source=selection.source, **selection.in_market())
    first, last = selection.days
    return calls if selection.has_all_days else calls.filter(first_day__lte=last, last_day__gte=first)


def _delete_some(rows: QuerySet[Any]) -> int:
    """Deletes up to a batch of the rows; returns how many."""
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    batches = (keys[first : first + 500] for first in range(0, len(keys), 500))
    return sum(rows.model.objects.filter(pk__in=batch).delete()[0] for batch in batches)
