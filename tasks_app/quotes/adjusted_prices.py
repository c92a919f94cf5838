"""Adjusted prices, computed on read from unadjusted bars and adjustment factors.

An unadjusted price is multiplied by the factor of its day, exactly, and the product is rounded half up to six
decimal places. qfq and hfq take the factors of one source, never of two; split-adjusted prices take the
splits among the corporate actions of one source. A series that a source sent adjusted is read as stored.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from tasks_app.history.versions import Moment, known_bars, known_rows, known_rows_of
from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction, DailyBar, Series
from tasks_app.models.adjustments import ActionKind, AdjustmentContent
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.series import bars_of, joined_bars
from tasks_app.sources.market_time import market_today

PRICES = ("open", "high", "low", "close", "prev_close", "change", "limit_up", "limit_down")
PLACES, SHARES = Decimal("0.000001"), Decimal(1)
EXACT = Context(prec=80)  # digits; the products of a double's and a factor's have at most 60
STORED, COMPUTED = "stored", "computed"
BASES = (STORED, COMPUTED)
_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True)
class Multipliers:
    """What prices are multiplied by: `values[n]` from the n-th of the ascending `days` on, counted from 1."""

    days: Sequence[date]
    values: Sequence[Decimal]  # one more than days
    with_volume: bool = False  # whether shares are divided by them

    def on(self, day: date) -> Decimal:
        """Returns the multiplier of a day."""
        return self.values[bisect_right(self.days, day)]


@dataclass(frozen=True)
class Basis:
    """Where the prices of a series come from.

    Computed ones come from unadjusted bars and the `factors` that `source` had at `fetched_at`. They end
    before `ends_before`: an ex day of which the factors are not known yet.
    """

    adjust: str
    kind: str = STORED
    source: str | None = None
    fetched_at: datetime | None = None
    ends_before: date | None = None
    factors: Multipliers | None = None

    @property
    def read_adjust(self) -> str:
        """The adjustment of the stored bars to read."""
        return self.adjust if self.kind == STORED else Adjust.NONE.value

    @property
    def days(self) -> dict[str, date]:
        """The days that can be read, as queryset filters."""
        return {"day__lt": self.ends_before} if self.ends_before else {}

    def adjust_rows(self, rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Yields rows of bars, dicts by column name, with the prices and volumes of this basis."""
        for row in rows:
            yield row if self.factors is None else {**row, **_adjusted(row, self.factors)}

    def adjust_bar(self, bar: DailyBar) -> None:
        """Gives a bar the prices and volume of this basis. It must not be saved."""
        if self.factors is not None:
            vars(bar).update(_adjusted(vars(bar), self.factors))


class StockPrices:
    """What can be read of one stock: its stored series, and what its sources told of adjustments.

    With a moment, as it was known then: the stock's bars are then read from it, and once. `load_prices` fills
    it for many stocks at once; with a moment, `bulk_read.known_bars` adds the series.
    """

    def __init__(self, market: str, code: str, moment: Moment | None = None) -> None:
        self.key = {"market": market, "symbol": code}
        self.market, self.code, self.moment = market, code, moment
        self._known: dict[str, list[dict[str, Any]]] = {}
        self._loaded: dict[type[Model], list[Any]] = {}

    @cached_property
    def series(self) -> dict[str, Series]:
        """The series that have bars, by adjustment."""
        if self.moment is None:
            return {row.adjust: row for row in Series.objects.filter(**self.key, bars__gt=0)}
        known = ((adjust, self.known_bars(adjust)) for adjust in Adjust.values)
        return {
            adjust: Series(**self.key, adjust=adjust, first_day=bars[0]["day"], last_day=bars[-1]["day"])
            for adjust, bars in known
            if bars
        }

    def known_bars(self, adjust: str) -> list[dict[str, Any]]:
        """Returns all bars of a series at the moment, ascending, as dicts by column."""
        if self.moment is None:
            raise ValueError("without a moment, bars are read by querysets")
        if adjust not in self._known:
            self._known[adjust] = known_bars(self.market, self.code, adjust, self.moment)
        return self._known[adjust]

    @property
    def sources(self) -> set[str]:
        """The sources that told of adjustments."""
        return {table.source for table in self._tables}

    @property
    def today(self) -> date:
        """The market's day, now or at the moment."""
        return market_today(self.market, self.moment.at if self.moment else None)

    def basis(self, adjust: str, wanted: str = "") -> Basis | None:
        """Returns the basis on which the series is read; None if it is `wanted` and does not exist.

        Unless one is wanted, an adjusted series is computed where it can be, except where a stored one has
        days before or after the unadjusted bars.
        """
        stored = Basis(adjust)
        if adjust == Adjust.NONE or wanted == STORED:
            return None if wanted == COMPUTED else stored
        computed = self._computed(adjust)
        if wanted == COMPUTED:
            return computed
        unadjusted, other = self.series.get(Adjust.NONE), self.series.get(adjust)
        is_longer = unadjusted and other and not _spans(unadjusted, other)
        return stored if computed is None or is_longer else computed

    def _rows(self, model: type[_Row]) -> Iterable[_Row]:
        if model in self._loaded:
            return self._loaded[model]
        return known_rows(model, self.moment, self.market, self.code)

    @cached_property
    def _tables(self) -> list[AdjustmentTable]:
        """The tables, those that were sent last first."""
        rows = self._rows(AdjustmentTable)
        return sorted(rows, key=lambda row: (-row.fetched_at.timestamp(), row.source))

    @cached_property
    def _newest_source(self) -> str | None:
        """The source of the newest unadjusted bar."""
        if self.moment is not None:
            return next((str(bar["source"]) for bar in reversed(self.known_bars(Adjust.NONE))), None)
        bars = DailyBar.objects.filter(**self.key, adjust=Adjust.NONE).order_by("-day")
        return bars.values_list("source", flat=True).first()

    def _computed(self, adjust: str) -> Basis | None:
        """Returns the computed basis: of the source of the newest bar if it has factors, else of the last."""
        if (series := self.series.get(Adjust.NONE)) is None:
            return None
        content = AdjustmentContent.ACTIONS if adjust == Adjust.SPLIT else AdjustmentContent.FACTORS
        first = series.first_day or date.min
        tables = [
            table
            for table in self._tables
            if table.content == content and (table.complete_from is None or table.complete_from <= first)
        ]
        if not tables:
            return None
        own = self._newest_source if len(tables) > 1 else None
        table = min(tables, key=lambda one: (one.lacks is not None, one.source != own))  # stable
        factors = self._splits(table) if adjust == Adjust.SPLIT else self._factors(table, adjust)
        return Basis(adjust, COMPUTED, table.source, table.fetched_at, table.lacks, factors)

    def _factors(self, table: AdjustmentTable, adjust: str) -> Multipliers:
        """Returns the multipliers of qfq or hfq, by the ex days up to today."""
        known = self._rows(AdjustmentFactor)
        rows = [row for row in known if row.source == table.source and row.ex_day <= self.today]
        return _multipliers(sorted(rows, key=lambda row: row.ex_day), adjust)

    def _splits(self, table: AdjustmentTable) -> Multipliers:
        """Returns the multipliers of split-adjusted prices: a day's is divided by all later splits."""
        shares: dict[date, Decimal] = {}
        for row in self._rows(CorporateAction):
            is_split = row.source == table.source and row.kind == ActionKind.SPLIT and row.ratio
            if is_split and row.ex_day is not None and row.ex_day <= self.today:
                shares[row.ex_day] = shares.get(row.ex_day, Decimal(1)) + Decimal(row.ratio)
        days, values = sorted(shares), [Decimal(1)]
        for day in reversed(days):
            values.append(EXACT.divide(values[-1], shares[day]))
        return Multipliers(days, values[::-1], with_volume=True)


def load_prices(
    market: str, codes: Sequence[str], adjust: str, moment: Moment | None = None
) -> dict[str, StockPrices]:
    """Returns what can be read of each code in this adjustment, in a few queries for all.

    With a moment, as it was known then, without the series: of each stock they are read when asked for.
    """
    found = {code: StockPrices(market, code, moment) for code in codes}
    if moment is None:
        series: dict[str, dict[str, Series]] = {code: {} for code in codes}
        stored = Series.objects.filter(market=market, symbol__in=codes, bars__gt=0)
        for row in stored.only("symbol", "adjust", "bars", "first_day", "last_day"):
            series[row.symbol][row.adjust] = row
        for code, prices in found.items():
            vars(prices)["series"] = series[code]  # as cached_property does
    told = CorporateAction if adjust == Adjust.SPLIT else AdjustmentFactor
    models: tuple[type[Model], ...] = (AdjustmentTable, told) if adjust else ()
    for model in models:
        for prices in found.values():
            prices._loaded[model] = []
        for one in known_rows_of(model, moment, market, codes):
            found[vars(one)["symbol"]]._loaded[model].append(one)
    return found


def basis_bars(market: str, code: str, basis: Basis, *, joined: bool = True) -> QuerySet[DailyBar]:
    """Returns a stock's stored bars that are read on this basis.

    `joined`: unadjusted ones with those that are stored under its earlier codes; each row names the code it
    is stored under. Factors are those of one code, so computed prices are not joined.
    """
    read = joined_bars if joined and not basis.adjust else bars_of
    return read(market, code, basis.read_adjust).filter(**basis.days)


def find_basis(market: str, code: str, adjust: str, wanted: str = "") -> Basis | None:
    """Returns the basis on which a stock's series is read: see `StockPrices.basis`."""
    return StockPrices(market, code).basis(adjust, wanted)


def _spans(unadjusted: Series, other: Series) -> bool:
    first, last = unadjusted.first_day or date.max, unadjusted.last_day or date.min
    return first <= (other.first_day or date.max) and (other.last_day or date.min) <= last


def _multipliers(rows: Iterable[AdjustmentFactor], adjust: str) -> Multipliers:
    """Returns the multipliers of qfq or hfq from factors by ascending ex day."""
    days, hfq, qfq = [], [Decimal(1)], []
    for row in rows:
        days.append(row.ex_day)
        hfq.append(Decimal(row.hfq))
        qfq.append(Decimal(row.qfq) if row.qfq else None)
    if adjust == Adjust.HFQ:
        return Multipliers(days, hfq)
    if not qfq or None in qfq:
        return Multipliers(days, [EXACT.divide(one, hfq[-1]) for one in hfq])
    told = [one for one in qfq if one is not None]
    # The factor before the first ex day is not told: it is to the first one as their backward factors are.
    return Multipliers(days, [EXACT.divide(told[0], hfq[1]), *told])


def _adjusted(row: dict[str, Any], factors: Multipliers) -> dict[str, Any]:
    multiplier = factors.on(row["day"])
    values: dict[str, Any] = {name: adjusted_price(row[name], multiplier) for name in PRICES if name in row}
    if factors.with_volume and "volume" in row:
        values["volume"] = adjusted_shares(row["volume"], multiplier)
    return values


def adjusted_shares(volume: int, multiplier: Decimal) -> int:
    """Returns a number of shares, divided by a multiplier and rounded half up."""
    shares = EXACT.divide(Decimal(volume), multiplier)
    return int(shares.quantize(SHARES, ROUND_HALF_UP, EXACT))


def adjusted_price(value: float | None, multiplier: Decimal) -> float | None:
    """Returns the product of a price, as its shortest decimal, and a multiplier."""
    if value is None:
        return None
    return float(EXACT.multiply(Decimal(repr(value)), multiplier).quantize(PLACES, ROUND_HALF_UP, EXACT))
