"""Record batches as a stream of bytes: Arrow, Parquet, CSV or JSON, compressed where that is asked for.

Of each, a reader can tell that the end is missing: an Arrow stream ends with a mark, a Parquet file with its
footer, JSON with a bracket; of CSV, the transfer or its compression is cut off.
"""

import io
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import orjson
import pyarrow as pa

from tasks_app.quotes.bulk_read.arrow_arrays import from_texts
from tasks_app.quotes.bulk_read.batches import record_batches, schema_of
from tasks_app.quotes.bulk_read.panel import Panel
from tasks_app.quotes.bulk_read.query import WIDE, BulkQuery
from tasks_app.quotes.csv_export import escape_formula
from tasks_app.sources.security_codes import exported_code

ROW_GROUP = 131_072  # bars in a row group of Parquet
PANEL_GROUP = 2_097_152  # values, of a panel
JSON_VALUES = 262_144  # at once: each is an object of Python
CODES = ("code", "stored_code")  # columns
Chunks = Generator[bytes, None, None]


class _Sink(io.RawIOBase):
    """A file whose content is taken out again and again."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(self.parts[-1])

    def take(self) -> bytes:
        data, self.parts = b"".join(self.parts), []
        return data


def chunks(query: BulkQuery, form: str, version: str) -> Chunks:
    """Yields what a query reads in a format: arrow, parquet, csv or json."""
    panel, told = Panel(query) if query.layout == WIDE else None, {"version": version}
    schema = panel.schema(told) if panel else schema_of(query, told)
    with closing(panel.batches() if panel else record_batches(query)) as batches:
        if form == "arrow":
            yield from arrow_stream(batches, schema, query.compression or "lz4")
        elif form == "parquet":
            yield from parquet(batches, schema, query.compression or "zstd", is_wide=panel is not None)
        elif form == "csv":
            yield from csv(batches, schema, query.market, is_wide=panel is not None)
        else:
            yield from json(batches)


def arrow_stream(batches: Iterable[pa.RecordBatch], schema: pa.Schema, compression: str) -> Chunks:
    """Yields an Arrow IPC stream, its buffers compressed with lz4 or zstd; "none" for not at all."""
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    return _written(batches, lambda sink: pa.ipc.new_stream(sink, schema, options=options))


def parquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, compression: str, *, is_wide: bool = False
) -> Chunks:
    """Yields a Parquet file, row group by row group."""
    import pyarrow.parquet as pq

    # Of each column of a group, they take memory to the end.
    options = {"compression": compression, "use_dictionary": not is_wide, "write_statistics": not is_wide}
    return _written(
        _row_groups(batches, PANEL_GROUP // len(schema) if is_wide else ROW_GROUP),
        lambda sink: pq.ParquetWriter(sink, schema, **options),
        pq.ParquetWriter.write_table,
    )


def csv(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, market: str, *, is_wide: bool = False
) -> Chunks:
    """Yields CSV. Codes have their exchange: spreadsheets and pandas read 000001 as 1."""
    from pyarrow.csv import CSVWriter

    if is_wide:
        names = [_csv_code(market, name) if place else name for place, name in enumerate(schema.names)]
        schema = pa.schema(map(pa.Field.with_name, schema, names))
        safe = (batch.rename_columns(names) for batch in batches)
    else:
        safe = (_with_exchanges(batch, market) for batch in batches)
    return _written(safe, lambda sink: CSVWriter(sink, schema.remove_metadata()))


def json(batches: Iterable[pa.RecordBatch]) -> Chunks:
    """Yields an array of objects, one for each row."""
    start = b"["
    for batch in batches:
        rows = max(1, JSON_VALUES // batch.num_columns)
        for first in range(0, batch.num_rows, rows):
            yield start + orjson.dumps(batch.slice(first, rows).to_pylist())[1:-1]
            start = b","
    yield b"[]" if start == b"[" else b"]"


def _written(
    rows: Iterable[Any],
    open_writer: Callable[[Any], Any],
    write: Callable[[Any, Any], None] | None = None,
) -> Chunks:
    """Yields what a writer writes. Nothing comes before the first rows are read: errors are told in time.

    Without all rows the writer is not closed, so that no end is written.
    """
    sink = _Sink()
    writer = open_writer(pa.PythonFile(sink, "w"))
    for one in rows:
        (write or type(writer).write)(writer, one)
        if data := sink.take():
            yield data
    writer.close()
    yield sink.take()


def _row_groups(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        if sum(one.num_rows for one in some) >= rows:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)


def _with_exchanges(batch: pa.RecordBatch, market: str) -> pa.RecordBatch:
    for name in filter(batch.schema.names.__contains__, CODES):
        place, coded = batch.schema.get_field_index(name), batch.column(name).dictionary_encode()
        codes = from_texts(_csv_code(market, code) for code in coded.dictionary.to_pylist())
        batch = batch.set_column(place, batch.schema.field(place), codes.take(coded.indices))
    return batch


def _csv_code(market: str, code: str) -> str:
    return str(escape_formula(exported_code(market, code)))


def compressed(chunks: Chunks, encoding: str) -> Chunks:
    """Yields the chunks in a content encoding, gzip or zstd; unchanged for any other text."""
    if encoding not in ("gzip", "zstd"):
        yield from chunks
        return
    sink = _Sink()
    compressor: Any = (
        _Gzip(sink) if encoding == "gzip" else pa.CompressedOutputStream(pa.PythonFile(sink, "w"), encoding)
    )
    for chunk in chunks:
        compressor.write(chunk)
        if data := sink.take():
            yield data
    compressor.close()
    yield sink.take()


class _Gzip:
    """gzip at its fastest level, at which pyarrow has none."""

    def __init__(self, sink: _Sink) -> None:
        self.sink, self.compressor = sink, zlib.compressobj(1, wbits=31)

    def write(self, data: bytes) -> None:
        self.sink.write(self.compressor.compress(data))

    def close(self) -> None:
        self.sink.write(self.compressor.flush())
