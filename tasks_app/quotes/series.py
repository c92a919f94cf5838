"""`Series`: one row per stock and adjustment that says what is stored of it.

The transactions that write bars keep it up to date.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.market import code_changes
from tasks_app.models import DailyBar, Series, Stock
from tasks_app.quotes import absences, date_ranges, month_counts
from tasks_app.quotes.absences import AbsentDays
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.quotes.upsert import UpsertResult
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources.base import Bar, Request

UPDATED_FIELDS = ["bars", "first_day", "last_day", "months", "covered", "absences", "full_at", "updated_at"]


@dataclass(frozen=True)
class AnsweredDays:
    """The days of a series that sources have answered for, and why some of them have no bar.

    `is_full`: the whole listed life of the stock is answered.
    """

    covered: Sequence[DateRange]
    absent: Sequence[AbsentDays]
    is_full: bool


def bars_of(market: str, symbol: str, adjust: str) -> QuerySet[DailyBar]:
    """Returns the stored bars of one series."""
    return DailyBar.objects.filter(market=market, symbol=symbol, adjust=adjust)


def joined_bars(market: str, code: str, adjust: str) -> QuerySet[DailyBar]:
    """Returns a security's bars, with those from before its code changed; no day comes twice.

    A bar under the later code wins. Adjusted series are not joined: each is relative to a base of its own.
    """
    earlier = code_changes.predecessors(market, code) if not adjust else []
    bars = DailyBar.objects.filter(market=market, adjust=adjust)
    joined, later = Q(symbol=code), [code]
    for one in earlier:
        same_day = bars.filter(symbol__in=later, day=OuterRef("day"))
        joined |= Q(Q(symbol=one.code, day__lt=one.until), ~Exists(same_day))
        later = [*later, one.code]
    return bars.filter(joined)


def close_before(request: Request, day: date) -> float | None:
    """Returns the last stored close before a day, None without one."""
    bars = bars_of(request.market, request.code, request.adjust).filter(day__lt=day).order_by("-day")
    return bars.values_list("close", flat=True).first()


def count_bars_within(series: Series | None, window: DateRange) -> int:
    """Returns the number of stored bars within the window. A query only if the window cuts the series."""
    if series is None or not series.bars or series.first_day is None or series.last_day is None:
        return 0
    if window[0] <= series.first_day and series.last_day <= window[1]:
        return series.bars
    if series.last_day < window[0] or window[1] < series.first_day:
        return 0
    return bars_of(series.market, series.symbol, series.adjust).filter(day__range=window).count()


def answered_until(
    request: Request,
    series: Series | None,
    result: ValidationResult,
    days: TradingDays,
    newest: date,
    *,
    certain: bool,
) -> date | None:
    """Returns the last day that counts as answered, days without a bar included; None for no day at all.

    A bar proves its own day and all before it. Days after the last bar are answered up to `newest`, the day
    of the newest bar that the source has sent of any stock, and if they are long past (`days.final_until`).
    A response without a single bar may be caused by throttling: it answers only days long past, and for a
    stock that never had a bar only the second such response counts. `certain`: a missing bar proves that
    there was none.
    """
    end = min(request.end, days.last_closed)
    recent = [issue.day for issue in result.refused if issue.day and issue.day > days.final_until]
    if recent:  # the source may still correct a refused bar
        end = min(end, min(recent) - date_ranges.DAY)
    if certain:
        return end
    if result.bars:
        return min(end, max(result.bars[-1].day, newest, days.final_until))
    return None if series is None else min(end, days.final_until)


def update_series(
    request: Request,
    series: Series | None,
    bars: Sequence[Bar],
    result: UpsertResult,
    answered: AnsweredDays,
    *,
    recount: bool = False,
) -> None:
    """Writes the series' row after these bars were stored, with the days that are now answered.

    `series` is the row before. Without it the stored bars are counted, unless all of `bars` were new; with
    `recount` they are counted in any case.
    """
    values: dict[str, Any]
    stored = bars_of(request.market, request.code, request.adjust)
    recount = recount or (series is None and result.collected < len(bars))
    if recount:
        values = stored.aggregate(bars=Count("pk"), first_day=Min("day"), last_day=Max("day"))
    else:
        days = [bars[0].day, bars[-1].day] if bars else []
        if series and series.first_day and series.last_day:
            days += [series.first_day, series.last_day]
        count = (series.bars if series else 0) + result.collected
        values = {"bars": count, "first_day": min(days, default=None), "last_day": max(days, default=None)}
    values["months"] = month_counts.updated(
        stored,
        series.months if series else "",
        [bar.day for bar in bars],
        result.collected,
        recount=recount or bool(series and series.bars and not series.months),
    )
    row = Series(market=request.market, symbol=request.code, adjust=request.adjust, **values)
    row.covered, row.absences, row.updated_at = (
        date_ranges.dump(answered.covered),
        absences.dump(answered.absent),
        Now(),
    )
    was_full_at = series.full_at if series else None
    row.full_at = was_full_at or (cast(datetime, Now()) if answered.is_full else None)
    Series.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["market", "adjust", "symbol"],
        update_fields=UPDATED_FIELDS,
    )


def record_absences(series: Series, absent: Sequence[AbsentDays]) -> None:
    """Writes only why days have no bar, after an answer that counts for nothing else."""
    Series.objects.filter(pk=series.pk).update(absences=absences.dump(absent), updated_at=Now())


def mark_for_refetch(series: Series) -> None:
    """Marks an adjusted series as rebased: none of its days counts as answered any more."""
    Series.objects.filter(pk=series.pk).update(covered=[], full_at=None, updated_at=Now())
    withdraw_full_history(series.market, series.symbol)


def mark_full(series: Series) -> None:
    """Marks the series' whole listed life as answered."""
    Series.objects.filter(pk=series.pk, full_at__isnull=True).update(full_at=Now())


def withdraw_full_history(market: str, code: str) -> None:
    """Withdraws that a stock's full history is collected, unless it still is in another adjustment."""
    if not Series.objects.filter(market=market, symbol=code, full_at__isnull=False).exists():
        full = Stock.objects.filter(market=market, code=code, full_collection_completed=True)
        full.update(full_collection_completed=False, full_collection_date=None)


def needs_refetch(series: Series) -> bool:
    """Returns whether an adjusted series is marked as rebased, so that it must be requested as a whole."""
    return bool(series.adjust and series.bars and not series.covered)
