"""A file as a header and rows of text, whatever its format and encoding. Never more than MAX_BYTES."""

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tasks_app.sources.csv_folder.problems import file_error
from tasks_app.sources.text_encoding import decode_text

MAX_BYTES = 16 * 2**20  # a stock's whole history is a tenth of that
MAX_UNPACKED_BYTES = 16 * MAX_BYTES
DELIMITERS = ",;\t"
_DASHES = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_SLASHES = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(?: .*)?", re.ASCII)


@dataclass(frozen=True)
class Table:
    """`rows` yields pairs of a line's number and its fields. Iterating over it raises `UnreadableFile`."""

    encoding: str
    header: list[str]
    rows: Iterator[tuple[int, list[str]]]


def read_table(path: Path) -> Table:
    """Returns the file's table. Raises `UnreadableFile`, or `OSError` when it can't be opened."""
    # A link that took the file's place since the folder was listed is not followed.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise file_error("too_big", limit=MAX_BYTES // 2**20)
    return _parse_parquet(content) if path.suffix.lower() == ".parquet" else parse_csv(content)


def parse_csv(content: bytes) -> Table:
    """Returns the table of a CSV file in UTF-8 or GBK, without blank lines. Raises `UnreadableFile`.

    Fields are separated by whichever of comma, semicolon and tab the header has most of.
    """
    try:
        text, encoding = decode_text(content)
    except ValueError as error:
        raise file_error("encoding") from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    rows = _csv_rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    _, header = next(rows, (0, []))
    if not header:
        raise file_error("no_header")
    return Table(encoding, header, rows)


def _csv_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield reader.line_num, fields
    except csv.Error as error:
        raise file_error("malformed", reader.line_num, reason=str(error)) from error


def _parse_parquet(content: bytes) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise file_error("parquet_missing") from error
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content))
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(n).total_byte_size for n in groups) > MAX_UNPACKED_BYTES:
            raise file_error("too_big", limit=MAX_UNPACKED_BYTES // 2**20)
        table = file.read()
        columns = [[_as_text(value) for value in column.to_pylist()] for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise file_error("malformed", reason=str(error)) from error
    rows = ((number, list(row)) for number, row in enumerate(zip(*columns, strict=True), 1))
    return Table("Parquet", table.column_names, rows)


def _as_text(value: Any) -> str:
    """Returns a Parquet value as a CSV file would have it."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)


def parse_day(text: str) -> date:
    """Returns the day of 2024-01-02, 2024/1/2, 20240102, or midnight of a day. Raises `ValueError`."""
    if parts := _DASHES.fullmatch(text) or _SLASHES.fullmatch(text):
        return date(*map(int, parts.groups()))
    moment = datetime.fromisoformat(text)
    if moment.time() != moment.time().min:
        raise ValueError(f"{text} is not midnight")
    return moment.date()
