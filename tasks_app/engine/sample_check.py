"""Verifies quotes that came from files: a sample of stocks is requested from another source and compared.

Nothing is stored: which of two sources is right is for a person to say.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from tasks_app.conf import Conf
from tasks_app.engine import item_planner
from tasks_app.models import Series
from tasks_app.quotes.corrections import TRADE_COLUMNS, conflicts
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import Bar, Request, SourceError, Transient

MAX_DIFFERENCES = 5  # listed per stock


@dataclass
class StockCheck:
    """How a stock's newest stored bars of a source compare with another source's.

    `differences` has the first days that differ by more than rounding explains, with the columns' stored and
    other values; `lacking` are the days that the other source does not have; `error` is why there is no
    comparison at all, "" if there is one.
    """

    code: str
    days: int = 0
    differing: int = 0
    differences: list[tuple[date, dict[str, tuple[float, float]]]] = field(default_factory=list)
    lacking: list[date] = field(default_factory=list)
    error: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether all days agree."""
        return not (self.error or self.differing or self.lacking)


def check_sample(
    market: str, adjust: str, *, of: str, by: str, stocks: int, days: int, conf: Conf
) -> Iterator[StockCheck]:
    """Yields the checks of so many stocks, drawn at random, of their newest `days` bars of the source `of`.

    The source `by` is asked through its limiter, one request per stock. Ends with the check that finds it
    paused or unable to answer at all.
    """
    symbols = list(
        Series.objects.filter(market=market, adjust=adjust, bars__gt=0).values_list("symbol", flat=True)
    )
    random.shuffle(symbols)
    left = stocks
    for code in symbols:
        rows = (
            bars_of(market, code, adjust).filter(source=of).order_by("-day").values_list(*Bar._fields)[:days]
        )
        stored = [Bar(*row) for row in reversed(rows)]
        if not stored:
            continue
        check = StockCheck(code, len(stored))
        try:
            answer = item_planner.fetch_now(
                by, Request(market, code, stored[0].day, stored[-1].day, adjust), conf
            )
            _compare(check, stored, {bar.day: bar for bar in answer})
        except SourceError as error:
            check.error = str(error)
            if isinstance(error, Transient):
                left = 1  # the next stocks would get the same answer
        yield check
        left -= 1
        if left <= 0:
            return


def _compare(check: StockCheck, stored: list[Bar], others: dict[date, Bar]) -> None:
    for bar in stored:
        if (other := others.get(bar.day)) is None:
            check.lacking.append(bar.day)
        elif conflicts(bar, other):
            check.differing += 1
            if len(check.differences) < MAX_DIFFERENCES:
                pairs = {
                    name: (getattr(bar, name), getattr(other, name)) for name in (*TRADE_COLUMNS, "amount")
                }
                check.differences.append((bar.day, {name: p for name, p in pairs.items() if p[0] != p[1]}))
