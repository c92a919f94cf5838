"""Trading days without a bar: those that a source was asked for and had none, and those nobody asked for."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tasks_app.market import calendars
from tasks_app.models import Stock


@dataclass(frozen=True)
class Gap:
    """Trading days in a row without a bar. `answered`: the source said that there was none (suspended)."""

    days: tuple[date, ...]
    answered: bool

    @property
    def first(self) -> date:
        return self.days[0]

    @property
    def last(self) -> date:
        return self.days[-1]


def find_gaps(stock: Stock, have: Sequence[date], covered: Iterable[Sequence[Any]]) -> list[Gap]:
    """The gaps of a stock's bars on these rising days, the newest first.

    From its first bar to the market's latest session, or to the end of its listing. `covered` as in
    `Series.covered`. Without a bar there is nothing to have gaps.
    """
    if not have:
        return []
    calendar = calendars.load_calendar(stock.market)
    until = min(stock.delisted_on or date.max, calendar.latest_session())
    lacking = set(calendar.gaps(have[0], until, set(have)))
    sessions = calendar.sessions(have[0], until).days
    return list(_runs(sessions, lacking, [tuple(map(date.fromisoformat, span)) for span in covered]))[::-1]


def _runs(sessions: Iterable[date], lacking: set[date], spans: list[Any]) -> Iterable[Gap]:
    """Neighbouring sessions that lack a bar for the same reason, together."""
    run: list[date] = []
    answered = False
    for day in sessions:
        known = day in lacking and _within(day, spans)
        if run and (day not in lacking or known != answered):
            yield Gap(tuple(run), answered)
            run = []
        if day in lacking:
            run.append(day)
            answered = known
    if run:
        yield Gap(tuple(run), answered)


def _within(day: date, spans: list[Any]) -> bool:
    """Whether one of the rising, disjoint spans holds the day."""
    place = bisect_right(spans, day, key=lambda span: span[0])
    return place > 0 and day <= spans[place - 1][1]
