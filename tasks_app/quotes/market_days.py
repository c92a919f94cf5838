"""What is stored of a market's day: its bars, their checksum, and who has no bar, with the reason.

The checksum is the SHA-256 of one line for each unadjusted bar, in the order of the codes as text:

    code,open,high,low,close,prev_close,volume,amount,amplitude,change,change_pct,turnover

each ended by a line feed, in UTF-8: volume as a whole number, prices and the others as the shortest decimal
of the double (Python's `repr`), nothing for a value that is not stored.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import TextChoices

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import silent_days
from tasks_app.models import CodeChange, DailyBar, Finding, Series, Stock
from tasks_app.models.quotes import Adjust, FindingKind
from tasks_app.quotes import absences, date_ranges
from tasks_app.quotes.gaps import GapKind, Reason, reason_of

BATCH = 500  # codes in a query
COLUMNS = (
    *("open", "high", "low", "close", "prev_close", "volume"),
    *("amount", "amplitude", "change", "change_pct", "turnover"),
)


class UnsealedReason(TextChoices):
    """Why a day is not sealed."""

    NO_BARS = "no_bars"  # none of its bars is stored
    MISSING = "missing"  # securities have neither a bar nor a reason
    PENDING = "pending"  # complete, and not looked at yet


@dataclass
class DayContents:
    """The number of bars, their checksum, how many securities have a reason, and those that have none."""

    bars: int = 0
    checksum: str = ""
    reasons: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def unsealed_reason(self) -> UnsealedReason:
        """Why the day is not sealed, if it is not."""
        if not self.bars:
            return UnsealedReason.NO_BARS
        return UnsealedReason.MISSING if self.missing else UnsealedReason.PENDING


class MarketListing:
    """The securities of one kind of a market, as they are listed now."""

    def __init__(self, market: str, kind: str) -> None:
        self.market = market
        rows = Stock.objects.filter(market=market, kind=kind).order_by("code")
        self.stocks = list(rows.values_list("code", "listed_on", "delisted_on"))
        changes = CodeChange.objects.filter(market=market)
        self._until = {change.old_code: change.changed_on for change in changes}
        self._since = {change.new_code: change.changed_on for change in changes}
        series = Series.objects.filter(market=market, adjust=Adjust.NONE)
        known = set(series.values_list("symbol", flat=True))
        self._unknown = [row for row in self.stocks if row[0] not in known]

    def codes(self) -> list[str]:
        """Returns all codes, in the order of the checksum's lines."""
        return sorted(code for code, _listed, _delisted in self.stocks)

    def listed_on(self, day: date) -> list[str]:
        """Returns the codes that were listed on the day. A day before a change of code has the old one."""
        return list(self._listed(self.stocks, day))

    def lacks_series(self, day: date) -> bool:
        """Whether a listed security was never asked for, so that the day can't be complete."""
        return any(self._listed(self._unknown, day))

    def _listed(self, stocks: Sequence[tuple[str, Any, Any]], day: date) -> Iterator[str]:
        return (
            code
            for code, listed, delisted in stocks
            if (listed is None or listed <= day)
            and (delisted is None or day < delisted)
            and day < self._until.get(code, date.max)
            and day >= self._since.get(code, date.min)
        )


def read_day(listing: MarketListing, day: date) -> DayContents:
    """Returns what is stored of the day. Reads a bar per security, a batch at a time."""
    digest, found = hashlib.sha256(), DayContents()
    with_bar = set()
    for row in _bars(listing, day):
        digest.update(checksum_line(row["symbol"], row).encode())
        with_bar.add(row["symbol"])
    found.bars, found.checksum = len(with_bar), digest.hexdigest()
    without = [code for code in listing.listed_on(day) if code not in with_bar]
    reasons = reasons_on(listing.market, day, without)
    found.missing = [code for code in without if reasons[code].is_open]
    found.reasons = len(without) - len(found.missing)
    return found


def checksum_line(code: str, bar: Any) -> str:
    """Returns a bar's line of the checksum; `bar` has the values by column."""
    values = ("" if bar[name] is None else repr(bar[name]) for name in COLUMNS)
    return f"{code},{','.join(values)}\n"


def _bars(listing: MarketListing, day: date) -> Iterator[dict[str, Any]]:
    codes = listing.codes()
    for first in range(0, len(codes), BATCH):
        batch = DailyBar.objects.filter(
            market=listing.market, adjust=Adjust.NONE, day=day, symbol__in=codes[first : first + BATCH]
        )
        # Sorted here: a database may sort text by the rules of a language.
        yield from sorted(batch.values("symbol", *COLUMNS), key=itemgetter("symbol"))


def reasons_on(market: str, day: date, codes: Sequence[str], adjust: str = Adjust.NONE) -> dict[str, Reason]:
    """Returns why each of these codes has no bar on the day, unadjusted unless said otherwise."""
    if not codes:
        return {}
    zone = ZoneInfo(MARKET_TIME_ZONES[market])
    silent = silent_days.find(market, day, day)
    otherwise = Reason(GapKind.NOT_ASKED)
    if silent:
        one = silent[0]
        asked_on = one.asked_at.astimezone(zone).date()
        otherwise = Reason(GapKind.NO_QUOTES, one.source, asked_on, stocks=one.stocks)
    refused = Finding.objects.filter(market=market, day=day, adjust=adjust, kind=FindingKind.REFUSED)
    findings = {
        symbol: Reason(GapKind.REFUSED, source, found_at.astimezone(zone).date())
        for symbol, source, found_at in refused.values_list("symbol", "source", "found_at")
    }
    reasons = dict.fromkeys(codes, otherwise)
    for symbol, covered, absent in _series(market, codes, adjust):
        recorded = _recorded_reason(day, covered, absent)
        if recorded is None or recorded.kind is GapKind.NOT_RECORDED:
            recorded = findings.get(symbol, recorded)
        reasons[symbol] = recorded or otherwise
    return reasons


def _series(market: str, codes: Sequence[str], adjust: str) -> Iterator[tuple[str, Any, Any]]:
    series = Series.objects.filter(market=market, adjust=adjust)
    for first in range(0, len(codes), BATCH):
        batch = series.filter(symbol__in=codes[first : first + BATCH])
        yield from batch.values_list("symbol", "covered", "absences").iterator()


def _recorded_reason(day: date, covered: Iterable[Any], absent: Iterable[Any]) -> Reason | None:
    days = absences.parse(absent)
    place = bisect_right(days, day, key=lambda one: one.first) - 1
    if place >= 0 and day <= days[place].last:
        return reason_of(days[place])
    ranges = date_ranges.parse(covered)
    place = bisect_right(ranges, day, key=itemgetter(0)) - 1
    return Reason(GapKind.NOT_RECORDED) if place >= 0 and day <= ranges[place][1] else None
