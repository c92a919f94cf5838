"""Stores the securities of a market from lists: those of sources, and imported files.

Nothing is ever deleted: a stock that a list no longer has stays, and is delisted only if a list says so. What
a list leaves open (no name, no date) does not overwrite what is stored.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import islice
from typing import NamedTuple

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.market import codes, synthetic
from tasks_app.models import Stock, StockList
from tasks_app.models.quotes import InstrumentKind
from tasks_app.sources.base import Permanent, Symbol

MIN_SIZE = 0.9  # of the source's last list
BATCH = 2000  # stocks per transaction: some tens of milliseconds, for which a cancel may wait on SQLite
# Marks that Chinese exchanges put before a name for a day or a week: not a renaming.
NAME_MARKS = ("XD", "XR", "DR", "N", "C", "U", "W", "V")

_TABLE = Stock._meta.db_table
_COLUMNS = "code, name, exchange, listed_on, delisted_on, kind"
_ROWS = {  # of one parameter, a JSON array of arrays: ten times as fast as a model instance per row
    "sqlite": "SELECT json_extract(value, '$[0]') AS code, json_extract(value, '$[1]') AS name,"
    " json_extract(value, '$[2]') AS exchange, json_extract(value, '$[3]') AS listed_on,"
    " json_extract(value, '$[4]') AS delisted_on, json_extract(value, '$[5]') AS kind"
    " FROM json_each(%s)",
    "postgresql": "SELECT value ->> 0 AS code, value ->> 1 AS name, value ->> 2 AS exchange,"
    " (value ->> 3)::date AS listed_on, (value ->> 4)::date AS delisted_on, value ->> 5 AS kind,"
    " (value -> 6)::jsonb AS former_names FROM json_array_elements(%s::json) AS rows(value)",
}
_INSERT = (  # without WHERE, SQLite would read ON CONFLICT as a join's condition
    f"INSERT INTO {_TABLE} (market, {_COLUMNS}, former_names, full_collection_completed)"
    f" SELECT %%s, {_COLUMNS}, '[]', false FROM (%s) AS new WHERE true ON CONFLICT DO NOTHING"
)
_SET = ("name", "exchange", "listed_on", "delisted_on", "kind", "former_names")
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
    kind: str
    former_names: Sequence[dict[str, str]] = ()


@dataclass(frozen=True)
class SyncResult:
    """A list's size, how many stocks it added, renamed and delisted, and its codes in order."""

    size: int
    added: int = 0
    renamed: int = 0
    delisted: int = 0
    codes: list[str] = field(default_factory=list)


Change = tuple[_Row | None, _Row]  # a stock before and after; None: it was added


def sync(
    market: str,
    source: str,
    symbols: Iterable[Symbol],
    *,
    today: date,
    kind: str = InstrumentKind.STOCK.value,
    accept_shrink: bool = False,
    fence: Callable[[], None] = lambda: None,
    after_batch: Callable[[], None] = lambda: None,
    on_changes: Callable[[Sequence[Change]], None] = lambda changes: None,
) -> SyncResult:
    """Adds and updates the listed securities, a batch per transaction, then stores the list of this kind.

    Stocks are stored under their canonical codes; how the source writes the others is stored with the list.
    Each batch is true by itself and storing it again changes nothing, so an interrupted sync is simply
    repeated. `fence` is called last in each transaction: what it raises rolls that one back and ends the
    sync. `after_batch` is called outside of any transaction; what it raises ends the sync. `on_changes` gets
    the stocks that a batch added or changed, in its transaction. Raises `Permanent`, before anything is
    stored, for a list that is empty, holds malformed codes, or is over a tenth shorter than the last one of
    this source, unless `accept_shrink`: a list whose last pages are missing looks the same.
    """
    listed, spellings = _by_code(market, symbols)
    _check(market, source, kind, listed, accept_shrink)
    synthetic.note_sources(market, [source])
    added = renamed = delisted = 0
    rest = iter(listed.values())
    while batch := list(islice(rest, BATCH)):
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            lists = StockList.objects.select_for_update().filter(market=market).order_by("source")
            list(lists.values_list("pk"))  # locks them; their codes are long
            counts, changes = _merge(market, batch, today)
            on_changes(changes)
            fence()  # last: it may lock a task's row, which a cancel waits for
        added, renamed, delisted = added + counts[0], renamed + counts[1], delisted + counts[2]
        after_batch()
    with transaction.atomic():
        StockList.objects.update_or_create(
            market=market,
            source=source,
            kind=kind,
            defaults={
                "size": len(listed),
                "synced_at": Now(),
                "codes": list(listed),
                "spellings": spellings,
            },
        )
        fence()
    return SyncResult(len(listed), added, renamed, delisted, list(listed))


def _by_code(market: str, symbols: Iterable[Symbol]) -> tuple[dict[str, Symbol], dict[str, str]]:
    """Returns the symbols by their canonical codes, and how the source writes those that differ."""
    listed: dict[str, Symbol] = {}
    spellings: dict[str, str] = {}
    for symbol in symbols:
        code = codes.canonical_or_same(market, symbol.code)
        if code == symbol.code:
            listed.setdefault(code, symbol)
        else:
            listed.setdefault(code, replace(symbol, code=code))
            spellings.setdefault(code, symbol.code)
    return listed, spellings


def fresh_codes(
    market: str, source: str, max_age: float, kind: str = InstrumentKind.STOCK.value
) -> list[str] | None:
    """Returns the codes of the source's list, in its order, if it was synced within `max_age` seconds."""
    fresh = _lists(market, [source]).filter(kind=kind, synced_at__gt=Now() - timedelta(seconds=max_age))
    return fresh.values_list("codes", flat=True).first()


def stored_codes(market: str, source: str, kind: str = InstrumentKind.STOCK.value) -> list[str]:
    """Returns the codes to use while the source's list is unavailable; none if it was never synced.

    Of a list from before its codes were kept, the stocks of the whole market stand for it.
    """
    lists = StockList.objects.filter(market=market, source=source, kind=kind).values_list("codes", flat=True)
    if not lists:
        return []
    return lists[0] or list(
        Stock.objects.filter(market=market, kind=kind).order_by("code").values_list("code", flat=True)
    )


def listed_codes(market: str, sources: Collection[str]) -> dict[tuple[str, str], list[str]]:
    """Returns the codes that each of the sources lists, by source and kind; only of stored lists."""
    lists = _lists(market, sources).only("source", "kind", "codes")
    return {(row.source, row.kind): row.codes or [] for row in lists}


def source_spellings(market: str, source: str) -> dict[str, str]:
    """Returns the codes that the source writes in another way, each with that way."""
    lists = StockList.objects.filter(market=market, source=source)
    return {code: text for found in lists.values_list("spellings", flat=True) for code, text in found.items()}


def is_same_name(old: str, new: str) -> bool:
    """Returns whether two names differ by width, spaces or an exchange's mark only."""
    old, new = _normalize(old), _normalize(new)
    return old == new or _is_marked(old, new) or _is_marked(new, old)


def _lists(market: str, sources: Collection[str]) -> QuerySet[StockList]:
    return StockList.objects.filter(market=market, source__in=sources, codes__isnull=False)


def _check(market: str, source: str, kind: str, listed: Collection[str], accept_shrink: bool) -> None:
    """Raises `Permanent` for a list that must not be stored."""
    if not listed:
        raise Permanent(f"The source lists no stock of the market {market}.", code="empty_stock_list")
    if malformed := [code for code in listed if not codes.is_code(code)]:
        few = ", ".join(repr(code)[:40] for code in malformed[:5])
        message = f"{len(malformed):,} codes of the list are malformed: {few}."
        raise Permanent(message, code="bad_stock_list")
    lists = StockList.objects.filter(market=market, source=source, kind=kind)
    last = lists.values_list("size", flat=True).first() or 0
    if len(listed) < last * MIN_SIZE and not accept_shrink:
        message = f"The list has {len(listed):,} stocks, the last one had {last:,}."
        raise Permanent(message, code="stock_list_shrank")


def _merge(market: str, symbols: Sequence[Symbol], today: date) -> tuple[tuple[int, int, int], list[Change]]:
    """Stores a batch. Returns how many stocks it added, renamed and delisted, and all that it changed."""
    stocks = Stock.objects.filter(market=market, code__in=[symbol.code for symbol in symbols])
    stored = {row[0]: _Row(*row) for row in stocks.values_list(*_Row._fields)}
    new: list[_Row] = []
    changed: list[_Row] = []
    changes: list[Change] = []
    renamed = delisted = 0
    for symbol in symbols:
        name, exchange = symbol.name.strip()[:100], symbol.exchange.strip()[:16]
        old = stored.get(symbol.code)
        kind = symbol.kind or (old.kind if old else codes.kind_of(market, symbol.code))
        listed = _Row(symbol.code, name, exchange, symbol.listed_on, symbol.delisted_on, kind)
        if old is None:
            new.append(listed)
            changes.append((None, listed))
        elif (merged := _merge_row(old, listed, today)) != old:
            changed.append(merged)
            changes.append((old, merged))
            renamed += len(merged.former_names) > len(old.former_names)
            delisted += old.delisted_on is None and merged.delisted_on is not None
    added = _insert(market, new) if new else 0
    if changed:
        _update(market, changed)
    return (added, renamed, delisted), changes


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
        listed.kind,
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
