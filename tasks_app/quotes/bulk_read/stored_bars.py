"""Stored bars as numpy arrays, by the fastest way of each database.

PostgreSQL packs a series into one binary text per column (`string_agg` of the values' own binary form), and
`COPY` sends one row per series: twice as fast as a row per bar, and nearly free for the reader. SQLite's rows
go straight into an array of records.
"""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from django.db import connection

from tasks_app.models import DailyBar
from tasks_app.quotes import csv_export
from tasks_app.quotes.bulk_read.part import Part, Span
from tasks_app.quotes.bulk_read.query import FLOATS, NULLABLE_FLOATS, PRICE_COLUMNS, BulkQuery
from tasks_app.quotes.series import joined_bars

ROWS = 16_384  # of bars at once
EPOCH, POSTGRESQL_EPOCH = date(1970, 1, 1), date(2000, 1, 1)
DAYS_BETWEEN = (POSTGRESQL_EPOCH - EPOCH).days
MICROSECONDS = 86_400_000_000
SEPARATOR = "\x1f"  # of texts in a packed column
NO_FLAG = -1  # of a boolean that is null
TABLE = DailyBar._meta.db_table
Array = np.ndarray[Any, Any]
BarsGenerator = Generator["Bars", None, None]

DTYPES: dict[str, Any] = {
    "day": "i4",  # days since 1970
    "volume": "i8",
    "is_st": "i1",
    "source": object,
    "collected_at": "i8",  # microseconds since 1970, UTC
    **dict.fromkeys(FLOATS, "f8"),  # null: NaN
}


@dataclass(frozen=True)
class Bars:
    """Bars of several parts: the number of each bar's part, ascending, and the columns of `DTYPES`."""

    part: Array
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.part)

    def head(self, count: int) -> "Bars":
        return self.where(slice(count))

    def day(self, place: Any) -> date:
        """Returns the day of one of the bars."""
        return EPOCH + timedelta(days=int(self.columns["day"][place]))

    def where(self, some: Any) -> "Bars":
        """Returns some of the bars: those of a slice, or where an array is true."""
        return Bars(self.part[some], {name: values[some] for name, values in self.columns.items()})


def read_bars(market: str, adjust: str, parts: Sequence[Span], columns: Sequence[str]) -> BarsGenerator:
    """Yields the bars of single series, in the order of the parts and their days, about `ROWS` at once.

    `columns` are stored ones, `day` among them. All is read by one statement, so as of one moment.
    """
    read = _from_postgresql if connection.vendor == "postgresql" else _from_sqlite
    with closing(read(market, adjust, parts, columns)) as found:
        for bars in found:
            steps = np.where(np.diff(bars.part) == 0, np.diff(bars.columns["day"]), np.diff(bars.part))
            if (steps < 1).any():
                raise RuntimeError("The database returned bars out of order.")  # the SQL does not promise it
            yield bars


def read_joined(market: str, number: int, part: Part, columns: Sequence[str]) -> Bars:
    """Returns the bars of a part whose code changed, the codes they are stored under as `stored_code`."""
    bars = joined_bars(market, part.code, part.basis.read_adjust).filter(day__range=(part.first, part.last))
    rows = list(bars.order_by("day").values_list("symbol", *columns))
    values = list(zip(*rows, strict=True)) or [()] * (1 + len(columns))
    arrays = {name: to_array(name, column) for name, column in zip(columns, values[1:], strict=True)}
    arrays["stored_code"] = np.array(values[0], object)
    return Bars(np.full(len(rows), number, "i4"), arrays)


def read_joined_known(query: BulkQuery, part: Part, columns: Sequence[str]) -> Bars:
    """Returns the bars of `read_joined` as they were at the moment of the query."""
    if query.moment is None:
        raise ValueError("the query has no moment")
    days = {"day__gte": part.first, "day__lte": part.last}
    read = partial(csv_export.known_rows, query.market, part.code, part.basis, query.moment)
    rows = read(joined=part.is_joined, **days)
    arrays = {name: to_array(name, [row[name] for row in rows]) for name in columns}
    arrays["stored_code"] = np.array([row["code"] for row in rows], object)
    return Bars(np.zeros(len(rows), "i4"), arrays)


def to_array(name: str, values: Sequence[Any]) -> Array:
    """Returns a column of the ORM as an array of its type."""
    if name == "day":
        values = [(value - EPOCH).days for value in values]
    elif name == "is_st":
        values = [NO_FLAG if value is None else value for value in values]
    elif name == "collected_at":
        return np.array([value.replace(tzinfo=None) for value in values], "M8[us]").astype("i8")
    return np.array(values, DTYPES[name])


# ---------------------------------------------------------------- PostgreSQL

_PACKED = {
    "day": "date_send(day)",
    "volume": "int8send(volume)",
    "is_st": r"CASE WHEN is_st THEN '\x01'::bytea WHEN NOT is_st THEN '\x00' ELSE '\xff' END",
    "collected_at": "timestamptz_send(collected_at)",
    **{name: f"float8send({name})" for name in PRICE_COLUMNS},
    **{name: f"float8send(coalesce({name}, 'NaN'))" for name in NULLABLE_FLOATS},
}


def _aggregate(name: str) -> str:
    return r"string_agg(source, E'\x1f')" if name == "source" else f"string_agg({_PACKED[name]}, ''::bytea)"


def _from_postgresql(
    market: str, adjust: str, parts: Sequence[Span], columns: Sequence[str]
) -> BarsGenerator:
    stored = ", ".join(dict.fromkeys(("day", *columns)))
    sql = f"""COPY (SELECT k.n, packed.* FROM unnest(%s::text[], %s::date[], %s::date[])
        WITH ORDINALITY AS k(symbol, first, last, n) CROSS JOIN LATERAL (
            SELECT {", ".join(map(_aggregate, columns))} FROM (
                SELECT {stored} FROM {TABLE} WHERE market = %s AND symbol = k.symbol AND adjust = %s
                    AND day BETWEEN k.first AND k.last ORDER BY day
            ) AS bar HAVING count(*) > 0
        ) AS packed) TO STDOUT (FORMAT BINARY)"""
    keys = [[getattr(part, name) for part in parts] for name in ("code", "first", "last")]
    types = ["int8", *("text" if name == "source" else "bytea" for name in columns)]
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.cursor.copy(sql, (*keys, market, adjust)) as copy,
    ):
        copy.set_types(types)
        yield from _gather(copy.rows(), columns)


def _gather(series: Iterator[tuple[Any, ...]], columns: Sequence[str]) -> Iterator[Bars]:
    """Joins packed series until they are about `ROWS` bars."""
    numbers: list[int] = []
    counts: list[int] = []
    packed: list[tuple[Any, ...]] = []
    day = columns.index("day")
    for number, *values in series:
        numbers.append(number - 1)
        counts.append(len(values[day]) // 4)
        packed.append(tuple(values))
        if sum(counts) >= ROWS:
            yield _unpack(numbers, counts, packed, columns)
            numbers, counts, packed = [], [], []
    if packed:
        yield _unpack(numbers, counts, packed, columns)


def _unpack(
    numbers: Sequence[int], counts: Sequence[int], packed: Sequence[tuple[Any, ...]], columns: Sequence[str]
) -> Bars:
    arrays = {}
    for name, texts in zip(columns, zip(*packed, strict=True), strict=True):
        if name == "source":
            arrays[name] = np.array(SEPARATOR.join(texts).split(SEPARATOR), object)
            continue
        dtype = np.dtype(DTYPES[name])
        array = np.frombuffer(b"".join(texts), dtype.newbyteorder(">")).astype(dtype)
        if name == "day":
            array += DAYS_BETWEEN
        elif name == "collected_at":
            array += DAYS_BETWEEN * MICROSECONDS
        arrays[name] = array
    return Bars(np.repeat(np.array(numbers, "i4"), counts), arrays)


# ---------------------------------------------------------------- SQLite

_EXPRESSIONS: dict[str, str] = {  # expressions, because Python would convert columns by their declared type
    "day": "CAST(julianday(bar.day) - 2440587.5 AS INTEGER)",
    "is_st": "coalesce(bar.is_st, -1)",
    "collected_at": "bar.collected_at || ''",
}


def _from_sqlite(market: str, adjust: str, parts: Sequence[Span], columns: Sequence[str]) -> BarsGenerator:
    values = ", ".join(_EXPRESSIONS.get(name, f"bar.{name}") for name in columns)
    # json_each counts from 0. CROSS JOIN: for each key its series, in this order.
    sql = f"""SELECT k.key, {values} FROM json_each(?) AS k CROSS JOIN {TABLE} AS bar WHERE bar.market = ?
        AND bar.symbol = json_extract(k.value, '$[0]') AND bar.adjust = ?
        AND bar.day BETWEEN json_extract(k.value, '$[1]') AND json_extract(k.value, '$[2]')"""
    keys = json.dumps([(part.code, part.first.isoformat(), part.last.isoformat()) for part in parts])
    kinds = [object if name == "collected_at" else DTYPES[name] for name in columns]
    record = np.dtype([("part", "i4"), *zip(columns, kinds, strict=True)])
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = connection.connection.execute(sql, (keys, market, adjust))
        while len(rows := np.fromiter(islice(cursor, ROWS), record)):
            arrays = {name: _CLEAN.get(name, np.ascontiguousarray)(rows[name]) for name in columns}
            yield Bars(np.ascontiguousarray(rows["part"]), arrays)


def _microseconds(texts: Array) -> Array:
    return texts.astype("M8[us]").astype("i8")


_CLEAN: dict[str, Callable[[Array], Array]] = {"collected_at": _microseconds}
