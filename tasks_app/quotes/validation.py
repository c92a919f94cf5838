"""Every bar is checked on its way in: refused or flagged, counted and named, never mended.

What can't be true is refused and not stored. What can be true, but seldom is, is flagged and stored.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tasks_app.market.price_limits import PriceLimits
from tasks_app.quotes import column_checks
from tasks_app.sources.base import Bar, Request, is_number

MAX_VOLUME = 2**63 - 1
MEAN_TOLERANCE = 0.005  # of the price: block trades lie outside the session's range, and vendors round
LOT = 100  # some vendors send whole lots only
TICK = 0.01
FIRST_BARS = 5  # after a listing, with other limits or none
LISTING_SEEN = timedelta(days=10)  # a first bar so long after the first day asked for is the listing's


@dataclass(frozen=True)
class Rejection:
    """Why one bar was refused: a stable code, one English sentence, and its day if it has one."""

    code: str
    message: str
    day: date | None = None


@dataclass(frozen=True)
class Flag:
    """What is doubtful about one stored bar: a stable code, one English sentence, its day."""

    code: str
    message: str
    day: date


@dataclass(frozen=True)
class Context:
    """What the checks need to know besides the bars.

    `non_sessions` answers with the days on which the market was closed, `previous_close` with the stored
    close before a day, None when there is none. `first_day` is the stored series' first, if any is.
    """

    today: date
    non_sessions: Callable[[Iterable[date]], list[date]] = lambda days: []
    price_limits: PriceLimits | None = None
    previous_close: Callable[[date], float | None] = lambda day: None
    first_day: date | None = None


@dataclass(frozen=True)
class ValidationResult:
    """The bars that may be stored, by rising day, and what was found."""

    bars: list[Bar] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)

    @property
    def flagged_count(self) -> int:
        """How many bars are flagged, whatever the number of reasons."""
        return len({flag.day for flag in self.flags})


def validate(bars: Iterable[Bar], request: Request, context: Context) -> ValidationResult:
    """Sort an answer. Of two bars of one day the first is kept."""
    answer = list(bars)
    last, floor = min(request.end, context.today), -math.inf if request.adjust else 0.0
    by_column = column_checks.to_columns(answer)
    if by_column and column_checks.all_valid(by_column, request.start, last, floor, MAX_VOLUME):
        return ValidationResult(answer, [], _flags(answer, by_column, request, context))
    good: dict[date, Bar] = {}
    refused: list[Rejection] = []
    for bar in answer:
        if refusal := _fault(bar, request, context.today) or _duplicate(bar, good):
            refused.append(refusal)
        else:
            good[bar.day] = bar
    kept = [good[day] for day in sorted(good)]
    return ValidationResult(kept, refused, _flags(kept, column_checks.to_columns(kept), request, context))


def _duplicate(bar: Bar, good: dict[date, Bar]) -> Rejection | None:
    if bar.day in good:
        return Rejection("duplicate_day", f"{bar.day}: the source sent this day twice.", bar.day)
    return None


def _fault(bar: Bar, request: Request, today: date) -> Rejection | None:
    if not isinstance(bar.day, date) or isinstance(bar.day, datetime):
        return Rejection("bad_day", f"{bar.day!r} is not a day.")
    if bar.day > today:
        return Rejection("future_day", f"{bar.day}: the day is in the future.", bar.day)
    if not request.start <= bar.day <= request.end:
        return Rejection("day_not_asked", f"{bar.day}: the day is outside the days asked for.", bar.day)
    return _bad_price(bar, request.adjust) or _bad_rest(bar)


def _bad_price(bar: Bar, adjust: str) -> Rejection | None:
    day, opened, high, low, close = bar[:5]
    if not all(map(is_number, bar[1:5])):
        return Rejection("not_a_number", f"{day}: a price is missing or not a number.", day)
    if not low <= min(opened, close) <= max(opened, close) <= high:
        return Rejection("prices_out_of_order", f"{day}: low, open, close and high are out of order.", day)
    if low <= 0 and not adjust:  # adjusting subtracts dividends: old prices may well be negative then
        return Rejection("price_not_positive", f"{day}: an unadjusted price is zero or negative.", day)
    return None


def _bad_rest(bar: Bar) -> Rejection | None:
    if not isinstance(bar.volume, int) or not 0 <= bar.volume <= MAX_VOLUME:
        message = f"{bar.day}: the volume {bar.volume!r} is not a number of shares."
        return Rejection("bad_volume", message, bar.day)
    if any(value is not None and not is_number(value) for value in bar[6:]):
        return Rejection("not_a_number", f"{bar.day}: a value is not a number.", bar.day)
    for name in ("amount", "amplitude", "turnover"):
        if (getattr(bar, name) or 0) < 0:
            return Rejection("negative_value", f"{bar.day}: the {name} is negative.", bar.day)
    return None


def _flags(
    bars: list[Bar], by_column: list[column_checks.Column] | None, request: Request, context: Context
) -> list[Flag]:
    flags = [
        _not_a_session(day)
        for day in context.non_sessions(by_column[0] if by_column else [bar.day for bar in bars])
    ]
    if request.adjust or not bars:
        return flags
    if not by_column or not column_checks.amounts_consistent(by_column, TICK, MEAN_TOLERANCE, LOT):
        flags += [_amount_outside(bar) for bar in bars if not _amount_fits(bar)]
    board = context.price_limits
    if board and not (by_column and column_checks.within_price_limit(by_column, board.narrowest, TICK)):
        flags += _jumps(bars, request, board, context)
    return sorted(flags, key=lambda flag: flag.day)


def _not_a_session(day: date) -> Flag:
    return Flag("not_a_session", f"{day}: the market was closed, by its calendar.", day)


def _amount_fits(bar: Bar) -> bool:
    """Whether the mean price, amount ÷ volume, lies between low and high, but for rounding."""
    amount, volume = bar.amount, bar.volume
    if amount is None or (not volume and not amount):
        return True
    slack = TICK + bar.high * MEAN_TOLERANCE
    least, most = (bar.low - slack) * (volume - LOT), (bar.high + slack) * (volume + LOT)
    return least <= amount <= most


def _amount_outside(bar: Bar) -> Flag:
    mean = f"{(bar.amount or 0) / bar.volume:.4f}" if bar.volume else "none"
    message = f"{bar.day}: amount ÷ volume is {mean}, outside low {bar.low:g} to high {bar.high:g}."
    return Flag("amount_outside_range", message, bar.day)


def _jumps(bars: list[Bar], request: Request, board: PriceLimits, context: Context) -> list[Flag]:
    """Bars further from the previous close than the board allows."""
    flags: list[Flag] = []
    oldest = context.first_day is None or bars[0].day <= context.first_day
    close = None if _told(bars[0]) or oldest else context.previous_close(bars[0].day)
    listing = board.listed_on is None and oldest and bars[0].day - request.start > LISTING_SEEN
    for place, bar in enumerate(bars):
        before = _told(bar) or close
        close = bar.close
        if not before or before <= 0 or (listing and place < FIRST_BARS):
            continue
        limit = board.limit(bar.day)
        if limit is not None and max(bar.high - before, before - bar.low) > before * limit + TICK:
            flags.append(_jump(bar, before, limit))
    return flags


def _told(bar: Bar) -> float | None:
    """The previous close by the source's own word, which knows of dividends and splits."""
    if bar.prev_close is not None:
        return bar.prev_close
    return None if bar.change is None else bar.close - bar.change


def _jump(bar: Bar, before: float, limit: float) -> Flag:
    message = f"{bar.day}: {bar.low:g} to {bar.high:g} is more than {limit:.0%} from {before:g}."
    return Flag("jump_beyond_limit", message, bar.day)
