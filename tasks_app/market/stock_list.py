"""Keeping the stocks of a market as lists have them: those of sources, and files that people bring.

Nothing is ever taken away: a stock that a list no longer has stays, and is delisted only where a list
says so. What a list leaves open (no name, no date) does not overwrite what is known.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now

from tasks_app.market import codes
from tasks_app.models import Stock, StockList
from tasks_app.sources.base import Permanent, Symbol

SHRINK = 0.9  # of the last list's length
KEPT = 7 * 24 * 3600  # seconds in the cache
FIELDS = ("name", "exchange", "listed_on", "delisted_on")
# How Chinese exchanges decorate a name for a day or a week: no renaming.
DECORATIONS = ("XD", "XR", "DR", "N", "C", "U", "W", "V")


@dataclass(frozen=True)
class SyncResult:
    """What a list changed: its length, stocks added, renamed, delisted."""

    size: int
    added: int = 0
    renamed: int = 0
    delisted: int = 0


def sync(
    market: str, source: str, symbols: Sequence[Symbol], *, today: date, accept_shrink: bool = False
) -> SyncResult:
    """Add and update the listed stocks, in one transaction.

    Raises `Permanent` for a list that is empty, holds what is no code, or is over a tenth shorter than
    the last one of this source, unless `accept_shrink`: a page that was cut off looks just like that.
    """
    listed = {symbol.code: symbol for symbol in symbols}
    _check(market, listed)
    with transaction.atomic():
        last = StockList.objects.select_for_update().filter(market=market, source=source).first()
        if last and len(listed) < last.size * SHRINK and not accept_shrink:
            raise Permanent(
                f"The list has {len(listed):,} stocks, the last one had {last.size:,}.",
                code="stock_list_shrank",
            )
        synced = _merge(market, listed, today)
        row, _ = StockList.objects.update_or_create(
            market=market, source=source, defaults={"size": len(listed), "synced_at": Now()}
        )
        row.refresh_from_db()
    cache.set(_key(market, source), (row.synced_at, list(listed)), KEPT)
    return synced


def fresh_codes(market: str, source: str, max_age: float) -> list[str] | None:
    """The codes of the source's list, in its order, if it was synchronised in the last `max_age` seconds.

    None, too, when the shared cache has dropped them: the list is then to be asked for again.
    """
    young = StockList.objects.filter(
        market=market, source=source, synced_at__gt=Now() - timedelta(seconds=max_age)
    )
    stamp = young.values_list("synced_at", flat=True).first()
    kept = cache.get(_key(market, source)) if stamp else None
    return kept[1] if kept and kept[0] == stamp else None


def stored_codes(market: str, source: str) -> list[str]:
    """The codes to go on with when the source's list can't be had; none when it was never read."""
    if not StockList.objects.filter(market=market, source=source).exists():
        return []
    kept = cache.get(_key(market, source))
    if kept:
        return list(kept[1])
    return list(Stock.objects.filter(market=market).order_by("code").values_list("code", flat=True))


def _key(market: str, source: str) -> str:
    return f"stock-list:{market}:{source}"


def _check(market: str, listed: dict[str, Symbol]) -> None:
    if not listed:
        raise Permanent(f"The source lists no stock of the market {market}.", code="empty_stock_list")
    malformed = [code for code in listed if not codes.is_code(code)]
    if malformed:
        few = ", ".join(repr(code)[:40] for code in malformed[:5])
        raise Permanent(f"{len(malformed):,} of the list's codes are none: {few}.", code="bad_stock_list")


def _merge(market: str, listed: dict[str, Symbol], today: date) -> SyncResult:
    stored = {stock.code: stock for stock in Stock.objects.filter(market=market)}
    new = (symbol for code, symbol in listed.items() if code not in stored)
    added = [Stock(market=market, code=symbol.code, **_told(symbol)) for symbol in new]
    changed, renamed, delisted = [], 0, 0
    for stock, symbol in _pairs(stored, listed):
        values = _news(stock, symbol)
        if not values:
            continue
        if "name" in values and stock.name and not is_same_name(stock.name, symbol.name):
            stock.former_names = [*stock.former_names, {"name": stock.name, "until": today.isoformat()}]
            renamed += 1
        delisted += "delisted_on" in values and stock.delisted_on is None
        for name, value in values.items():
            setattr(stock, name, value)
        changed.append(stock)
    Stock.objects.bulk_create(added, ignore_conflicts=True, batch_size=1000)
    Stock.objects.bulk_update(changed, [*FIELDS, "former_names"], batch_size=500)
    return SyncResult(len(listed), len(added), renamed, delisted)


def _pairs(stored: dict[str, Stock], listed: dict[str, Symbol]) -> Iterable[tuple[Stock, Symbol]]:
    return ((stored[code], symbol) for code, symbol in listed.items() if code in stored)


def _told(symbol: Symbol) -> dict[str, Any]:
    """What the list says of a stock, as it is stored."""
    told = symbol.name.strip()[:100], symbol.exchange.strip()[:16], symbol.listed_on, symbol.delisted_on
    return dict(zip(FIELDS, told, strict=True))


def _news(stock: Stock, symbol: Symbol) -> dict[str, Any]:
    """What the list knows better of a stock."""
    told = _told(symbol)
    news = {name: value for name, value in told.items() if value and value != getattr(stock, name)}
    if "name" in news and not _is_news(stock.name, told["name"]):
        news.pop("name")
    return news


def _is_news(old: str, new: str) -> bool:
    """Whether a name says more than the stored one does."""
    return not is_same_name(old, new) or _is_decorated(old, new)


def is_same_name(old: str, new: str) -> bool:
    """Whether two names differ by width, blanks or the exchange's decoration only."""
    old, new = _plain(old), _plain(new)
    return old == new or _is_decorated(old, new) or _is_decorated(new, old)


def _is_decorated(name: str, plain: str) -> bool:
    """Whether `name` is `plain` with a mark such as XD before it, cut to the length that exchanges show."""
    name, plain = _plain(name), _plain(plain)
    bare = [name.removeprefix(mark) for mark in DECORATIONS if name.startswith(mark)]
    return any(len(rest) >= 2 and rest != name and plain.startswith(rest) for rest in bare)


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).upper()
