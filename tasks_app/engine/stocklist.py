"""Keeping the stocks of a market as a source lists them."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from tasks_app.models import Stock, StockList
from tasks_app.sources.base import Permanent, Symbol

LISTED = ("name", "exchange", "listed_on", "delisted_on")


def store(market: str, source: str, symbols: Sequence[Symbol]) -> None:
    """Add or update the listed stocks; those no longer listed stay. Raises `Permanent` for an empty list."""
    if not symbols:
        raise Permanent(f"The source lists no stock of the market {market}.", code="empty_stock_list")
    stocks = [Stock(market=market, **vars(s)) for s in {s.code: s for s in symbols}.values()]
    with transaction.atomic():
        Stock.objects.bulk_create(
            stocks,
            update_conflicts=True,
            unique_fields=["market", "code"],
            update_fields=LISTED,
            batch_size=1000,
        )
        StockList.objects.update_or_create(
            market=market, source=source, defaults={"size": len(stocks), "synced_at": Now()}
        )
