"""Validation of incoming bars: each is accepted, flagged or refused, and never repaired.

A bar that cannot be true is refused: not stored. A bar that can be true but is unlikely is flagged: stored
as it came. Both are counted and listed (`quotes.findings`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from django.utils.translation import override

from tasks_app.market.price_limits import PriceLimits
from tasks_app.quotes import column_checks
from tasks_app.reasons import FINDINGS, bounded_repr
from tasks_app.sources.base import Bar, Request
from tasks_app.sources.cn_codes import is_a_share

MAX_VOLUME = 2**63 - 1
NEVER_NEGATIVE = {"amount", "amplitude", "turnover", "limit_up", "limit_down"}
PRICES = ("open", "high", "low", "close")
MEAN_TOLERANCE = 0.005  # of the price: block trades lie outside the session's range, and vendors round
LOT = 100  # shares; some vendors send whole lots only
TICK = 0.01
FIRST_BARS = 5  # after a listing, with other limits or none
JUMP = 1.8  # times the close before, or less than one part of it: nearly a split of one into two
LISTING_DELAY = timedelta(days=10)  # a first bar this long after the requested start is the listing's


@dataclass(frozen=True)
class Issue:
    """Why a bar was refused or flagged: a stable code, what its sentence is made of, and the bar.

    The sentence is `reasons.FINDINGS[code]`, with the parameters and the day.
    """

    code: str
    bar: Bar
    params: dict[str, str] = field(default_factory=dict)

    @property
    def day(self) -> date:
        return self.bar.day

    @property
    def message(self) -> str:
        """The English sentence."""
        with override("en"):
            return str(FINDINGS[self.code]) % {**self.params, "day": self.day}


@dataclass(frozen=True)
class Context:
    """What the checks need to know besides the bars.

    `non_sessions` returns which of the days were not sessions; `previous_close` returns the last stored close
    before a day, None without one. `first_day` is the first day of the stored series, None without one.
    `explains_jump` returns whether what sources told of ex days explains that the open of the second day and
    the close of the first are so many times apart.
    """

    today: date
    non_sessions: Callable[[Iterable[date]], list[date]] = lambda days: []
    price_limits: PriceLimits | None = None
    is_index: bool = False  # its amount ÷ volume is no price, and nothing splits it
    previous_close: Callable[[date], float | None] = lambda day: None
    first_day: date | None = None
    explains_jump: Callable[[date, date, float], bool] = lambda after, day, times: False


@dataclass(frozen=True)
class ValidationResult:
    """The bars to store in ascending date order, the refusals, and the flags of stored bars."""

    bars: list[Bar] = field(default_factory=list)
    refused: list[Issue] = field(default_factory=list)
    flags: list[Issue] = field(default_factory=list)

    @property
    def flagged_count(self) -> int:
        """The number of flagged bars, however many flags each has."""
        return len({flag.day for flag in self.flags})


def validate(bars: Sequence[Bar], request: Request, context: Context) -> ValidationResult:
    """Returns the valid bars of a response, with refusals and flags. The first bar of a day wins.

    The bars must be of plain values, as `engine.answers` returns them: any price may be missing or NaN.
    """
    accepted, refused = accept(bars, request, context.today)
    flags = _flags(accepted, column_checks.to_columns(accepted), request, context)
    return ValidationResult(accepted, refused, flags)


def accept(bars: Sequence[Bar], request: Request, today: date) -> tuple[list[Bar], list[Issue]]:
    """Returns the bars that can be true in ascending date order, and the refusals of the others."""
    last, floor = min(request.end, today), -math.inf if request.adjust else 0.0
    columns = column_checks.to_columns(bars)
    if columns and column_checks.all_valid(columns, request.start, last, floor, MAX_VOLUME):
        return list(bars), []
    valid: dict[date, Bar] = {}
    refused: list[Issue] = []
    for bar in bars:
        if fault := next(_faults(bar, request, today, valid), None):
            refused.append(fault)
        else:
            valid[bar.day] = bar
    return [valid[day] for day in sorted(valid)], refused


def _faults(bar: Bar, request: Request, today: date, valid: dict[date, Bar]) -> Iterator[Issue]:
    """Yields why the bar must not be stored. Later checks rely on earlier ones."""
    day, opened, high, low, close, volume = bar[:6]
    if day > today:
        yield Issue("future_day", bar)
    if not request.start <= day <= request.end:
        params = {"start": request.start.isoformat(), "end": request.end.isoformat()}
        yield Issue("day_not_asked", bar, params)
    if not all(map(_is_number, bar[1:5])):
        name, value = next(pair for pair in zip(PRICES, bar[1:5], strict=True) if not _is_number(pair[1]))
        yield Issue("not_a_number", bar, {"column": name, "value": bounded_repr(value)})
    if not low <= min(opened, close) <= max(opened, close) <= high:
        prices = {name: f"{value:g}" for name, value in zip(PRICES, bar[1:5], strict=True)}
        yield Issue("prices_out_of_order", bar, prices)
    if low <= 0 and not request.adjust:  # adjustment subtracts dividends: old prices may be negative
        yield Issue("price_not_positive", bar, {"low": f"{low:g}"})
    if not isinstance(volume, int) or not 0 <= volume <= MAX_VOLUME:
        yield Issue("bad_volume", bar, {"volume": bounded_repr(volume)})
    others = {name: value for name, value in zip(Bar._fields[6:], bar[6:], strict=True) if value is not None}
    for name, value in others.items():
        if not math.isfinite(value):
            yield Issue("not_a_number", bar, {"column": name, "value": bounded_repr(value)})
        if value < 0 and name in NEVER_NEGATIVE:
            yield Issue("negative_value", bar, {"column": name, "value": f"{value:g}"})
    if day in valid:
        yield Issue("duplicate_day", bar, {"close": f"{close:g}", "first": f"{valid[day].close:g}"})


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _flags(
    bars: Sequence[Bar], columns: Sequence[column_checks.Column] | None, request: Request, context: Context
) -> list[Issue]:
    days = columns[0] if columns else [bar.day for bar in bars]
    by_day = {bar.day: bar for bar in bars}
    flags = [Issue("not_a_session", by_day[day]) for day in context.non_sessions(days)]
    if request.market == "CN" and is_a_share(request.code):
        flags += [Issue("no_volume", bar) for bar in bars if not (bar.volume or bar.amount)]
    # Price limits tell what a jump is, where a market has them.
    if bars and request.adjust in ("", "split") and context.price_limits is None and not context.is_index:
        flags += _unexplained_jumps(bars, columns, context)
    if request.adjust or not bars or context.is_index:
        return sorted(flags, key=lambda flag: flag.day)
    if not columns or not column_checks.amounts_consistent(columns, TICK, MEAN_TOLERANCE, LOT):
        flags += _inconsistent_amounts(bars)
    limits = context.price_limits
    if limits and not (columns and column_checks.within_price_limit(columns, limits.narrowest, TICK)):
        flags += _jumps(bars, request, limits, context)
    return sorted(flags, key=lambda flag: flag.day)


def _inconsistent_amounts(bars: Sequence[Bar]) -> Iterable[Issue]:
    """Flags bars whose mean price, amount ÷ volume, is outside low to high by more than rounding."""
    for bar in bars:
        amount, volume = bar.amount, bar.volume
        if amount is None or (not volume and not amount):
            continue
        slack = TICK + bar.high * MEAN_TOLERANCE
        if (bar.low - slack) * (volume - LOT) <= amount <= (bar.high + slack) * (volume + LOT):
            continue
        mean = f"{amount / volume:.4f}" if volume else "none"
        params = {"mean": mean, "low": f"{bar.low:g}", "high": f"{bar.high:g}"}
        yield Issue("amount_outside_range", bar, params)


def _jumps(bars: Sequence[Bar], request: Request, limits: PriceLimits, context: Context) -> Iterable[Issue]:
    """Flags bars whose low or high is further from the previous close than the price limit allows."""
    is_oldest = context.first_day is None or bars[0].day <= context.first_day
    is_listing = limits.listed_on is None and is_oldest and bars[0].day - request.start > LISTING_DELAY
    previous = None if _sent_previous_close(bars[0]) or is_oldest else context.previous_close(bars[0].day)
    for place, bar in enumerate(bars):
        sent, day_before = _sent_previous_close(bar), bars[place - 1].day if place else bar.day
        before = sent or previous
        previous = bar.close
        if not before or before <= 0:
            continue
        limit = None if is_listing and place < FIRST_BARS else limits.limit_on(bar.day)
        # A new stock may rise to any price; half of it overnight, it never loses.
        if limit is None and bar.open < before and (times := _jump(before, bar.open)) >= JUMP:
            if not context.explains_jump(day_before, bar.day, times):
                yield Issue("jump_without_factor", bar, {"open": f"{bar.open:g}", "before": f"{before:g}"})
        elif limit is not None and max(bar.high - before, before - bar.low) > before * limit + TICK:
            params = {"low": f"{bar.low:g}", "high": f"{bar.high:g}", "limit": f"{limit:.0%}"}
            yield Issue("jump_beyond_limit", bar, {**params, "before": f"{before:g}"})


def _unexplained_jumps(
    bars: Sequence[Bar], columns: Sequence[column_checks.Column] | None, context: Context
) -> Iterator[Issue]:
    """Flags bars whose prices are on another basis than those before: a split that no source reports.

    The open is at most 5/9 of the close before, or at least 9/5 of it, and neither the bar's own previous
    close nor a factor or corporate action explains that.
    """
    first = bars[0]
    is_oldest = context.first_day is None or first.day <= context.first_day
    before = None if is_oldest else context.previous_close(first.day)
    if _jump(before, first.open) < JUMP and columns and column_checks.without_jumps(columns, JUMP):
        return
    after = first.day - timedelta(days=1)
    for bar in bars:
        sent = _sent_previous_close(bar)
        times = _jump(before, bar.open)
        is_told = sent is not None and _jump(sent, bar.open) < JUMP
        if times >= JUMP and not (is_told or context.explains_jump(after, bar.day, times)):
            yield Issue("jump_without_factor", bar, {"open": f"{bar.open:g}", "before": f"{before:g}"})
        before, after = bar.close, bar.day


def _jump(before: float | None, opened: float) -> float:
    """Returns how many times one price is the other; 1 for prices that can't be compared."""
    if before is None or min(before, opened) <= 0:
        return 1.0
    return max(before, opened) / min(before, opened)


def _sent_previous_close(bar: Bar) -> float | None:
    """The previous close as the source sent it, which takes dividends and splits into account."""
    if bar.prev_close is not None:
        return bar.prev_close
    return None if bar.change is None else bar.close - bar.change
