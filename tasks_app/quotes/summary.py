"""What is stored of each stock: how many bars, from when to when, and whether that is up to date.

Read from `Series`, which the writing transactions keep: no bar is counted for a page.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from tasks_app.market import calendars
from tasks_app.models import Series, Stock
from tasks_app.models.quotes import Adjust, Market


class Summary(NamedTuple):
    """All adjustments of a stock taken together: the bars of the longest, the first and the last day."""

    bars: int = 0
    first: date | None = None
    last: date | None = None
    is_behind: bool = False


def summarize(stocks: Iterable[Stock]) -> dict[int, Summary]:
    """The summary of each stock, by its id. One query, and one for each market's calendar."""
    stocks = list(stocks)
    codes = {stock.code for stock in stocks}
    rows = Series.objects.filter(
        market__in={stock.market for stock in stocks}, adjust__in=Adjust.values, symbol__in=codes
    )
    found: dict[tuple[str, str], list[Series]] = {}
    for row in rows.filter(bars__gt=0):
        found.setdefault((row.market, row.symbol), []).append(row)
    latest = {
        market: calendars.load_calendar(market).latest_session() for market in {market for market, _ in found}
    }
    return {s.pk: _summary(s, found.get((s.market, s.code), []), latest.get(s.market)) for s in stocks}


def _summary(stock: Stock, rows: list[Series], latest: date | None) -> Summary:
    last = max((row.last_day for row in rows if row.last_day), default=None)
    return Summary(
        bars=max((row.bars for row in rows), default=0),
        first=min((row.first_day for row in rows if row.first_day), default=None),
        last=last,
        is_behind=bool(last and latest and last < latest and not stock.delisted_on),
    )


def is_empty() -> Q:
    """Stocks of which no bar is stored."""
    return Q(~Exists(_series().filter(bars__gt=0)))


def is_behind() -> Q:
    """Stocks with bars, but none of their market's latest session, though they are still listed."""
    some = Q()
    for market in Market.values:
        late = ~Exists(_series().filter(last_day__gte=calendars.load_calendar(market).latest_session()))
        some |= Q(market=market) & Q(late)
    return Q(delisted_on__isnull=True) & Q(Exists(_series().filter(bars__gt=0))) & some


def _series() -> QuerySet[Series]:
    return Series.objects.filter(market=OuterRef("market"), adjust__in=Adjust.values, symbol=OuterRef("code"))
