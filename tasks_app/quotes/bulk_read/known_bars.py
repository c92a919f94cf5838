"""Bars of many series as they were at a moment: the stored ones, with all later changes taken back at once.

What a day's bar was is told by the first of its changes after the moment: there was none if that one brought
it, else the bar that it overwrote or removed. So no change needs to be taken back before another one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from django.db.models import F, Func, IntegerField, Window
from django.db.models.functions import RowNumber

from tasks_app.history.versions import BAR_KINDS, Moment
from tasks_app.models import BarVersion, Change, Series
from tasks_app.models.changes import ChangeKind
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.adjusted_prices import StockPrices
from tasks_app.quotes.bulk_read.part import Span
from tasks_app.quotes.bulk_read.stored_bars import EPOCH, Array, Bars, BarsGenerator, read_bars, to_array

GROUP = 65_536  # bars that are read at once
LEAST_ROWS = 4096  # of a series in a group: bars that were removed are not among those that it has
DAY_BITS, DAY_ZERO = 23, 1 << 20  # of keys: a part's number, then a day
OVERWRITTEN = [kind for kind in BAR_KINDS if kind != ChangeKind.BAR]


@dataclass(frozen=True)
class _Additions:
    """Days that later changes brought bars of: the keys of the first and the last one, and the number."""

    first: Array
    last: Array
    number: Array

    def among(self, keys: Array) -> tuple[Array, Array]:
        """Returns the places in ascending keys at which each begins and ends."""
        return np.searchsorted(keys, self.first), np.searchsorted(keys, self.last, side="right")


def read_known(
    market: str, adjust: str, parts: Sequence[Span], columns: Sequence[str], moment: Moment
) -> BarsGenerator:
    """Yields the bars of single series as `stored_bars.read_bars` does, as they were at the moment.

    The parts are read in groups of about `GROUP` bars, each by a statement on the bars and two on what was
    changed since. Those come later: what is committed in between is taken back, too, and changes nothing.
    """
    for first, some in _groups(parts):
        with closing(read_bars(market, adjust, some, columns)) as found:
            bars = _joined(list(found), columns)
        if any(part.is_known for part in some):
            bars = _taken_back(bars, market, adjust, some, moment)
        if len(bars):
            yield Bars(bars.part + np.int32(first), bars.columns)


def _groups(parts: Sequence[Span]) -> Iterator[tuple[int, Sequence[Span]]]:
    """Yields the parts in lists of about `GROUP` bars, each with its place among all."""
    start = rows = 0
    for place, part in enumerate(parts):
        if rows and rows + part.bars > GROUP:
            yield start, parts[start:place]
            start, rows = place, 0
        rows += part.bars
    if start < len(parts):
        yield start, parts[start:]


def _taken_back(bars: Bars, market: str, adjust: str, parts: Sequence[Span], moment: Moment) -> Bars:
    series = {
        "market": market,
        "adjust": adjust,
        "symbol__in": [part.code for part in parts if part.is_known],
        "number__gt": moment.number,
    }
    places = {part.code: place for place, part in enumerate(parts)}
    days = min(part.first for part in parts), max(part.last for part in parts)
    added = _additions(series, days, places)
    versions, numbers = _versions(series, days, places, list(bars.columns))
    keys, earlier = _keys(bars.part, bars.columns["day"]), _keys(versions.part, versions.columns["day"])
    left = bars.where(~_covered(keys, added) & ~np.isin(keys, earlier, assume_unique=True))
    restored = versions.where((numbers < _first_addition(earlier, added)) & _within(versions, parts))
    return _joined([left, restored], list(bars.columns), is_sorted=False)


class _DayNumber(Func):
    """A date as the days since 1970."""

    output_field = IntegerField()
    template = f"(%(expressions)s - DATE '{EPOCH}')"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(julianday(%(expressions)s) - 2440587.5 AS INTEGER)"
        return self.as_sql(compiler, connection, template=template, **context)


def _additions(series: Mapping[str, Any], days: tuple[date, date], places: Mapping[str, int]) -> _Additions:
    changes = Change.objects.filter(
        **series, kind=ChangeKind.BAR, first_day__lte=days[1], last_day__gte=days[0]
    )
    rows = changes.values_list("symbol", _DayNumber("first_day"), _DayNumber("last_day"), "number")
    record = np.dtype([("part", "i8"), ("first", "i8"), ("last", "i8"), ("number", "i8")])
    found = np.fromiter(((places[symbol], *row) for symbol, *row in rows.iterator()), record)
    first, last = (_keys(found["part"], found[name]) for name in ("first", "last"))
    return _Additions(first, last, found["number"])


def _versions(
    series: Mapping[str, Any], days: tuple[date, date], places: Mapping[str, int], columns: Sequence[str]
) -> tuple[Bars, Array]:
    """Returns, of each bar that was overwritten or removed, what it was first, ascending, and the number."""
    of_cause = {f"cause__{name}": value for name, value in {**series, "kind__in": OVERWRITTEN}.items()}
    first = Window(RowNumber(), [F("cause__symbol"), F("day")], ["cause__number", "pk"])
    rows = BarVersion.objects.filter(**of_cause, day__range=days).annotate(place=first).filter(place=1)
    found = list(rows.values_list("cause__symbol", "cause__number", *columns))
    symbols, numbers, *values = zip(*found, strict=True) if found else [()] * (2 + len(columns))
    part = np.array([places[symbol] for symbol in symbols], "i4")
    arrays = {name: to_array(name, column) for name, column in zip(columns, values, strict=True)}
    order = np.argsort(_keys(part, arrays["day"]))
    return Bars(part, arrays).where(order), np.array(numbers, "i8")[order]


def _keys(part: Array, days: Array) -> Array:
    """Returns numbers in the order of part and day."""
    keys: Array = (part.astype("i8") << DAY_BITS) + days + DAY_ZERO
    return keys


def _covered(keys: Array, added: _Additions) -> Array:
    """Whether each of ascending keys is among the added days."""
    steps = np.zeros(len(keys) + 1, "i8")
    for places, step in zip(added.among(keys), (1, -1), strict=True):
        np.add.at(steps, places, step)
    covered: Array = np.cumsum(steps)[:-1] > 0
    return covered


def _first_addition(keys: Array, added: _Additions) -> Array:
    """Returns the lowest number of an addition of each of ascending keys; the highest integer for none."""
    lowest = np.full(len(keys), np.iinfo("i8").max)
    starts, ends = added.among(keys)
    counts = ends - starts
    shifts = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    np.minimum.at(lowest, np.arange(len(shifts)) + shifts, np.repeat(added.number, counts))
    return lowest


def _within(bars: Bars, parts: Sequence[Span]) -> Array:
    first, last = (
        np.array([(getattr(part, name) - EPOCH).days for part in parts]) for name in ("first", "last")
    )
    days = bars.columns["day"]
    within: Array = (days >= first[bars.part]) & (days <= last[bars.part])
    return within


def _joined(several: Sequence[Bars], columns: Sequence[str], *, is_sorted: bool = True) -> Bars:
    """Returns all the bars, by part and day."""
    if not several:
        return Bars(np.zeros(0, "i4"), {name: to_array(name, ()) for name in columns})
    part = np.concatenate([one.part for one in several])
    bars = Bars(part, {name: np.concatenate([one.columns[name] for one in several]) for name in columns})
    return bars if is_sorted else bars.where(np.argsort(_keys(bars.part, bars.columns["day"])))


# ---------------------------------------------------------------- what series there were


def load_known_series(
    prices: Mapping[str, StockPrices], adjust: str, changed: Collection[str], *, exact: bool
) -> None:
    """Gives prices of a moment the unadjusted series that there were then, and those of the adjustment.

    `changed` are the codes of which anything was changed since; the series of others are as they are now.
    Unless it is to be `exact`, their bars are not read: they may have been of any days, or none.
    """
    for one in prices.values():
        vars(one)["series"] = {}  # as cached_property does
    for each in dict.fromkeys((Adjust.NONE.value, adjust)):
        _load_series(prices, each, changed, exact=exact)
    if adjust:
        _load_newest_sources([one for code, one in prices.items() if code in changed])


def _load_series(
    prices: Mapping[str, StockPrices], adjust: str, changed: Collection[str], *, exact: bool
) -> None:
    market, moment = _moment_of(prices.values())
    rows = Series.objects.filter(market=market, adjust=adjust, symbol__in=list(prices))
    stored = {row.symbol: row for row in rows.only("symbol", "bars", "first_day", "last_day")}
    for code, row in stored.items():
        if row.bars and code not in changed:
            prices[code].series[adjust] = row
    spans = [_span(code, stored.get(code)) for code in prices if code in changed]
    if not exact:
        for span in spans:
            row = Series(market=market, first_day=span.first, last_day=span.last, bars=span.bars)
            prices[span.code].series[adjust] = row
        return
    for bars in read_known(market, adjust, spans, ["day"], moment):
        starts = np.flatnonzero(np.diff(bars.part, prepend=-1))
        ends = np.append(starts[1:], len(bars))
        for first, end in zip(starts, ends, strict=True):
            code = spans[bars.part[first]].code
            days = {"first_day": bars.day(first), "last_day": bars.day(end - 1)}
            prices[code].series[adjust] = Series(market=market, bars=int(end - first), **days)


def _span(code: str, series: Series | None) -> Span:
    """Returns the days of a series that was changed after the moment."""
    bars = max(series.bars if series else 0, LEAST_ROWS)
    return Span(code=code, first=date.min, last=date.max, bars=bars, is_known=True)


def _load_newest_sources(prices: Sequence[StockPrices]) -> None:
    """Gives the prices the source of their newest unadjusted bar, where several told of adjustments."""
    several = [one for one in prices if len(one.sources) > 1 and Adjust.NONE in one.series]
    if not several:
        return
    market, moment = _moment_of(several)
    ends = [(one.code, one.series[Adjust.NONE].last_day or date.min) for one in several]
    spans = [Span(code=code, first=day, last=day, bars=1, is_known=True) for code, day in ends]
    for bars in read_known(market, Adjust.NONE, spans, ["day", "source"], moment):
        for place, source in zip(bars.part, bars.columns["source"], strict=True):
            vars(several[place])["_newest_source"] = source


def _moment_of(prices: Iterable[StockPrices]) -> tuple[str, Moment]:
    one = next(iter(prices))
    if one.moment is None:
        raise ValueError("without a moment, the series are those that are stored")
    return one.market, one.moment
