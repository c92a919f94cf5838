"""Stored bars as CSV, streamed: the one place that makes it."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse

from tasks_app.models import DailyBar

BEFORE = ("market", "code", "adjust")
AFTER = (
    *("day", "open", "high", "low", "close", "prev_close", "volume", "amount", "amplitude"),
    *("change", "change_pct", "turnover", "source", "collected_at"),
)
COLUMNS = (*BEFORE, *AFTER)
MAX_ROWS = 100_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """A file for csv.writer that keeps nothing: what is written is handed back."""

    def write(self, text: str) -> str:
        return text


def bar_rows(market: str, code: str, **filters: Any) -> QuerySet[DailyBar, dict[str, Any]]:
    """A stock's bars as rows of `COLUMNS`."""
    found = DailyBar.objects.filter(market=market, symbol=code, **filters)
    rows: QuerySet[DailyBar, dict[str, Any]] = found.values(*AFTER, "market", "adjust", code=F("symbol"))
    return rows


def download_response(
    rows: QuerySet[Any, dict[str, Any]], name: str, *, for_spreadsheets: bool = False
) -> StreamingHttpResponse:
    """At most MAX_ROWS rows by rising day, as a file: memory does not grow with them.

    A spreadsheet reads 000001 as the number 1: for those the code is told with its market, 000001.CN.
    """
    ordered = rows.order_by("day")[:MAX_ROWS].iterator(chunk_size=1000)
    return csv_response((_qualified(row) for row in ordered) if for_spreadsheets else ordered, name)


def csv_response(rows: Iterable[dict[str, Any]], name: str) -> StreamingHttpResponse:
    """These rows."""
    answer = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def escape_formula(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a leading '. Numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value


def _qualified(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "code": f"{row['code']}.{row['market']}"}


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    for row in rows:
        yield writer.writerow([escape_formula(row[column]) for column in COLUMNS])
