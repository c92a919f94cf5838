"""Per stock: how many bars are stored, of which days, and whether they are up to date.

Read from `Series`, which the writing transactions keep up to date: no page counts bars.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from tasks_app.market import calendars
from tasks_app.models import Series, Stock
from tasks_app.models.quotes import Adjust, Market


class Summary(NamedTuple):
    """A stock's adjustments together: the bars of the longest one, the first and the last day of all."""

    bars: int = 0
    first: date | None = None
    last: date | None = None
    is_behind: bool = False


def summarize(stocks: Iterable[Stock]) -> dict[int, Summary]:
    """Returns the summaries of stocks by their ids. One query, and one for each market's calendar."""
    stocks = list(stocks)
    markets, codes = {stock.market for stock in stocks}, {stock.code for stock in stocks}
    series: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for row in Series.objects.filter(
        market__in=markets, adjust__in=Adjust.values, symbol__in=codes, bars__gt=0
    ):
        series[row.market, row.symbol].append(row)
    latest = {
        market: calendars.load_calendar(market).latest_session()
        for market in {market for market, _ in series}
    }
    summaries = {}
    for stock in stocks:
        rows = series.get((stock.market, stock.code), [])
        last = max((row.last_day for row in rows if row.last_day), default=None)
        summaries[stock.pk] = Summary(
            bars=max((row.bars for row in rows), default=0),
            first=min((row.first_day for row in rows if row.first_day), default=None),
            last=last,
            is_behind=bool(last and last < latest[stock.market] and not stock.delisted_on),
        )
    return summaries


def is_empty() -> Q:
    """Returns the filter of stocks without a stored bar."""
    return Q(~Exists(_series().filter(bars__gt=0)))


def is_behind() -> Q:
    """Returns the filter of stocks with bars, but without one of their market's latest session.

    Delisted stocks are complete.
    """
    is_late = Q()
    for market in Market.values:
        latest = calendars.load_calendar(market).latest_session()
        is_late |= Q(market=market) & Q(~Exists(_series().filter(last_day__gte=latest)))
    return Q(delisted_on__isnull=True) & Q(Exists(_series().filter(bars__gt=0))) & is_late


def _series() -> QuerySet[Series]:
    return Series.objects.filter(market=OuterRef("market"), adjust__in=Adjust.values, symbol=OuterRef("code"))
