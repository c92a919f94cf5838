"""Stores the stocks of a market from stock lists: those of sources, and imported files.

Nothing is ever deleted: a stock that a list no longer has stays, and is delisted only if a list says so. What
a list leaves open (no name, no date) does not overwrite what is stored.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now

from tasks_app.market import codes
from tasks_app.models import Stock, StockList
from tasks_app.sources.base import Permanent, Symbol

MIN_SIZE = 0.9  # of the source's last list
CACHE_SECONDS = 7 * 24 * 3600
FIELDS = ("name", "exchange", "listed_on", "delisted_on")
# Marks that Chinese exchanges put before a name for a day or a week: not a renaming.
NAME_MARKS = ("XD", "XR", "DR", "N", "C", "U", "W", "V")


@dataclass(frozen=True)
class SyncResult:
    """The size of a list, and the numbers of stocks that it added, renamed and delisted."""

    size: int
    added: int = 0
    renamed: int = 0
    delisted: int = 0


def sync(
    market: str, source: str, symbols: Sequence[Symbol], *, today: date, accept_shrink: bool = False
) -> SyncResult:
    """Adds and updates the listed stocks in one transaction.

    Raises `Permanent` for a list that is empty, holds malformed codes, or is over a tenth shorter than the
    last one of this source, unless `accept_shrink`: a list whose last pages are missing looks the same.
    """
    listed = {symbol.code: symbol for symbol in symbols}
    if not listed:
        raise Permanent(f"The source lists no stock of the market {market}.", code="empty_stock_list")
    if malformed := [code for code in listed if not codes.is_code(code)]:
        few = ", ".join(repr(code)[:40] for code in malformed[:5])
        message = f"{len(malformed):,} codes of the list are malformed: {few}."
        raise Permanent(message, code="bad_stock_list")
    with transaction.atomic():
        last = StockList.objects.select_for_update().filter(market=market, source=source).first()
        if last and len(listed) < last.size * MIN_SIZE and not accept_shrink:
            message = f"The list has {len(listed):,} stocks, the last one had {last.size:,}."
            raise Permanent(message, code="stock_list_shrank")
        result = _merge(market, listed, today)
        row, _ = StockList.objects.update_or_create(
            market=market, source=source, defaults={"size": len(listed), "synced_at": Now()}
        )
        row.refresh_from_db()
    cache.set(_cache_key(market, source), (row.synced_at, list(listed)), CACHE_SECONDS)
    return result


def fresh_codes(market: str, source: str, max_age: float) -> list[str] | None:
    """Returns the codes of the source's list, in its order, if it was synced in the last `max_age` seconds.

    None, too, if the shared cache has dropped them: the list must then be requested again.
    """
    fresh = StockList.objects.filter(
        market=market, source=source, synced_at__gt=Now() - timedelta(seconds=max_age)
    )
    synced_at = fresh.values_list("synced_at", flat=True).first()
    cached = cache.get(_cache_key(market, source)) if synced_at else None
    return cached[1] if cached and cached[0] == synced_at else None


def stored_codes(market: str, source: str) -> list[str]:
    """Returns the codes to use while the source's list is unavailable; none if it was never synced."""
    if not StockList.objects.filter(market=market, source=source).exists():
        return []
    if cached := cache.get(_cache_key(market, source)):
        return list(cached[1])
    return list(Stock.objects.filter(market=market).order_by("code").values_list("code", flat=True))


def is_same_name(old: str, new: str) -> bool:
    """Returns whether two names differ by width, spaces or an exchange's mark only."""
    old, new = _normalize(old), _normalize(new)
    return old == new or _is_marked(old, new) or _is_marked(new, old)


def _cache_key(market: str, source: str) -> str:
    return f"stock-list:{market}:{source}"


def _merge(market: str, listed: dict[str, Symbol], today: date) -> SyncResult:
    stored = {stock.code: stock for stock in Stock.objects.filter(market=market)}
    added: list[Stock] = []
    changed: list[Stock] = []
    renamed = delisted = 0
    for code, symbol in listed.items():
        name, exchange = symbol.name.strip()[:100], symbol.exchange.strip()[:16]
        values: dict[str, Any] = dict(
            zip(FIELDS, (name, exchange, symbol.listed_on, symbol.delisted_on), strict=True)
        )
        if (stock := stored.get(code)) is None:
            added.append(Stock(market=market, code=code, **values))
            continue
        changes = {
            field: value for field, value in values.items() if value and value != getattr(stock, field)
        }
        if "name" in changes and stock.name:
            if not is_same_name(stock.name, name):
                former = {"name": stock.name, "until": today.isoformat()}
                stock.former_names = [*stock.former_names, former]
                renamed += 1
            elif not _is_marked(stock.name, name):  # a mark that disappears is no renaming, but an update
                del changes["name"]
        delisted += "delisted_on" in changes and stock.delisted_on is None
        for field, value in changes.items():
            setattr(stock, field, value)
        if changes:
            changed.append(stock)
    Stock.objects.bulk_create(added, ignore_conflicts=True, batch_size=1000)
    Stock.objects.bulk_update(changed, [*FIELDS, "former_names"], batch_size=500)
    return SyncResult(len(listed), len(added), renamed, delisted)


def _is_marked(name: str, plain: str) -> bool:
    """Returns whether `name` is `plain` with a mark (XD …) before it, cut to the length exchanges show."""
    name, plain = _normalize(name), _normalize(plain)
    unmarked = [name.removeprefix(mark) for mark in NAME_MARKS if name.startswith(mark)]
    return any(len(rest) >= 2 and plain.startswith(rest) for rest in unmarked)


def _normalize(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).upper()
