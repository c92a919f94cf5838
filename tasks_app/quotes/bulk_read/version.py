"""The version of what a bulk read would answer: it changes with the stored content."""

from hashlib import blake2b

from django.db.models import F

from tasks_app.market import code_changes
from tasks_app.models import AdjustmentTable, Series
from tasks_app.quotes.bulk_read.query import BulkQuery
from tasks_app.sources.market_time import market_today


def content_version(query: BulkQuery) -> str:
    """Returns a text that changes whenever the bars, the changes of codes or the factors of the query may.

    It is made of the rows that every write of bars or factors updates in its transaction, so no bar is read
    for it: 5,400 stocks take some 20 ms.
    """
    digest = blake2b(digest_size=12)
    if query.moment is not None:  # what was known then stays the same
        digest.update(repr(query).encode())
        return digest.hexdigest()
    digest.update(repr((query, _series(query))).encode())
    if query.adjust:
        digest.update(repr((_tables(query), market_today(query.market))).encode())
    elif query.joined:
        digest.update(repr(sorted(code_changes.changes_of(query.market))).encode())
    return digest.hexdigest()


def _series(query: BulkQuery) -> list[object]:
    columns = ("symbol", "adjust", "updated_at", "bars", "first_day", "last_day")
    rows = Series.objects.filter(market=query.market, adjust__in={query.adjust, ""})
    if query.codes is not None and (query.adjust or not query.joined):
        return list(rows.filter(symbol__in=query.codes).order_by("symbol", "adjust").values_list(*columns))
    return list(rows.order_by("symbol", "adjust").values_list(*columns))


def _tables(query: BulkQuery) -> list[object]:
    columns = ("symbol", "source", "content", "until", "complete_from", "lacks", "fetched_at")
    rows = AdjustmentTable.objects.filter(market=query.market).order_by(F("pk"))
    return list(rows.values_list(*columns))
