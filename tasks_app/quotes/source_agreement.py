"""Adds comparisons of two sources to the ledger of their agreement."""

from collections.abc import Mapping
from datetime import date

from django.db import connection

from tasks_app.models import SourceAgreement
from tasks_app.quotes.source_comparison import FieldCount
from tasks_app.sources.base import Request

_NOW = {"sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')", "postgresql": "STATEMENT_TIMESTAMP()"}
_TABLE = SourceAgreement._meta.db_table
_KEY = "source, other_source, market, adjust, field, month"


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
