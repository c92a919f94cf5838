"""What is stored of a stock, kept in the transaction that stores it: `Series`, one row per adjustment."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db.models import Count, Max, Min, QuerySet
from django.db.models.functions import Now

from tasks_app.models import DailyBar, Series
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.quotes.upsert import UpsertResult
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources.base import Bar, Request

UPDATED_FIELDS = ["bars", "first_day", "last_day", "covered", "updated_at"]


def close_before(request: Request, day: date) -> float | None:
    """The last stored close before a day."""
    bars = bars_of(request.market, request.code, request.adjust).filter(day__lt=day).order_by("-day")
    return bars.values_list("close", flat=True).first()


def answered_until(
    request: Request,
    held: Series | None,
    sifted: ValidationResult,
    days: TradingDays,
    newest: date,
    *,
    certain: bool,
) -> date | None:
    """The last day for which the answer is believed, days without a bar included; None for no day at all.

    A bar proves its own day and all before it. What comes after the last bar is believed up to the
    day on which the source had another stock's bar already (`newest`), and where it is long past.
    An answer without a single bar may be a throttled one: only what is long past is believed of it,
    and of a stock that never had a bar only when it says so for the second time.
    """
    end = min(request.end, days.last_closed)
    recent = [one.day for one in sifted.rejected if one.day and one.day > days.final_until]
    if recent:  # a refused bar may be put right by the source while it is new
        end = min(end, min(recent) - date_ranges.DAY)
    if certain:
        return end
    if sifted.bars:
        return min(end, max(sifted.bars[-1].day, newest, days.final_until))
    if held is None:
        return None
    return min(end, days.final_until)


def update_series(
    request: Request,
    held: Series | None,
    bars: Sequence[Bar],
    stored: UpsertResult,
    covered: Sequence[DateRange],
) -> None:
    """Note what has just been stored, and the days answered. Without `held` other bars are counted anew."""
    row = Series(market=request.market, symbol=request.code, adjust=request.adjust, updated_at=Now())
    row.covered = date_ranges.dump(covered)
    known = held or stored.collected == len(bars)
    for name, value in (_sums(held, bars, stored) if known else _counted(request)).items():
        setattr(row, name, value)
    Series.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["market", "adjust", "symbol"],
        update_fields=UPDATED_FIELDS,
    )


def mark_for_refetch(held: Series) -> None:
    """Note that an adjusted series has moved: nothing of it counts as answered any more."""
    Series.objects.filter(pk=held.pk).update(covered=[], updated_at=Now())


def _sums(held: Series | None, bars: Sequence[Bar], stored: UpsertResult) -> dict[str, Any]:
    days = [bars[0].day, bars[-1].day] if bars else []
    if held and held.first_day and held.last_day:
        days += [held.first_day, held.last_day]
    return {
        "bars": (held.bars if held else 0) + stored.collected,
        "first_day": min(days, default=None),
        "last_day": max(days, default=None),
    }


def _counted(request: Request) -> dict[str, Any]:
    bars = bars_of(request.market, request.code, request.adjust)
    return bars.aggregate(bars=Count("pk"), first_day=Min("day"), last_day=Max("day"))


def needs_refetch(series: Series) -> bool:
    """An adjusted series that was found to have moved: it is to be asked for again as a whole."""
    return bool(series.adjust and series.bars and not series.covered)


def count_bars_within(series: Series | None, window: DateRange) -> int:
    """How many bars of the series are stored within the window; a query only where it cuts the series."""
    if series is None or not series.bars or series.first_day is None or series.last_day is None:
        return 0
    if window[0] <= series.first_day and series.last_day <= window[1]:
        return series.bars
    if series.last_day < window[0] or window[1] < series.first_day:
        return 0
    return bars_of(series.market, series.symbol, series.adjust).filter(day__range=window).count()


def bars_of(market: str, symbol: str, adjust: str) -> QuerySet[DailyBar]:
    """The stored bars of one series."""
    return DailyBar.objects.filter(market=market, symbol=symbol, adjust=adjust)
