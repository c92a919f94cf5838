"""`record_batches`: the bars of a bulk read as Arrow record batches."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute  # or the first `take` imports it, in a tenth of a second

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.quotes.bulk_read.arrow_arrays import from_numpy, from_texts
from tasks_app.quotes.bulk_read.computed_prices import adjust_bars
from tasks_app.quotes.bulk_read.known_bars import read_known
from tasks_app.quotes.bulk_read.part import Part
from tasks_app.quotes.bulk_read.parts import find_parts
from tasks_app.quotes.bulk_read.query import FLOATS, NULLABLE_FLOATS, STORED_COLUMNS, BulkQuery
from tasks_app.quotes.bulk_read.stored_bars import (
    NO_FLAG,
    ROWS,
    Bars,
    BarsGenerator,
    read_bars,
    read_joined,
    read_joined_known,
)

PartBars = Generator[tuple[Bars, Sequence[Part]], None, None]
TIME = pa.timestamp("us", tz="UTC")
TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("code", "stored_code", "adjust", "basis", "factor_source", "source"), pa.string()),
    **dict.fromkeys(FLOATS, pa.float64()),
    **dict.fromkeys(("factors_at", "collected_at"), TIME),
    "day": pa.date32(),
    "volume": pa.int64(),
    "is_st": pa.bool_(),
}
UNITS = {
    **dict.fromkeys(("amplitude", "change_pct", "turnover"), "percent"),
    "volume": "shares",
}
PART_TEXTS = {
    "code": lambda part: part.code,
    "stored_code": lambda part: part.code,
    "adjust": lambda part: part.basis.adjust,
    "basis": lambda part: part.basis.kind,
    "factor_source": lambda part: part.basis.source,
}


def schema_of(query: BulkQuery, extra: Mapping[str, str] | None = None) -> pa.Schema:
    """Returns the schema of the query's batches, with what its columns mean as metadata."""
    return pa.schema(map(field_of, query.columns), metadata={**metadata(query), **(extra or {})})


def field_of(column: str, name: str = "") -> pa.Field:
    """Returns the field of a column, under its own name or another one."""
    unit = {"unit": UNITS[column]} if column in UNITS else None
    return pa.field(name or column, TYPES[column], metadata=unit)


def metadata(query: BulkQuery) -> dict[str, str]:
    """Returns what every answer says of itself."""
    return {
        "market": query.market,
        "adjust": query.adjust,
        "time_zone": MARKET_TIME_ZONES[query.market],
        "prices": "float64, in the currency of the market",
        "order": "code, day",
        "not_computed": "is_st, limit_up, limit_down: only what the source told",
        **({"as_of": str(query.moment.number)} if query.moment else {}),
    }


def record_batches(query: BulkQuery) -> Generator[pa.RecordBatch, None, None]:
    """Yields the bars of the query in the order of code and day, about `ROWS` in a batch.

    Columns are those of the query, prices float64 as stored, codes text. Memory does not grow with the number
    of bars. Each statement sees the database as of its beginning: inside `snapshot()`, all see one moment.
    One that is not read to its end must be closed: its statement is still under way.

    As of a moment, exactly `ROWS` are in each batch but the last: how many stocks are read at once depends on
    what is stored now, and the answer must stay the same to the byte.
    """
    with closing(_batches(query)) as found:
        yield from found if query.moment is None else _of_equal_size(found)


def _of_equal_size(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        while sum(one.num_rows for one in waiting) >= ROWS:
            whole = pa.concat_batches(waiting)
            yield _copy(whole.slice(0, ROWS))
            waiting = [whole.slice(ROWS)]
    if any(batch.num_rows for batch in waiting):
        yield _copy(pa.concat_batches(waiting))


def _copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns the batch in buffers of its own: of a slice, Arrow also writes what surrounds it."""
    return batch.take(pa.array(np.arange(batch.num_rows)))


def _batches(query: BulkQuery) -> Generator[pa.RecordBatch, None, None]:
    left, batch_schema = query.limit, schema_of(query)
    with closing(_read(query)) as found:
        for bars, parts in found:
            some = bars if left is None else bars.head(left)
            left = None if left is None else left - len(some)
            if len(some):
                yield _to_batch(some, parts, batch_schema)
            if left == 0:
                return


def _read(query: BulkQuery) -> PartBars:
    columns = ["day", *(name for name in STORED_COLUMNS if name != "day" and name in query.columns)]
    for parts in find_parts(query):
        yield from read_parts(query, parts, columns)


def read_parts(query: BulkQuery, parts: Iterable[Part], columns: Sequence[str]) -> PartBars:
    """Yields the bars of the parts with these stored columns, and the parts that their numbers mean.

    One that is not read to its end must be closed.
    """
    for (is_joined, adjust), run in groupby(parts, lambda one: (one.is_joined, one.basis.read_adjust)):
        for some in _groups(list(run), query.limit):
            if is_joined:
                yield _joined(query, some[0], columns), some
                continue
            factors = [part.basis.factors for part in some]
            with closing(_read_single(query, adjust, some, columns)) as found:
                for bars in found:
                    yield adjust_bars(bars, factors), some


def _joined(query: BulkQuery, part: Part, columns: Sequence[str]) -> Bars:
    if query.moment is not None:
        return read_joined_known(query, part, columns)
    return read_joined(query.market, 0, part, columns)


def _read_single(
    query: BulkQuery, adjust: str, parts: Sequence[Part], columns: Sequence[str]
) -> BarsGenerator:
    if query.moment is not None:
        return read_known(query.market, adjust, parts, columns, query.moment)
    return read_bars(query.market, adjust, parts, columns)


def _groups(parts: Sequence[Part], limit: int | None) -> Iterator[Sequence[Part]]:
    """Yields the parts in lists of which each is read by one statement: only as many as are wanted."""
    most = max(limit, ROWS) if limit is not None else None
    group: list[Part] = []
    for part in parts:
        if group and (part.is_joined or (most is not None and sum(one.bars for one in group) >= most)):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _to_batch(bars: Bars, parts: Sequence[Part], batch_schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_to_arrow(field, bars, parts) for field in batch_schema]
    return pa.RecordBatch.from_arrays(arrays, schema=batch_schema)


def _to_arrow(field: pa.Field, bars: Bars, parts: Sequence[Part]) -> pa.Array:
    name, values = field.name, bars.columns.get(field.name)
    if name == "factors_at":
        times = np.array([_naive(part.basis.fetched_at) for part in parts], "M8[us]")[bars.part]
        return from_numpy(times.astype("i8"), field.type, ~np.isnat(times))
    if values is None:
        return from_texts(map(PART_TEXTS[name], parts)).take(from_numpy(bars.part, pa.int32()))
    if values.dtype == object:
        return from_texts(values)
    if name == "is_st":
        return from_numpy(values == 1, field.type, values != NO_FLAG)
    return from_numpy(values, field.type, ~np.isnan(values) if name in NULLABLE_FLOATS else None)


def _naive(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC).replace(tzinfo=None)
