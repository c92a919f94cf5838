"""Sessions without a bar: a source answered that there was none, or the days were never requested."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from tasks_app.market import calendars
from tasks_app.models import Stock
from tasks_app.quotes import date_ranges


@dataclass(frozen=True)
class Gap:
    """Consecutive sessions without a bar. `answered`: a source said that there was none (suspension)."""

    days: tuple[date, ...]
    answered: bool

    @property
    def first(self) -> date:
        return self.days[0]

    @property
    def last(self) -> date:
        return self.days[-1]


def find_gaps(stock: Stock, bar_days: Sequence[date], covered: Iterable[Sequence[Any]]) -> list[Gap]:
    """Returns the gaps between a stock's bars, newest first.

    `bar_days` are ascending, `covered` is a `Series.covered`. Gaps lie between the first bar and the market's
    latest session, or the stock's delisting. Without a bar there are none.
    """
    if not bar_days:
        return []
    calendar = calendars.load_calendar(stock.market)
    end = min(stock.delisted_on or date.max, calendar.latest_session())
    with_bar, answered_ranges = set(bar_days), date_ranges.parse(covered)

    def is_answered(day: date) -> bool | None:
        if day in with_bar:
            return None
        place = bisect_right(answered_ranges, day, key=lambda one: one[0])
        return place > 0 and day <= answered_ranges[place - 1][1]

    runs = groupby(calendar.sessions(bar_days[0], end).days, key=is_answered)
    return [Gap(tuple(days), answered) for answered, days in runs if answered is not None][::-1]
