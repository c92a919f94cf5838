"""Stores the stocks of a market from stock lists: those of sources, and imported files.

Nothing is ever deleted: a stock that a list no longer has stays, and is delisted only if a list says so. What
a list leaves open (no name, no date) does not overwrite what is stored.
"""

import logging
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import orjson
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.market import codes, synthetic
from tasks_app.models import Stock, StockList
from tasks_app.sources.base import Permanent, Symbol

logger = logging.getLogger(__name__)
MIN_SIZE = 0.9  # of the source's last list
CACHE_SECONDS = 7 * 24 * 3600
BATCH = 2000  # stocks per transaction: some tens of milliseconds, for which a cancel may wait on SQLite
# Marks that Chinese exchanges put before a name for a day or a week: not a renaming.
NAME_MARKS = ("XD", "XR", "DR", "N", "C", "U", "W", "V")

_TABLE = Stock._meta.db_table
_COLUMNS = "code, name, exchange, listed_on, delisted_on"
_ROWS = {  # of one parameter, a JSON array of arrays: ten times as fast as a model instance per row
    "sqlite": "SELECT json_extract(value, '$[0]') AS code, json_extract(value, '$[1]') AS name,"
    " json_extract(value, '$[2]') AS exchange, json_extract(value, '$[3]') AS listed_on,"
    " json_extract(value, '$[4]') AS delisted_on FROM json_each(%s)",
    "postgresql": "SELECT value ->> 0 AS code, value ->> 1 AS name, value ->> 2 AS exchange,"
    " (value ->> 3)::date AS listed_on, (value ->> 4)::date AS delisted_on,"
    " (value -> 5)::jsonb AS former_names FROM json_array_elements(%s::json) AS rows(value)",
}
_INSERT = (  # without WHERE, SQLite would read ON CONFLICT as a join's condition
    f"INSERT INTO {_TABLE} (market, {_COLUMNS}, former_names, full_collection_completed)"
    f" SELECT %%s, {_COLUMNS}, '[]', false FROM (%s) AS new WHERE true ON CONFLICT DO NOTHING"
)
_SET = ("name", "exchange", "listed_on", "delisted_on", "former_names")
_UPDATE = {  # PostgreSQL takes all rows at once; SQLite would look for each stock in all of the JSON
    "sqlite": f"UPDATE {_TABLE} SET {', '.join(f'{column} = %s' for column in _SET)}"
    " WHERE market = %s AND code = %s",
    "postgresql": f"UPDATE {_TABLE} AS old SET {', '.join(f'{column} = new.{column}' for column in _SET)}"
    f" FROM ({_ROWS['postgresql']}) AS new WHERE old.market = %s AND old.code = new.code",
}


class _Row(NamedTuple):
    """A stored stock, or one that is to be stored."""

    code: str
    name: str
    exchange: str
    listed_on: date | None
    delisted_on: date | None
    former_names: Sequence[dict[str, str]] = ()


@dataclass(frozen=True)
class SyncResult:
    """The size of a list, and the numbers of stocks that it added, renamed and delisted."""

    size: int
    added: int = 0
    renamed: int = 0
    delisted: int = 0


def sync(
    market: str,
    source: str,
    symbols: Iterable[Symbol],
    *,
    today: date,
    accept_shrink: bool = False,
    fence: Callable[[], None] = lambda: None,
    after_batch: Callable[[], None] = lambda: None,
) -> SyncResult:
    """Adds and updates the listed stocks, a batch per transaction, then stores that the list was read.

    Each batch is true by itself and storing it again changes nothing, so an interrupted sync is simply
    repeated. `fence` is called last in each transaction: what it raises rolls that one back and ends the
    sync. `after_batch` is called outside of any transaction; what it raises ends the sync. Raises
    `Permanent`, before anything is stored, for a list that is empty, holds malformed codes, or is over a
    tenth shorter than the last one of this source, unless `accept_shrink`: a list whose last pages are
    missing looks the same.
    """
    listed = {symbol.code: symbol for symbol in symbols}
    _check(market, source, listed, accept_shrink)
    synthetic.note_sources(market, [source])
    added = renamed = delisted = 0
    rest = iter(listed.values())
    while batch := list(islice(rest, BATCH)):
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            list(StockList.objects.select_for_update().filter(market=market).order_by("source"))
            counts = _merge(market, batch, today)
            fence()  # last: it may lock a task's row, which a cancel waits for
        added, renamed, delisted = added + counts[0], renamed + counts[1], delisted + counts[2]
        after_batch()
    with transaction.atomic():
        row, _ = StockList.objects.update_or_create(
            market=market, source=source, defaults={"size": len(listed), "synced_at": Now()}
        )
        row.refresh_from_db()
        fence()
    try:
        cache.set(_cache_key(market, source), (row.synced_at, list(listed)), CACHE_SECONDS)
    except Exception as error:  # any error of the cache's backend: the list is requested again sooner
        logger.warning("the stock list was not cached: %s", error)
    return SyncResult(len(listed), added, renamed, delisted)


def fresh_codes(market: str, source: str, max_age: float) -> list[str] | None:
    """Returns the codes of the source's list, in its order, if it was synced in the last `max_age` seconds.

    None, too, if the shared cache has dropped them: the list must then be requested again.
    """
    fresh = StockList.objects.filter(
        market=market, source=source, synced_at__gt=Now() - timedelta(seconds=max_age)
    )
    synced_at = fresh.values_list("synced_at", flat=True).first()
    cached = _cached(market, source) if synced_at else None
    return cached[1] if cached and cached[0] == synced_at else None


def stored_codes(market: str, source: str) -> list[str]:
    """Returns the codes to use while the source's list is unavailable; none if it was never synced."""
    if not StockList.objects.filter(market=market, source=source).exists():
        return []
    if cached := _cached(market, source):
        return cached[1]
    return list(Stock.objects.filter(market=market).order_by("code").values_list("code", flat=True))


def is_same_name(old: str, new: str) -> bool:
    """Returns whether two names differ by width, spaces or an exchange's mark only."""
    old, new = _normalize(old), _normalize(new)
    return old == new or _is_marked(old, new) or _is_marked(new, old)


def _cached(market: str, source: str) -> tuple[datetime, list[str]] | None:
    """Returns when the source's list was synced, and its codes; None if the cache has none or is away."""
    cached: tuple[datetime, list[str]] | None = None
    try:
        cached = cache.get(_cache_key(market, source))
    except Exception as error:  # any error of the cache's backend
        logger.warning("the cached stock list can't be read: %s", error)
    return cached


def _cache_key(market: str, source: str) -> str:
    return f"stock-list:{market}:{source}"


def _check(market: str, source: str, listed: Collection[str], accept_shrink: bool) -> None:
    """Raises `Permanent` for a list that must not be stored."""
    if not listed:
        raise Permanent(f"The source lists no stock of the market {market}.", code="empty_stock_list")
    if malformed := [code for code in listed if not codes.is_code(code)]:
        few = ", ".join(repr(code)[:40] for code in malformed[:5])
        message = f"{len(malformed):,} codes of the list are malformed: {few}."
        raise Permanent(message, code="bad_stock_list")
    last = StockList.objects.filter(market=market, source=source).first()
    if last and len(listed) < last.size * MIN_SIZE and not accept_shrink:
        message = f"The list has {len(listed):,} stocks, the last one had {last.size:,}."
        raise Permanent(message, code="stock_list_shrank")


def _merge(market: str, symbols: Sequence[Symbol], today: date) -> tuple[int, int, int]:
    """Stores a batch. Returns how many stocks it added, renamed and delisted."""
    stocks = Stock.objects.filter(market=market, code__in=[symbol.code for symbol in symbols])
    stored = {row[0]: _Row(*row) for row in stocks.values_list(*_Row._fields)}
    new: list[_Row] = []
    changed: list[_Row] = []
    renamed = delisted = 0
    for symbol in symbols:
        name, exchange = symbol.name.strip()[:100], symbol.exchange.strip()[:16]
        listed = _Row(symbol.code, name, exchange, symbol.listed_on, symbol.delisted_on)
        if (old := stored.get(symbol.code)) is None:
            new.append(listed)
        elif (merged := _merge_row(old, listed, today)) != old:
            changed.append(merged)
            renamed += len(merged.former_names) > len(old.former_names)
            delisted += old.delisted_on is None and merged.delisted_on is not None
    added = _insert(market, new) if new else 0
    if changed:
        _update(market, changed)
    return added, renamed, delisted


def _merge_row(old: _Row, listed: _Row, today: date) -> _Row:
    """Returns the stored stock with what the list says of it, and with its former name if it was renamed."""
    name, former_names = listed.name or old.name, old.former_names
    if old.name and name != old.name:
        if not is_same_name(old.name, name):
            former_names = [*former_names, {"name": old.name, "until": today.isoformat()}]
        elif not _is_marked(old.name, name):  # a mark that disappears is no renaming, but an update
            name = old.name
    return _Row(
        old.code,
        name,
        listed.exchange or old.exchange,
        listed.listed_on or old.listed_on,
        listed.delisted_on or old.delisted_on,
        former_names,
    )


def _insert(market: str, stocks: Sequence[_Row]) -> int:
    """Inserts the stocks that are not stored meanwhile; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT % _ROWS[connection.vendor], [market, _to_json(stocks)])
        return int(cursor.rowcount)


def _update(market: str, stocks: Sequence[_Row]) -> None:
    """Overwrites the stored stocks."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_UPDATE["postgresql"], [_to_json(stocks), market])
            return
        former = [orjson.dumps(stock.former_names).decode() for stock in stocks]
        rows = [
            (*stock[1:-1], names, market, stock.code) for stock, names in zip(stocks, former, strict=True)
        ]
        cursor.executemany(_UPDATE["sqlite"], rows)


def _to_json(stocks: Sequence[_Row]) -> str:
    return orjson.dumps([tuple(stock) for stock in stocks]).decode()


def _is_marked(name: str, plain: str) -> bool:
    """Returns whether `name` is `plain` with a mark (XD …) before it, cut to the length exchanges show."""
    name, plain = _normalize(name), _normalize(plain)
    unmarked = [name.removeprefix(mark) for mark in NAME_MARKS if name.startswith(mark)]
    return any(len(rest) >= 2 and plain.startswith(rest) for rest in unmarked)


def _normalize(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).upper()
