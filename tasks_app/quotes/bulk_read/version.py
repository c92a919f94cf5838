"""The version of what a bulk read would answer: it changes with what is read, and with nothing else."""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

from django.db import connection
from django.db.models import F

from tasks_app.history.versions import BAR_KINDS
from tasks_app.market import code_changes
from tasks_app.models import Change, Series
from tasks_app.quotes.adjusted_prices import Basis
from tasks_app.quotes.bulk_read.parts import find_parts
from tasks_app.quotes.bulk_read.query import WIDE, BulkQuery
from tasks_app.sources.market_time import market_today

CHANGE, KINDS = Change._meta.db_table, ", ".join(f"'{kind.value}'" for kind in BAR_KINDS)
DAYS = {"postgresql": "unnest(%s::date[]) AS days(value)", "sqlite": "json_each(%s) AS days"}
Newest = tuple[Any, ...] | None  # of a change: its number, its time and its rows
STATE = ("number", "at", "rows")  # rows: on SQLite a change can still grow within its millisecond


def content_version(query: BulkQuery) -> str:
    """Returns a text that changes with the bars of the query's stocks and days, in any of their columns.

    Also with what else decides the answer: changes of codes that join stored bars, the basis and the factors
    of adjusted prices. Bars are not read for it: they are named by the newest of their numbered changes.
    """
    content: list[Any] = [replace(query, moment=None)]
    if query.moment is not None:  # what was known then stays the same, however the moment was named
        content += [query.moment.number, market_today(query.market, query.moment.at)]
    else:
        content += _parts(query) if query.adjust or query.layout == WIDE else _unadjusted(query)
    return blake2b(repr(content).encode(), digest_size=12).hexdigest()


def _unadjusted(query: BulkQuery) -> list[Any]:
    pairs = _joining(query)
    earlier = {pair.old for pair in pairs}
    symbols = None if query.codes is None else earlier.union(query.codes)
    return [pairs, _newest_change(query, "", symbols)]


def _joining(query: BulkQuery) -> list[code_changes.CodePair]:
    """Returns the changes of codes that lead from stored bars to the query's codes."""
    pairs = sorted(code_changes.changes_of(query.market)) if query.joined and not query.adjust else []
    codes = {code for pair in pairs for code in (pair.old, pair.new)}
    series = Series.objects.filter(market=query.market, adjust="", bars__gt=0, symbol__in=codes)
    later = _closure(series.values_list("symbol", flat=True), ((pair.old, pair.new) for pair in pairs))
    pairs = [pair for pair in pairs if pair.old in later]
    if query.codes is None:
        return pairs
    wanted = _closure(query.codes, ((pair.new, pair.old) for pair in pairs))
    return [pair for pair in pairs if pair.new in wanted]


def _closure(start: Iterable[str], steps: Iterable[tuple[str, str]]) -> set[str]:
    """Returns what is reached from the start by any number of steps."""
    found, steps = set(start), list(steps)
    while new := {end for begin, end in steps if begin in found} - found:
        found |= new
    return found


def _parts(query: BulkQuery) -> list[Any]:
    """Returns what the read finds of each code but for its bars, and the newest change of the bars."""
    told, codes = [], dict[str, list[str]]()
    for part in (part for some in find_parts(query) for part in some):
        days = part.first, part.last
        told.append((part.code, *days, part.is_joined, *_basis(part.basis, days, query.columns)))
        codes.setdefault(part.basis.read_adjust, []).append(part.code)
    pairs = _joining(query)
    is_all = query.codes is None and len(codes) == 1
    newest = [
        _newest_change(query, adjust, None if is_all else {*some, *(pair.old for pair in pairs)})
        for adjust, some in sorted(codes.items())
    ]
    return [told, pairs, newest]


def _basis(basis: Basis, days: tuple[date, date], columns: Sequence[str]) -> Iterator[Any]:
    yield from (basis.kind, basis.source, basis.fetched_at if "factors_at" in columns else None)
    if (factors := basis.factors) is not None:
        first, last = (bisect_right(factors.days, day) for day in days)
        yield factors.days[first:last]
        yield [str(value) for value in factors.values[first : last + 1]]


def _newest_change(query: BulkQuery, adjust: str, symbols: Collection[str] | None) -> Newest:
    """Returns the newest change of bars on the query's days; of all codes if `symbols` is None."""
    rows = Change.objects.filter(
        market=query.market, adjust=adjust, kind__in=BAR_KINDS, number__isnull=False
    ).order_by("-number")
    within = rows.filter(first_day__lte=query.end, last_day__gte=query.start)
    if symbols is not None:
        return within.filter(symbol__in=symbols).values_list(*STATE).first()
    # In two parts, because no index leads to the ranges that reach into other ones: those of one day are
    # found by their day, and the others are few.
    found = [within.filter(first_day__lt=F("last_day")).values_list(*STATE).first()]
    found += rows.filter(number=_newest_of_days(query, adjust)).values_list(*STATE)
    return max((one for one in found if one is not None), default=None)


def _newest_of_days(query: BulkQuery, adjust: str) -> int | None:
    """Returns the newest number of a change of bars of a single one of the query's days: a look-up a day."""
    single = Change.objects.filter(market=query.market, adjust=adjust, first_day=F("last_day"))
    ends = single.filter(first_day__range=(query.start, query.end)).order_by("first_day")
    days = ends.values_list("first_day", flat=True)
    if (first := days.first()) is None or (last := days.last()) is None:
        return None
    wanted = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    sql = f"""SELECT MAX((SELECT number FROM {CHANGE} WHERE market = %s AND adjust = %s
        AND first_day = days.value AND first_day = last_day AND number IS NOT NULL
        AND kind IN ({KINDS}) ORDER BY number DESC LIMIT 1)) FROM {DAYS[connection.vendor]}"""
    value: Any = json.dumps(wanted, default=str) if connection.vendor == "sqlite" else wanted
    with connection.cursor() as cursor:
        cursor.execute(sql, [query.market, adjust, value])
        return cursor.fetchone()[0]  # type: ignore[no-any-return]
