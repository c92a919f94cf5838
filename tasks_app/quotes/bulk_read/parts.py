"""Which stored bars a bulk read has: for each code one series, or several that changes of its code join."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice

from tasks_app.history import versions
from tasks_app.market import code_changes
from tasks_app.models import Series
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.adjusted_prices import StockPrices, load_prices
from tasks_app.quotes.bulk_read.known_bars import load_known_series
from tasks_app.quotes.bulk_read.part import Part
from tasks_app.quotes.bulk_read.query import WIDE, BulkQuery

CODES = 500  # looked up at once
DAY = timedelta(days=1)


def find_parts(query: BulkQuery) -> Iterator[list[Part]]:
    """Yields the parts of the query in the order of their codes, those of up to `CODES` codes at once."""
    joins = _Joins(query)
    codes = iter(sorted(joins.all_codes() if query.codes is None else set(query.codes)))
    while some := list(islice(codes, CODES)):
        if query.after and some[-1] < query.after[0]:
            continue
        prices = _load(query, some, joins.later)
        yield [part for code in some if (part := _part(query, joins, code, prices[code]))]


def codes_without_basis(query: BulkQuery) -> list[str]:
    """Returns which of the named codes have no series on the basis that the query demands."""
    missing: list[str] = []
    later = _changed_later(query)
    for first in range(0, len(query.codes or ()), CODES):
        some = (query.codes or ())[first : first + CODES]
        prices = _load(query, some, later)
        missing += [code for code in some if prices[code].basis(query.adjust, query.basis) is None]
    return missing


def has_series(query: BulkQuery) -> bool:
    """Returns whether any stock of the query has a series in its adjustment, of whichever days."""
    whole = replace(query, start=date.min, end=date.max, after=None)
    return any(find_parts(whole))


def _load(query: BulkQuery, codes: Sequence[str], later: Collection[str]) -> Mapping[str, StockPrices]:
    prices = load_prices(query.market, codes, query.adjust, query.moment)
    if query.moment is not None:
        # Of an unadjusted series, only a panel needs to know whether it has bars.
        load_known_series(prices, query.adjust, later, exact=bool(query.adjust) or query.layout == WIDE)
    return prices


def _changed_later(query: BulkQuery) -> Collection[str]:
    """Returns the codes of which something was changed after the moment. Raises `ForgottenMoment`."""
    if query.moment is None:
        return ()
    versions.require_kept(query.moment)
    return versions.changed_symbols(query.market, query.moment) - {""}


class _Joins:
    """The changes of codes that a query heeds: of unadjusted bars, where it joins them."""

    def __init__(self, query: BulkQuery) -> None:
        self.query = query
        is_joined = query.joined and not query.adjust
        self.later = _changed_later(query)
        self.changes = code_changes.changes_of(query.market, query.moment) if is_joined else []
        self.new_codes = {change.new for change in self.changes}
        # Where all codes are read, the days that another code has are left out of the old one.
        self.moved: Mapping[str, date] = code_changes.moved_days(self.changes) if query.codes is None else {}

    def all_codes(self) -> set[str]:
        """Returns the codes that have bars, also those that only have an earlier code's."""
        adjusts = {self.query.adjust, Adjust.NONE.value}
        stored = Series.objects.filter(market=self.query.market, adjust__in=adjusts, bars__gt=0)
        found = set(stored.values_list("symbol", flat=True).distinct()) | set(self.later)
        size = -1
        while size != len(found):  # a code may have changed several times
            size = len(found)
            found |= {change.new for change in self.changes if change.old in found}
        return found


def _part(query: BulkQuery, joins: _Joins, code: str, prices: StockPrices) -> Part | None:
    basis = prices.basis(query.adjust, query.basis)
    if basis is None:
        return None
    first = max(query.start, joins.moved.get(code, date.min))
    if query.after and code <= query.after[0]:
        if code < query.after[0] or query.after[1] == date.max:
            return None
        first = max(first, query.after[1] + DAY)
    last = min(query.end, basis.ends_before - DAY) if basis.ends_before else query.end
    if first > last:
        return None
    if code in joins.new_codes and code not in joins.moved:
        is_known = query.moment is not None
        return Part(code=code, basis=basis, first=first, last=last, bars=0, is_known=is_known, is_joined=True)
    series = prices.series.get(basis.read_adjust)
    if series is None or series.first_day is None or series.last_day is None:
        return None
    first, last = max(first, series.first_day), min(last, series.last_day)
    bars, is_known = min(series.bars, (last - first).days + 1), code in joins.later
    found = Part(code=code, basis=basis, first=first, last=last, bars=bars, is_known=is_known)
    return found if bars > 0 else None
