"""CSV files per stock that other programs read as they are.

`csv-vnpy`: `600519.SSE.csv` with the columns that VeighNa (vn.py) writes and imports itself
(vnpy_datamanager's engine.py: output_data_to_csv, import_data_from_csv).
`csv-backtrader`: `600519.SH.csv` for GenericCSVData with its default parameters
(backtrader.com, blog of 2015-08-04: datetime as %Y-%m-%d %H:%M:%S, columns in this order).
`csv-zipline`: `daily/600519_SH.csv` for the bundle csvdir (zipline/data/bundles/csvdir.py), which takes a
name's part before its first dot as the symbol, splits from the column `split` where it is not 1, and
dividends from `dividend` where it is not 0.
"""

import csv
from abc import abstractmethod
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks_app.exports.stock_files import StockLayout, StockRows, split_code
from tasks_app.models import AdjustmentTable, CorporateAction
from tasks_app.models.adjustments import ActionKind, AdjustmentContent
from tasks_app.sources.security_codes import exported_code

PRICES = ("open", "high", "low", "close")
VNPY_EXCHANGES = {"HK": "SEHK", "US": "SMART", "SIM": "LOCAL"}  # vnpy.trader.constant.Exchange


class CsvLayout(StockLayout):
    """A file for each stock. `header` has its columns, `values` makes them of a row."""

    header: tuple[str, ...] = ()

    def name_of(self, code: str) -> str:
        """Returns the path of a stock's file."""
        return f"{exported_code(self.selection.market, code)}.csv"

    @abstractmethod
    def values(self, stock: StockRows) -> Iterable[tuple[Any, ...]]:
        """Yields the values of each row, in the order of the header."""

    def write_stock(self, stock: StockRows, root: Path) -> None:
        path = root / self.name_of(stock.code)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.header)
            writer.writerows(self.values(stock))


class VnpyLayout(CsvLayout):
    """VeighNa's columns. It knows no missing turnover: 0 stands for it, as in VeighNa itself."""

    header = ("symbol", "exchange", "datetime", *PRICES, "volume", "turnover", "open_interest")

    def name_of(self, code: str) -> str:
        return ".".join([*self._symbol(code), "csv"])

    def values(self, stock: StockRows) -> Iterable[tuple[Any, ...]]:
        symbol = self._symbol(stock.code)
        for row in stock.rows:
            prices = [row[name] for name in PRICES]
            yield *symbol, _midnight(row["day"]), *prices, row["volume"], row["amount"] or 0, 0

    def _symbol(self, code: str) -> tuple[str, str]:
        number, exchange = split_code(self.selection.market, code)
        return number, exchange or VNPY_EXCHANGES.get(self.selection.market, "LOCAL")


class BacktraderLayout(CsvLayout):
    """The columns that GenericCSVData reads by default."""

    header = ("datetime", *PRICES, "volume", "openinterest")

    def values(self, stock: StockRows) -> Iterable[tuple[Any, ...]]:
        for row in stock.rows:
            yield _midnight(row["day"]), *(row[name] for name in PRICES), row["volume"], 0


class ZiplineLayout(CsvLayout):
    """The bundle csvdir. Unadjusted prices come with cash dividends per share and splits (2 for two of one).

    They are those of the source that told them last, at the first bar from their ex day on. Adjusted prices
    have them in them already, so that the columns then are 0 and 1. Rights issues have no column.
    """

    header = ("date", *PRICES, "volume", "dividend", "split")

    def name_of(self, code: str) -> str:
        symbol = exported_code(self.selection.market, code).replace(".", "_")
        return f"daily/{symbol}.csv"

    def values(self, stock: StockRows) -> Iterable[tuple[Any, ...]]:
        dividends, splits = self._actions(stock) if not self.selection.adjust else ({}, {})
        for row in stock.rows:
            day = row["day"]
            prices = [row[name] for name in PRICES]
            yield day, *prices, row["volume"], float(dividends.get(day, 0)), float(splits.get(day, 1))

    def _actions(self, stock: StockRows) -> tuple[dict[date, Decimal], dict[date, Decimal]]:
        key = {"market": self.selection.market, "symbol": stock.code}
        tables = AdjustmentTable.objects.filter(**key, content=AdjustmentContent.ACTIONS)
        newest = tables.order_by("-fetched_at", "source").first()
        dividends: dict[date, Decimal] = {}
        splits: dict[date, Decimal] = {}
        if newest is None:
            return dividends, splits
        days = [row["day"] for row in stock.rows]
        for action in CorporateAction.objects.filter(**key, source=newest.source).order_by("number"):
            day = next((day for day in days if action.ex_day and action.ex_day <= day), None)
            if day is None or action.ex_day is None or action.ex_day < days[0]:
                continue
            if action.kind == ActionKind.DIVIDEND and action.cash:
                dividends[day] = dividends.get(day, Decimal(0)) + Decimal(action.cash)
            if action.kind == ActionKind.SPLIT and action.ratio:
                splits[day] = splits.get(day, Decimal(1)) * (1 + Decimal(action.ratio))
        return dividends, splits


def _midnight(day: date) -> str:
    return f"{day} 00:00:00"


CSV_LAYOUTS: dict[str, type[CsvLayout]] = {
    "csv-vnpy": VnpyLayout,
    "csv-backtrader": BacktraderLayout,
    "csv-zipline": ZiplineLayout,
}
