"""Record batches as a stream of bytes: Arrow, Parquet, CSV or JSON, compressed where that is asked for.

Of each, a reader can tell that the end is missing: an Arrow stream ends with a mark, a Parquet file with its
footer, JSON with a bracket; of CSV, the transfer or its compression is cut off.
"""

import io
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from tasks_app.quotes.bulk_read.arrow_arrays import from_texts
from tasks_app.quotes.bulk_read.batches import schema_of
from tasks_app.quotes.bulk_read.query import BulkQuery
from tasks_app.quotes.csv_export import escape_formula
from tasks_app.sources.security_codes import exported_code

ROW_GROUP = 131_072  # bars in a row group of Parquet
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


def chunks(batches: Iterable[pa.RecordBatch], query: BulkQuery, form: str, version: str) -> Chunks:
    """Yields the record batches of a query in a format: arrow, parquet, csv or json."""
    schema = schema_of(query, {"version": version})
    if form == "arrow":
        return arrow_stream(batches, schema, query.compression or "lz4")
    if form == "parquet":
        return parquet(batches, schema, query.compression or "zstd")
    return csv(batches, schema, query.market) if form == "csv" else json(batches)


def arrow_stream(batches: Iterable[pa.RecordBatch], schema: pa.Schema, compression: str) -> Chunks:
    """Yields an Arrow IPC stream, its buffers compressed with lz4 or zstd; "none" for not at all."""
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    return _written(batches, lambda sink: pa.ipc.new_stream(sink, schema, options=options))


def parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema, compression: str) -> Chunks:
    """Yields a Parquet file, row group by row group."""
    import pyarrow.parquet as pq

    tables = _row_groups(batches)
    return _written(
        tables,
        lambda sink: pq.ParquetWriter(sink, schema, compression=compression),
        pq.ParquetWriter.write_table,
    )


def csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, market: str) -> Chunks:
    """Yields CSV. Codes have their exchange: spreadsheets and pandas read 000001 as 1."""
    from pyarrow.csv import CSVWriter

    safe = (_with_exchanges(batch, market) for batch in batches)
    return _written(safe, lambda sink: CSVWriter(sink, schema.remove_metadata()))


def json(batches: Iterable[pa.RecordBatch]) -> Chunks:
    """Yields an array of objects, one for each row."""
    start = b"["
    for batch in batches:
        yield start + orjson.dumps(batch.to_pylist())[1:-1]
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


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        if sum(one.num_rows for one in some) >= ROW_GROUP:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)


def _with_exchanges(batch: pa.RecordBatch, market: str) -> pa.RecordBatch:
    for name in filter(batch.schema.names.__contains__, CODES):
        place, coded = batch.schema.get_field_index(name), batch.column(name).dictionary_encode()
        codes = (exported_code(market, code) for code in coded.dictionary.to_pylist())
        batch = batch.set_column(
            place, batch.schema.field(place), from_texts(map(escape_formula, codes)).take(coded.indices)
        )
    return batch


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
