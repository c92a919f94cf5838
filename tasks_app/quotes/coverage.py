"""What is stored of each market, and what is missing: read from `Series`, and never counted over bars."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from math import inf
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from tasks_app.market import code_changes
from tasks_app.models import DailyBar, Series, Stock
from tasks_app.models.quotes import Adjust, InstrumentKind, Market
from tasks_app.quotes import freshness, summary
from tasks_app.quotes.freshness import KNOWN_UNTIL, RecentSessions

CACHE_SECONDS = 60
RANGES = {"1": 1, "2-5": 5, "6-20": 20, "21+": inf}  # of sessions behind, each with the most that it holds

Group = tuple[str, str]  # a market and an adjustment


@dataclass
class Coverage:
    """The stocks of one market whose newest bar under one adjustment is from one source.

    `source` is None for the listed stocks that have no bar under this adjustment: the `empty` ones. Other
    stocks are `complete`, or `behind` the market's latest session, `behind_by` so many sessions. A delisted
    stock with bars is complete, and so is a code that became another: no more sessions of it are expected.
    Its bars may be from several sources.
    """

    market: str
    adjust: str
    source: str | None
    session: date
    stocks: int = 0
    bars: int = 0
    first_day: date | None = None
    last_day: date | None = None
    updated_at: datetime | None = None  # when a collection, or a deletion, last wrote one of the series
    complete: int = 0
    behind: int = 0
    empty: int = 0
    behind_by: Counter[str] = field(default_factory=Counter)
    most_behind: int = 0  # sessions

    @property
    def market_name(self) -> str:
        return str(Market(self.market).label)

    @property
    def adjust_name(self) -> str:
        return str(Adjust(self.adjust).label)

    def add(self, row: dict[str, Any], sessions: RecentSessions) -> None:
        """Adds the series that are known until the same day."""
        self.stocks += row["stocks"]
        self.bars += row["all"]
        self.first_day = min(filter(None, (self.first_day, row["first"])))
        self.last_day = max(filter(None, (self.last_day, row["last"])))
        self.updated_at = max(filter(None, (self.updated_at, row["updated"])))
        missing = 0 if row["is_over"] else sessions.after(row["known_until"])
        if not missing:
            self.complete += row["stocks"]
            return
        self.behind += row["stocks"]
        self.behind_by[_range_of(missing)] += row["stocks"]
        self.most_behind = max(self.most_behind, missing)


def cache_key(kind: str = "") -> str:
    """Returns the key of `cached_coverage`: each database has its own, as several may share a cache."""
    database = sha256(str(connection.settings_dict["NAME"]).encode()).hexdigest()
    return f"coverage-by-source-{kind}-{database}"


def cached_coverage(kind: str = "") -> list[Coverage]:
    """Returns `compute_coverage(kind)`, at most a minute old; counted anew once a task has ended."""
    counted = cache.get_or_set(cache_key(kind), lambda: compute_coverage(kind), CACHE_SECONDS)
    return list(counted or [])


def forget_cached() -> None:
    """Has the next reader count again."""
    cache.delete_many([cache_key(kind) for kind in ("", *InstrumentKind.values)])


def compute_coverage(kind: str = "") -> list[Coverage]:
    """Returns the rows by market and adjustment: a source each, the largest first, then the empty stocks.

    Of securities of one `InstrumentKind`, or of all. A market without bars has a row of its empty stocks,
    unadjusted. Takes three queries, and one for each market's calendar; they read a row per series and per
    stock, and one bar per series by its key.
    """
    stocks = Stock.objects.filter(kind=kind) if kind else Stock.objects.all()
    rows, listed = _stored(kind), _listed_markets(stocks)
    groups = {(row["market"], row["adjust"]) for row in rows}
    groups |= {(market, Adjust.NONE.value) for market in listed - {market for market, _ in groups}}
    known = defaultdict(list, {market: [] for market, _ in groups})
    for row in rows:
        known[row["market"]].append(row["known_until"])
    sessions = freshness.recent_sessions(known)
    covered = [*_by_source(rows, sessions), *_without_bars(stocks, groups, sessions)]
    return sorted(
        covered, key=lambda one: (one.market, one.adjust, one.source is None, -one.stocks, one.source)
    )


def _stored(kind: str) -> list[Any]:
    """Returns the series with bars, counted by what makes them alike."""
    newest = DailyBar.objects.filter(
        market=OuterRef("market"),
        symbol=OuterRef("symbol"),
        adjust=OuterRef("adjust"),
        day=OuterRef("last_day"),
    )
    same = Stock.objects.filter(market=OuterRef("market"), code=OuterRef("symbol"))
    stored = Series.objects.filter(bars__gt=0)
    stored = stored.filter(Exists(same.filter(kind=kind))) if kind else stored
    series = stored.annotate(
        source=Coalesce(Subquery(newest.values("source")[:1]), Value("")),
        known_until=KNOWN_UNTIL,
        is_over=Exists(same.exclude(code_changes.is_traded())),
    )
    alike = series.values("market", "adjust", "source", "known_until", "is_over")
    return list(
        alike.annotate(
            stocks=Count("pk"),
            all=Sum("bars"),
            first=Min("first_day"),
            last=Max("last_day"),
            updated=Max("updated_at"),
        )
    )


def _listed_markets(stocks: QuerySet[Stock]) -> set[str]:
    listed = stocks.filter(code_changes.is_traded())
    return set(listed.order_by().values_list("market", flat=True).distinct())


def _by_source(rows: Iterable[dict[str, Any]], sessions: dict[str, RecentSessions]) -> Iterable[Coverage]:
    covered: dict[tuple[str, str, str], Coverage] = {}
    for row in rows:
        key = (row["market"], row["adjust"], row["source"])
        session = sessions[row["market"]].latest
        covered.setdefault(key, Coverage(*key, session=session)).add(row, sessions[row["market"]])
    return covered.values()


def _without_bars(
    stocks: QuerySet[Stock], groups: Iterable[Group], sessions: dict[str, RecentSessions]
) -> Iterable[Coverage]:
    """Yields the groups in which listed stocks have no bar."""
    adjusts = sorted({adjust for _, adjust in groups})
    counts = {f"n{n}": Count("pk", filter=summary.is_empty(adjust)) for n, adjust in enumerate(adjusts)}
    listed = stocks.filter(code_changes.is_traded()).order_by()
    markets: Any = listed.values("market").annotate(**counts) if counts else ()
    empty = {row["market"]: row for row in markets}
    for market, adjust in groups:
        if count := empty.get(market, {}).get(f"n{adjusts.index(adjust)}"):
            yield Coverage(market, adjust, None, sessions[market].latest, stocks=count, empty=count)


def _range_of(sessions: int) -> str:
    return next(name for name, most in RANGES.items() if sessions <= most)
