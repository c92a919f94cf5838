"""What is stored, by market and adjustment: counted over series, never over bars."""

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

SECONDS = 60


@dataclass(frozen=True)
class Covered:
    """`stocks` have bars, of `listed` that trade; `behind` of them end before the last session, `session`."""

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


def cached() -> list[Covered]:
    """`of_markets`, at most a minute old."""
    return list(cache.get_or_set(_key(), of_markets, SECONDS) or [])


def forget() -> None:
    """Count anew the next time."""
    cache.delete(_key())


def of_markets() -> list[Covered]:
    """One for each market and adjustment with bars, by three queries and each calendar's."""
    series = Series.objects.filter(bars__gt=0)
    sums = list(
        series.values("market", "adjust")
        .annotate(stocks=Count("pk"), all=Sum("bars"), first=Min("first_day"), latest=Max("last_day"))
        .order_by("market", "adjust")
    )
    if not sums:
        return []
    sessions = {row["market"]: calendars.latest_session(row["market"]) for row in sums}
    behind, listed = _behind(sessions), _listed()
    return [
        Covered(
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
        for row in sums
    ]


def _behind(sessions: dict[str, date]) -> dict[tuple[str, str], int]:
    """How many series end before their market's last session; those of delisted stocks are complete."""
    short = (Q(market=market, last_day__lt=last) for market, last in sessions.items())
    gone = Stock.objects.filter(market=OuterRef("market"), code=OuterRef("symbol"), delisted_on__isnull=False)
    rows = Series.objects.filter(reduce(or_, short), ~Exists(gone), bars__gt=0)
    counts = rows.values_list("market", "adjust").annotate(Count("pk"))
    return {(market, adjust): many for market, adjust, many in counts}


def _listed() -> dict[str, int]:
    trading = Stock.objects.filter(delisted_on__isnull=True)
    return dict(trading.values_list("market").annotate(Count("pk")))


def _key() -> str:
    """Databases that share a cache each have their own."""
    return f"coverage-{sha256(str(connection.settings_dict['NAME']).encode()).hexdigest()}"
