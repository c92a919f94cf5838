"""What the layouts with files per stock have in common: which stocks, their versions, and their rows.

They hold one market under one adjustment. Adjusted prices are read as everywhere: computed from factors where
that is possible, else as a source sent them (`quotes.adjusted_prices`).
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef

from tasks_app.exports import versions
from tasks_app.exports.changed_parts import Base
from tasks_app.exports.errors import NoAdjustedPrices, OnlyStoredPrices
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.exports.versions import SeriesKey, Version
from tasks_app.models import AdjustmentTable, Series
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.adjusted_prices import COMPUTED, Basis, basis_bars, find_basis
from tasks_app.quotes.series import bars_of
from tasks_app.sources.cn_codes import exchange_of
from tasks_app.sources.security_codes import EXCHANGE_OF_MARK

COLUMNS = ("day", "open", "high", "low", "close", "prev_close", "volume", "amount")


@dataclass(frozen=True)
class StockRows:
    """The bars of a stock in ascending order, as dicts of `COLUMNS` and `factor`.

    An unadjusted price times `factor` is the price; None where it can't be told. `volume` is in shares,
    unadjusted unless the prices are split-adjusted.
    """

    code: str
    basis: Basis
    rows: list[dict[str, Any]]


class StockLayout(ABC):
    """A part for each stock. A layout of its own implements `write_stock`."""

    folder = "stocks"

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.memory: dict[str, Any] = {}
        self.base: Base | None = None

    @cached_property
    def keys(self) -> list[SeriesKey]:
        """The series from which the stocks are read: of the adjustment, and the unadjusted ones."""
        wanted = {self.selection.adjust, Adjust.NONE.value}
        every = versions.series_keys(Selection(market=self.selection.market, codes=self.selection.codes))
        return [key for key in every if key[2] in wanted]

    def scan(self, found: dict[str, str], cursor: str) -> Iterator[tuple[str, int, int]]:
        batches = list(versions.batches(self.keys))
        for done, (market, pairs) in enumerate(batches, 1):
            place = versions.place_of(market, pairs)
            if place <= cursor:
                continue
            codes = self.find_bases(market, pairs)
            for code, version in self.read_versions(market, pairs, codes).items():
                found[f"{self.folder}/{code}"] = version
            yield place, done, len(batches)

    def find_bases(self, market: str, pairs: list[tuple[str, str]]) -> dict[str, Basis]:
        """Returns on what basis the stocks are read that have bars under this adjustment, by code."""
        found: dict[str, Basis] = {}
        for code in dict.fromkeys(code for code, _adjust in pairs):
            basis = find_basis(market, code, self.selection.adjust or "")
            if basis and (code, basis.read_adjust) in pairs:
                found[code] = basis
        return found

    def read_versions(
        self, market: str, pairs: list[tuple[str, str]], codes: Collection[str]
    ) -> dict[str, str]:
        """Returns the versions of these stocks, if they have selected bars, by code."""
        stored: dict[str, Version] = {}
        for part in versions.read_versions(self.selection, market, pairs):
            if part.code in codes:
                stored[part.code] = stored.get(part.code, Version()).plus(part.version)
        tables: dict[str, list[str]] = {}
        told = AdjustmentTable.objects.filter(market=market, symbol__in=stored).order_by("pk")
        for code, *values in told.values_list("symbol", "pk", "fetched_at", "lacks", "complete_from"):
            tables.setdefault(code, []).append("/".join(map(str, values)))
        return {code: " ".join([str(version), *tables.get(code, ())]) for code, version in stored.items()}

    def write(self, key: str, root: Path) -> Iterator[int]:
        stock = self.read_stock(key.rpartition("/")[2])
        if stock.rows:
            self.write_stock(stock, root)
        yield len(stock.rows)

    @abstractmethod
    def write_stock(self, stock: StockRows, root: Path) -> None:
        """Writes the files of a stock that has rows below `root`."""

    def read_stock(self, code: str) -> StockRows:
        """Returns the selected bars of a stock, each code as it is stored."""
        market, adjust = self.selection.market, self.selection.adjust or ""
        basis = find_basis(market, code, adjust) or Basis(adjust)
        stored = basis_bars(market, code, basis, joined=False).filter(**self.selection.days).order_by("day")
        raw = list(stored.values(*COLUMNS))
        closes = self._unadjusted_closes(code) if adjust and basis.kind != COMPUTED else {}
        rows = []
        for before, row in zip(raw, basis.adjust_rows(raw), strict=True):
            if basis.factors is not None:
                factor: float | None = float(basis.factors.on(before["day"]))
            else:
                factor = 1.0 if not adjust else _ratio(row["close"], closes.get(before["day"]))
            rows.append({**row, "factor": factor})
        return StockRows(code, basis, rows)

    def _unadjusted_closes(self, code: str) -> dict[date, float]:
        bars = bars_of(self.selection.market, code, Adjust.NONE).filter(**self.selection.days)
        return dict(bars.values_list("day", "close"))


def require_prices(selection: Selection) -> None:
    """Raises `NoAdjustedPrices` or `OnlyStoredPrices` for adjusted prices that no selected stock has.

    Without it their export would be empty, as if all were well.
    """
    adjust = selection.adjust
    if not adjust or selection.as_of is not None:
        return
    key = replace(selection, adjust=None).stocks
    series = Series.objects.filter(**key, bars__gt=0)
    if series.filter(adjust=adjust).exists():
        return
    if selection.layout == PARQUET:
        raise OnlyStoredPrices(adjust=adjust)
    content = AdjustmentContent.ACTIONS if adjust == Adjust.SPLIT else AdjustmentContent.FACTORS
    unadjusted = series.filter(market=OuterRef("market"), symbol=OuterRef("symbol"), adjust=Adjust.NONE)
    if not AdjustmentTable.objects.filter(Exists(unadjusted), **key, content=content).exists():
        raise NoAdjustedPrices(adjust=adjust)


def split_code(market: str, code: str) -> tuple[str, str]:
    """Returns the number or ticker of a code, and its exchange (SSE, SZSE, BSE; "" elsewhere than in China).

    Codes of Chinese indices are stored with their exchange.
    """
    if market != "CN":
        return code, ""
    number, _, mark = code.rpartition(".")
    if mark in EXCHANGE_OF_MARK and number:
        return number, EXCHANGE_OF_MARK[mark]
    return code, exchange_of(code)


def _ratio(adjusted: float, unadjusted: float | None) -> float | None:
    return adjusted / unadjusted if unadjusted else None
