"""Stored bars as streamed CSV."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse

from tasks_app.models import DailyBar
from tasks_app.quotes.adjusted_prices import Basis

VALUES = (
    *("day", "open", "high", "low", "close", "prev_close", "volume", "amount", "amplitude"),
    *("change", "change_pct", "turnover", "source", "collected_at"),
)
BASIS = ("basis", "factor_source", "factors_at")  # where the prices come from: `adjusted_prices.Basis`
COLUMNS = ("market", "code", "adjust", *VALUES, *BASIS)
MAX_ROWS = 100_000
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """A file for csv.writer that returns each line instead of storing it."""

    def write(self, text: str) -> str:
        return text


def bar_rows(market: str, code: str, basis: Basis, **days: Any) -> QuerySet[DailyBar, dict[str, Any]]:
    """Returns a stock's stored bars for this basis as dicts; `on_basis` makes rows of `COLUMNS` of them."""
    key = {"market": market, "symbol": code, "adjust": basis.read_adjust}
    bars = DailyBar.objects.filter(**key, **basis.days).filter(**days)
    rows: QuerySet[DailyBar, dict[str, Any]] = bars.values(*VALUES, "market", "adjust", code=F("symbol"))
    return rows


def on_basis(rows: Iterable[dict[str, Any]], basis: Basis) -> Iterator[dict[str, Any]]:
    """Yields the rows with the prices of the basis, and what it is."""
    origin = {"factor_source": basis.source, "factors_at": basis.fetched_at}
    for row in basis.adjust_rows(rows):
        yield {**row, "adjust": basis.adjust, "basis": basis.kind, **origin}


def download_response(
    rows: QuerySet[Any, dict[str, Any]], name: str, basis: Basis, *, for_spreadsheets: bool = False
) -> StreamingHttpResponse:
    """Returns at most MAX_ROWS rows in ascending date order as a file, in constant memory.

    A spreadsheet reads 000001 as the number 1: with `for_spreadsheets` codes carry their market, 000001.CN.
    """
    ordered: Iterable[dict[str, Any]] = rows.order_by("day")[:MAX_ROWS].iterator(chunk_size=1000)
    ordered = on_basis(ordered, basis)
    if for_spreadsheets:
        ordered = ({**row, "code": f"{row['code']}.{row['market']}"} for row in ordered)
    return csv_response(ordered, name)


def csv_response(rows: Iterable[dict[str, Any]], name: str) -> StreamingHttpResponse:
    """Returns the rows as a file."""
    cells = ([escape_formula(row[column]) for column in COLUMNS] for row in rows)
    lines = map(csv.writer(_Echo()).writerow, chain([COLUMNS], cells))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def escape_formula(value: Any) -> Any:
    """Returns text that a spreadsheet would run as a formula with a leading '. Numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value
