"""The ledger of how often two sources agreed: adds comparisons to it, and sums it up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max, Q, Sum

from tasks_app.models import SourceAgreement
from tasks_app.quotes.source_comparison import FieldCount
from tasks_app.sources.base import Request

_NOW = {"sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')", "postgresql": "STATEMENT_TIMESTAMP()"}
_TABLE = SourceAgreement._meta.db_table
_KEY = "source, other_source, market, adjust, field, month"
_COUNTS = {"values": Sum("compared"), "differ": Sum("differing"), "most": Max("worst")}


class Pair(NamedTuple):
    """Two sources, of which the first one's bars were stored, in a market and an adjustment."""

    source: str
    other_source: str
    market: str
    adjust: str


@dataclass(frozen=True)
class Agreement:
    """The counts of a pair by field, of one month or of all."""

    pair: Pair
    month: date | None = None
    counts: dict[str, FieldCount] = field(default_factory=dict)


def add_counts(
    request: Request, source: str, other: str, counts: Mapping[tuple[str, date], FieldCount]
) -> None:
    """Adds counts by field and month. Call it in the transaction that records the stock, near its end.

    Every transaction locks the rows in the same order, so that two of them never wait for each other.
    """
    now = _NOW[connection.vendor]
    sql = (
        f"INSERT INTO {_TABLE} AS kept ({_KEY}, compared, differing, worst, updated_at)"
        f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, {now}) ON CONFLICT ({_KEY}) DO UPDATE SET"
        " compared = kept.compared + excluded.compared, differing = kept.differing + excluded.differing,"
        " worst = CASE WHEN excluded.worst > kept.worst THEN excluded.worst ELSE kept.worst END,"
        " updated_at = excluded.updated_at"
    )
    rows = [
        (source, other, request.market, request.adjust, str(field), month, *_numbers(count))
        for (field, month), count in sorted(counts.items())
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _numbers(count: FieldCount) -> tuple[int, int, float]:
    return count.compared, count.differing, count.worst


def totals(of: str = "") -> list[Agreement]:
    """Returns the sums over all months of each pair, or of those in which the source `of` is one."""
    rows = (
        SourceAgreement.objects.filter(Q(source=of) | Q(other_source=of)) if of else SourceAgreement.objects
    )
    sums = rows.values(*Pair._fields, "field").annotate(**_COUNTS).order_by(*Pair._fields)
    return _by_pair_and_month(sums)


def months(pair: Pair, before: date | None, limit: int) -> list[Agreement]:
    """Returns the pair's newest months, or those before a day: the newest first, at most `limit`."""
    rows = SourceAgreement.objects.filter(**pair._asdict())
    if before:
        rows = rows.filter(month__lt=before)
    newest = list(rows.values_list("month", flat=True).distinct().order_by("-month")[:limit])
    if not newest:
        return []
    sums = rows.filter(month__gte=newest[-1]).values(*Pair._fields, "field", "month").annotate(**_COUNTS)
    return _by_pair_and_month(sums.order_by("-month"))


def _by_pair_and_month(rows: Iterable[dict[str, Any]]) -> list[Agreement]:
    """Returns rows of one field each as one object per pair and month, in their order."""
    found: dict[Any, Agreement] = {}
    for row in rows:
        pair, month = Pair(*(row[name] for name in Pair._fields)), row.get("month")
        agreement = found.setdefault((pair, month), Agreement(pair, month))
        agreement.counts[row["field"]] = FieldCount(row["values"], row["differ"], row["most"])
    return list(found.values())
