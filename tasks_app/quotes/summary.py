"""Per stock: how many bars are stored, of which days, and whether they are up to date.

Read from `Series`, which the writing transactions keep up to date: no page counts bars.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from tasks_app.market import calendars, code_changes
from tasks_app.models import CodeChange, Series, Stock
from tasks_app.models.quotes import Adjust, Market
from tasks_app.quotes import freshness
from tasks_app.quotes.freshness import KNOWN_UNTIL


class Summary(NamedTuple):
    """A stock's adjustments together: the bars of the longest one, the first and the last day of all.

    `behind` is the number of sessions for which no source has answered, under the adjustment with the
    fewest; None without bars. It is 0 for a delisted stock, and for a code that became another: `new_code`.
    """

    bars: int = 0
    first: date | None = None
    last: date | None = None
    behind: int | None = None
    new_code: str = ""


def summarize(stocks: Iterable[Stock]) -> dict[int, Summary]:
    """Returns the summaries of stocks by their ids. Two queries, and one for each market's calendar."""
    stocks = list(stocks)
    markets, codes = {stock.market for stock in stocks}, {stock.code for stock in stocks}
    stored = Series.objects.filter(
        market__in=markets, adjust__in=Adjust.values, symbol__in=codes, bars__gt=0
    ).values_list("market", "symbol", "bars", "first_day", "last_day", KNOWN_UNTIL)
    series = defaultdict(list)
    known_until: dict[str, list[date]] = defaultdict(list)
    for market, code, *values in stored:
        series[market, code].append(values)
        known_until[market].append(values[-1])
    changes = CodeChange.objects.filter(market__in=markets, old_code__in=codes)
    new_codes = {(row.market, row.old_code): row.new_code for row in changes}
    sessions = freshness.recent_sessions(known_until)
    summaries = {}
    for stock in stocks:
        new_code = new_codes.get((stock.market, stock.code), "")
        if not (rows := series.get((stock.market, stock.code))):
            summaries[stock.pk] = Summary(new_code=new_code)
            continue
        bars, first, last, known = zip(*rows, strict=True)
        behind = 0 if stock.delisted_on or new_code else sessions[stock.market].after(max(known))
        summaries[stock.pk] = Summary(max(bars), min(first), max(last), behind, new_code)
    return summaries


def is_empty(adjust: str | None = None) -> Q:
    """Returns the filter of stocks without a stored bar, under one adjustment or under all."""
    return Q(~Exists(_series(adjust).filter(bars__gt=0)))


def is_behind(adjust: str | None = None) -> Q:
    """Returns the filter of stocks with bars, but without an answer for their market's latest session.

    Under one adjustment, or under all. Delisted stocks are complete, and codes that became others.
    """
    stored = _series(adjust).filter(bars__gt=0)
    is_late = Q()
    for market in Market.values:
        latest = calendars.load_calendar(market).latest_session()
        current = stored.annotate(known_until=KNOWN_UNTIL).filter(known_until__gte=latest)
        is_late |= Q(market=market) & Q(~Exists(current))
    return code_changes.is_traded() & Q(Exists(stored)) & is_late


def _series(adjust: str | None) -> QuerySet[Series]:
    adjusts = Adjust.values if adjust is None else [adjust]
    return Series.objects.filter(market=OuterRef("market"), adjust__in=adjusts, symbol=OuterRef("code"))
