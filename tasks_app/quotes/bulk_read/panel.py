"""Panels: one column of many stocks, a row for each day and a column for each code."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from tasks_app.errors import PanelTooWide
from tasks_app.quotes.bulk_read.arrow_arrays import from_numpy
from tasks_app.quotes.bulk_read.batches import PartBars, field_of, metadata, read_parts
from tasks_app.quotes.bulk_read.part import Part
from tasks_app.quotes.bulk_read.parts import find_parts
from tasks_app.quotes.bulk_read.query import MAX_PANEL_CODES, BulkQuery
from tasks_app.quotes.bulk_read.stored_bars import DTYPES, EPOCH, NO_FLAG, Array

DAY = timedelta(days=1)
CELLS = 2**20  # codes × calendar days at once; 8 MB of prices


class Panel:
    """The panel of a query: its schema, and its rows in batches.

    The codes are those that were named, or all that have bars up to the query's days or within them; the
    cursor does not change them. Raises `PanelTooWide` for more than `MAX_PANEL_CODES`.
    """

    def __init__(self, query: BulkQuery) -> None:
        self.query = replace(query, after=None, limit=None)
        self.after = query.after[1] if query.after else date.min
        self.limit = query.limit
        (self.column,) = query.columns
        parts = [part for some in find_parts(self.query) for part in some]
        self.codes = [part.code for part in parts] if query.codes is None else sorted(set(query.codes))
        if len(self.codes) > MAX_PANEL_CODES:
            raise PanelTooWide(codes=len(self.codes), limit=MAX_PANEL_CODES)
        # Joined ones have no known ends, and are few: they are read once.
        self._joined = list(self._read([part for part in parts if part.is_joined]))
        self._parts = [part for part in parts if not part.is_joined]
        self._places = {code: number for number, code in enumerate(self.codes)}

    def schema(self, extra: Mapping[str, str]) -> pa.Schema:
        """Returns the schema: `day`, and a field for each code."""
        told = {**metadata(self.query), "order": "day", "column": self.column, **extra}
        values = [field_of(self.column, code) for code in self.codes]
        return pa.schema([field_of("day"), *values], metadata=told)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Yields the rows of the days that have a bar of any of the codes; null where a code has none.

        Memory grows with the number of codes and not with that of days.
        """
        left, batch_schema = self.limit, self.schema({})
        for first, last in self._periods():
            batch = self._batch(first, last, batch_schema)
            batch = batch if left is None else batch.slice(0, left)
            left = None if left is None else left - batch.num_rows
            if batch.num_rows:
                yield batch
            if left == 0:
                return

    def _periods(self) -> Iterator[tuple[date, date]]:
        """Yields the first and the last day of periods that fit into memory, ascending."""
        ends = [(part.first, part.last) for part in self._parts]
        for bars, _ in self._joined:
            found = bars.columns["day"]
            ends += [(_date(found[0]), _date(found[-1]))] if len(found) else []
        end = max((last for _, last in ends), default=date.min)
        if end <= self.after:
            return
        first = max(min(first for first, _ in ends), self.after + DAY)
        days = CELLS // len(self.codes)
        for start in range(0, (end - first).days + 1, days):
            yield first + timedelta(days=start), min(first + timedelta(days=start + days - 1), end)

    def _batch(self, first: date, last: date, batch_schema: pa.Schema) -> pa.RecordBatch:
        start, shape = (first - EPOCH).days, (len(self.codes), (last - first).days + 1)
        values, is_stored = np.zeros(shape, DTYPES[self.column]), np.zeros(shape, bool)
        with closing(self._read_period(first, last)) as found:
            for bars, parts in found:
                places = np.array([self._places[part.code] for part in parts])[bars.part]
                cells = places, bars.columns["day"] - start
                values[cells], is_stored[cells] = bars.columns[self.column], True
        rows = np.flatnonzero(is_stored.any(axis=0))
        arrays = [from_numpy((rows + start).astype("i4"), pa.date32())]
        for field, column, stored in zip(list(batch_schema)[1:], values, is_stored, strict=True):
            arrays.append(_to_arrow(column[rows], stored[rows], field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=batch_schema)

    def _read_period(self, first: date, last: date) -> PartBars:
        """Yields the bars of the days, and their parts."""
        start, end = ((day - EPOCH).days for day in (first, last))
        for bars, parts in self._joined:
            days = bars.columns["day"]
            yield bars.where((days >= start) & (days <= end)), parts
        clipped = (replace(one, first=max(one.first, first), last=min(one.last, last)) for one in self._parts)
        yield from self._read([part for part in clipped if part.first <= part.last])

    def _read(self, parts: Sequence[Part]) -> PartBars:
        return read_parts(self.query, parts, ["day", self.column])


def _to_arrow(values: Array, is_stored: Array, kind: pa.DataType) -> pa.Array:
    """Returns one code's column; null where there is no bar, or no value."""
    if pa.types.is_boolean(kind):
        return from_numpy(values == 1, kind, is_stored & (values != NO_FLAG))
    return from_numpy(values, kind, is_stored & ~np.isnan(values) if values.dtype.kind == "f" else is_stored)


def _date(days: int) -> date:
    return EPOCH + timedelta(days=int(days))
