"""A file as a header and rows of text, whatever its format and encoding. Never more than MAX_BYTES."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tasks_app.sources.csv_folder.problems import Unreadable, trouble

MAX_BYTES = 16 * 2**20  # a stock's whole history is a tenth of that
MAX_UNPACKED = 16 * MAX_BYTES
ENCODINGS = (("utf-8-sig", "UTF-8"), ("gb18030", "GBK"))
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """`rows` are pairs of a line's number and its fields. Running through them raises `Unreadable`."""

    encoding: str
    header: list[str]
    rows: Iterator[tuple[int, list[str]]]


def read(path: Path) -> Table:
    """The file's table. Raises `Unreadable`, or OSError when it can't be opened."""
    data = _bytes(path)
    return _parquet(data) if path.suffix.lower() == ".parquet" else _text(data)


def _bytes(path: Path) -> bytes:
    # A link put there since the folder was listed is not followed.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise trouble("too_big", limit=MAX_BYTES // 2**20)
    return data


def _text(data: bytes) -> Table:
    text, encoding = _decoded(data)
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows = _lines(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    _, header = next(rows, (0, []))
    if not header:
        raise trouble("no_header")
    return Table(encoding, header, rows)


def _decoded(data: bytes) -> tuple[str, str]:
    """UTF-8 is tried first: text in GBK is hardly ever valid UTF-8, but the reverse often is."""
    for codec, name in ENCODINGS:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name
    raise trouble("encoding")


def _lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold anything."""
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise trouble("malformed", reader.line_num, why=str(error)) from error
        if any(map(str.strip, fields)):
            yield reader.line_num, fields


def _parquet(data: bytes) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise trouble("parquet_missing") from error
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(n).total_byte_size for n in groups) > MAX_UNPACKED:
            raise trouble("too_big", limit=MAX_UNPACKED // 2**20)
        table = file.read()
        columns = [[_told(value) for value in column.to_pylist()] for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise trouble("malformed", why=str(error)) from error
    rows = ((number, list(row)) for number, row in enumerate(zip(*columns, strict=True), 1))
    return Table("Parquet", table.column_names, rows)


def _told(value: Any) -> str:
    """A value as a CSV file would have it."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)


__all__ = ["MAX_BYTES", "Table", "Unreadable", "read"]
