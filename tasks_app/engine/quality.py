"""Every bar is checked on its way in: refused bars are counted and named, never mended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from tasks_app.sources.base import Bar, Request, is_number

MAX_VOLUME = 2**63 - 1


@dataclass(frozen=True)
class Refusal:
    """Why one bar was refused: a stable code and one English sentence."""

    code: str
    message: str


def sift(bars: Iterable[Bar], request: Request, today: date) -> tuple[list[Bar], list[Refusal]]:
    """The bars that may be stored, by rising day, and why the others may not.

    Of two bars of one day the first is kept.
    """
    good: dict[date, Bar] = {}
    refused: list[Refusal] = []
    for bar in bars:
        refusal = _fault(bar, request, today) or _duplicate(bar, good)
        if refusal:
            refused.append(refusal)
        else:
            good[bar.day] = bar
    return [good[day] for day in sorted(good)], refused


def _duplicate(bar: Bar, good: dict[date, Bar]) -> Refusal | None:
    if bar.day in good:
        return Refusal("duplicate_day", f"{bar.day}: the source sent this day twice.")
    return None


def _fault(bar: Bar, request: Request, today: date) -> Refusal | None:
    if not isinstance(bar.day, date) or isinstance(bar.day, datetime):
        return Refusal("bad_day", f"{bar.day!r} is not a day.")
    if bar.day > today:
        return Refusal("future_day", f"{bar.day}: the day is in the future.")
    if not request.start <= bar.day <= request.end:
        return Refusal("day_not_asked", f"{bar.day}: the day is outside the days asked for.")
    return _bad_price(bar) or _bad_rest(bar)


def _bad_price(bar: Bar) -> Refusal | None:
    if not all(map(is_number, bar[1:5])):
        return Refusal("not_a_number", f"{bar.day}: a price is missing or not a number.")
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        return Refusal("prices_out_of_order", f"{bar.day}: low, open, close and high are out of order.")
    return None


def _bad_rest(bar: Bar) -> Refusal | None:
    if not isinstance(bar.volume, int) or not 0 <= bar.volume <= MAX_VOLUME:
        return Refusal("bad_volume", f"{bar.day}: the volume {bar.volume!r} is not a number of shares.")
    if any(value is not None and not is_number(value) for value in bar[6:]):
        return Refusal("not_a_number", f"{bar.day}: a value is not a number.")
    return None
