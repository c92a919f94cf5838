"""Totals of the stored bars by market and adjustment, counted over `Series`, never over bars."""

from dataclasses import dataclass
from datetime import date
from functools import reduce
from hashlib import sha256
from operator import or_

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum

from tasks_app.market import calendars
from tasks_app.models import Series, Stock
from tasks_app.models.quotes import Adjust, Market

CACHE_SECONDS = 60


@dataclass(frozen=True)
class MarketCoverage:
    """What is stored of one market under one adjustment.

    `stocks` have bars; `behind` of them end before `session`, the market's latest session. `listed` stocks of
    the market are not delisted.
    """

    market: str
    adjust: str
    stocks: int
    listed: int
    bars: int
    first: date | None
    latest: date | None
    session: date
    behind: int

    @property
    def market_name(self) -> str:
        return str(Market(self.market).label)

    @property
    def adjust_name(self) -> str:
        return str(Adjust(self.adjust).label)


def cache_key() -> str:
    """Returns the key of `cached_coverage`: each database has its own, as several may share a cache."""
    return f"coverage-{sha256(str(connection.settings_dict['NAME']).encode()).hexdigest()}"


def cached_coverage() -> list[MarketCoverage]:
    """Returns `compute_coverage()`, at most a minute old."""
    return list(cache.get_or_set(cache_key(), compute_coverage, CACHE_SECONDS) or [])


def compute_coverage() -> list[MarketCoverage]:
    """Returns one row per market and adjustment with bars, in that order.

    Takes three queries, and one for each market's calendar.
    """
    series = Series.objects.filter(bars__gt=0)
    totals = list(
        series.values("market", "adjust")
        .annotate(stocks=Count("pk"), all=Sum("bars"), first=Min("first_day"), latest=Max("last_day"))
        .order_by("market", "adjust")
    )
    if not totals:
        return []
    sessions = {
        market: calendars.load_calendar(market).latest_session()
        for market in {row["market"] for row in totals}
    }
    listed = dict(Stock.objects.filter(delisted_on__isnull=True).values_list("market").annotate(Count("pk")))
    is_short = reduce(or_, (Q(market=market, last_day__lt=day) for market, day in sessions.items()))
    # The series of a delisted stock is complete.
    delisted = Stock.objects.filter(
        market=OuterRef("market"), code=OuterRef("symbol"), delisted_on__isnull=False
    )
    short = series.filter(is_short, ~Exists(delisted)).values_list("market", "adjust")
    behind = {(market, adjust): count for market, adjust, count in short.annotate(Count("pk"))}
    return [
        MarketCoverage(
            row["market"],
            row["adjust"],
            stocks=row["stocks"],
            listed=listed.get(row["market"], 0),
            bars=row["all"],
            first=row["first"],
            latest=row["latest"],
            session=sessions[row["market"]],
            behind=behind.get((row["market"], row["adjust"]), 0),
        )
        for row in totals
    ]
