"""Stored bars as streamed CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import chain
from typing import Any

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse

from tasks_app.history.versions import Moment, known_bars
from tasks_app.market import code_changes
from tasks_app.market.code_changes import Predecessor
from tasks_app.models import DailyBar
from tasks_app.quotes import daily_limits
from tasks_app.quotes.adjusted_prices import Basis, basis_bars
from tasks_app.quotes.date_ranges import DAY
from tasks_app.sources.security_codes import exported_code

VALUES = (
    *("day", "open", "high", "low", "close", "prev_close", "volume", "amount", "amplitude"),
    *("change", "change_pct", "turnover", "source", "collected_at"),
    *("is_st", "limit_up", "limit_down"),
)
TOLD = tuple(name for name in daily_limits.COLUMNS if name not in VALUES)
BASIS = ("basis", "factor_source", "factors_at")  # where the prices come from: `adjusted_prices.Basis`
COLUMNS = ("market", "code", "adjust", *VALUES, *TOLD, *BASIS)
MAX_ROWS = 100_000
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """A file for csv.writer that returns each line instead of storing it."""

    def write(self, text: str) -> str:
        return text


def bar_rows(
    market: str, code: str, basis: Basis, *, joined: bool = True, **filters: Any
) -> QuerySet[DailyBar, dict[str, Any]]:
    """Returns a stock's `basis_bars` as dicts; `on_basis` makes rows of `COLUMNS` of them."""
    bars = basis_bars(market, code, basis, joined=joined).filter(**filters)
    rows: QuerySet[DailyBar, dict[str, Any]] = bars.values(*VALUES, "market", "adjust", code=F("symbol"))
    return rows


def known_rows(
    market: str, code: str, basis: Basis, moment: Moment, *, joined: bool = True, **filters: Any
) -> list[dict[str, Any]]:
    """Returns the rows of `bar_rows` as they were at the moment, ascending by day.

    `filters` are the first and the last day (`day__gte`, `day__lte`).
    """
    first, last = filters.get("day__gte") or date.min, filters.get("day__lte") or date.max
    last = min(last, basis.ends_before - DAY) if basis.ends_before else last
    codes = [Predecessor(code, date.max)]
    if joined and not basis.adjust:
        codes += code_changes.predecessors(market, code, moment)
    rows: dict[date, dict[str, Any]] = {}
    for one in codes:  # the latest first: its bars win
        for bar in known_bars(market, one.code, basis.read_adjust, moment, (first, last)):
            if bar["day"] < one.until:
                key = {"market": market, "adjust": basis.read_adjust, "code": one.code}
                rows.setdefault(bar["day"], {**{name: bar[name] for name in VALUES}, **key})
    return [rows[day] for day in sorted(rows)]


def on_basis(
    rows: Iterable[dict[str, Any]], basis: Basis, moment: Moment | None = None
) -> Iterator[dict[str, Any]]:
    """Yields the rows with the day's limits, the prices of the basis, and what it is."""
    limits = daily_limits.DailyLimits(moment)
    origin = {"factor_source": basis.source, "factors_at": basis.fetched_at}
    for row in basis.adjust_rows(limits.add(rows)):
        yield {**row, "adjust": basis.adjust, "basis": basis.kind, **origin}


def download_response(rows: QuerySet[Any, dict[str, Any]], name: str, basis: Basis) -> StreamingHttpResponse:
    """Returns at most MAX_ROWS rows in ascending date order as a file, in constant memory."""
    ordered = rows.order_by("day")[:MAX_ROWS].iterator(chunk_size=1000)
    return csv_response(on_basis(ordered, basis), name)


def csv_response(rows: Iterable[dict[str, Any]], name: str) -> StreamingHttpResponse:
    """Returns the rows as a file.

    Its codes have their exchange: spreadsheets and pandas read 000001 as 1, and the ticker NA as nothing.
    """
    rows = ({**row, "code": exported_code(row["market"], row["code"])} for row in rows)
    return stream_response(COLUMNS, ([row[column] for column in COLUMNS] for row in rows), name)


def stream_response(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], name: str
) -> StreamingHttpResponse:
    """Returns a file of these columns, line by line. No cell is a formula for a spreadsheet."""
    cells = ([escape_formula(value) for value in row] for row in rows)
    lines = map(csv.writer(_Echo()).writerow, chain([columns], cells))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def escape_formula(value: Any) -> Any:
    """Returns text that a spreadsheet would run as a formula with a leading '. Numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value
