"""A file as a header and rows of text, whatever its format and encoding. Never more than MAX_BYTES.

`parse_csv` reads any CSV file with its header in the first line; `parse_quotes` reads one of quotes, whose
header may come later, be cut otherwise than its rows, or have several lines.
"""

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from tasks_app.sources.csv_folder.headings import REQUIRED_NUMBERS, count_known, parse_heading
from tasks_app.sources.csv_folder.problems import file_error
from tasks_app.sources.text_encoding import decode_text

MAX_BYTES = 16 * 2**20  # a stock's whole history is a tenth of that
MAX_UNPACKED_BYTES = 16 * MAX_BYTES
MAX_WORKBOOK_BYTES = 4 * MAX_BYTES  # unpacked; in memory it is several times as much
DELIMITERS = ",;\t|"
SPACES = " "  # any number of them
MAX_HEADER_LINE = 20
MIN_KNOWN = 3  # columns of ours that make a line a header
OLE = b"\xd0\xcf\x11\xe0"  # how the workbooks of old Excel begin
FOOTER = re.compile(r"[#*\s]*(?:数据来源|来源|注[:：]|source|data (?:from|provided|source)|©)", re.IGNORECASE)
Row = tuple[int, list[str]]  # a line's number and its fields


@dataclass(frozen=True)
class Table:
    """`rows` yields pairs of a line's number and its fields. Iterating over it raises `UnreadableFile`."""

    encoding: str
    header: list[str]
    rows: Iterator[Row]


@dataclass
class QuoteTable:
    """The table of a file of quotes, without blank lines.

    `remarks` are the lines before the header and after the rows, `header_lines` the numbers of the lines that
    repeat the header, `made_by` the program that writes such tables, if it is known.
    """

    encoding: str
    header: list[str]
    rows: list[Row]
    line: int = 1  # of the header
    remarks: list[str] = field(default_factory=list)
    header_lines: list[int] = field(default_factory=list)
    made_by: str = ""


def read_bytes(path: Path) -> bytes:
    """Returns the file's content. Raises `UnreadableFile`, or `OSError` when it can't be opened."""
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise file_error("too_big", limit=MAX_BYTES // 2**20)
    return content


def open_regular(path: Path) -> BinaryIO:
    """Returns the open file. A link that took its place since the folder was listed is not followed."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def read_table(path: Path) -> QuoteTable:
    """Returns the file's table. Raises `UnreadableFile`, or `OSError` when it can't be opened."""
    return parse_content(read_bytes(path), path.suffix)


def parse_content(content: bytes, suffix: str) -> QuoteTable:
    """Returns the table of a file whose name ends with `suffix`. Raises `UnreadableFile`."""
    if content.startswith(OLE):
        raise file_error("old_excel")
    if suffix.lower() == ".parquet":
        return _parse_parquet(content)
    if suffix.lower() == ".xlsx":
        return _parse_workbook(content)
    return parse_quotes(content)


def parse_csv(content: bytes) -> Table:
    """Returns the table of a CSV file in UTF-8, UTF-16 or GBK, without blank lines. Raises `UnreadableFile`.

    Fields are separated by whichever of comma, semicolon, tab and bar the header has most of.
    """
    text, encoding = _decode(content)
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    rows = _csv_rows(text, delimiter)
    _, header = next(rows, (0, []))
    if not header:
        raise file_error("no_header")
    return Table(encoding, header, rows)


def parse_quotes(content: bytes) -> QuoteTable:
    """Returns the table of a CSV or text file of quotes. Raises `UnreadableFile`.

    The header is the line of the first 20 with the most columns that are known; lines before it are remarks.
    The rows may be cut by another mark than the header, as 通达信 does.
    """
    text, encoding = _decode(content)
    lines = text.splitlines(keepends=True)
    place, delimiter = _find_header(lines)
    remarks = [line.strip() for line in lines[:place] if line.strip(" \t\r\n,;|")]
    header_text, body = lines[place], "".join(lines[place + 1 :])
    _, header = next(_csv_rows(header_text, delimiter), (0, []))
    rows = list(_csv_rows(body, _row_delimiter(body, len(header), delimiter), place + 1))
    return _make_table(QuoteTable(encoding, header, rows, place + 1, remarks))


def _decode(content: bytes) -> tuple[str, str]:
    try:
        text, encoding = decode_text(content)
    except ValueError as error:
        raise file_error("encoding") from error
    if not text.strip():
        raise file_error("no_header")
    return text, encoding


def _csv_rows(text: str, delimiter: str, lines_before: int = 0) -> Iterator[Row]:
    if delimiter == SPACES:
        lines = enumerate(text.splitlines(), lines_before + 1)
        yield from ((number, fields) for number, line in lines if (fields := line.split()))
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield reader.line_num + lines_before, fields
    except csv.Error as error:
        raise file_error("malformed", reader.line_num + lines_before, reason=str(error)) from error


def _find_header(lines: Sequence[str]) -> tuple[int, str]:
    """Returns the place of the header among the lines, and what separates its fields."""
    first = next(place for place, line in enumerate(lines) if line.strip())
    best = (MIN_KNOWN - 1, first, max(DELIMITERS, key=lines[first].count))
    for place, line in enumerate(lines[:MAX_HEADER_LINE]):
        for delimiter in DELIMITERS:
            if delimiter in line:
                known = count_known(next(csv.reader([line], delimiter=delimiter), []))
                if known > best[0]:
                    best = (known, place, delimiter)
                if known >= len(REQUIRED_NUMBERS) + 1:
                    return place, delimiter
        if count_known(line.split()) > len(REQUIRED_NUMBERS):
            return place, SPACES
    return best[1], best[2]


def _row_delimiter(body: str, width: int, delimiter: str) -> str:
    """Returns what separates the fields of the rows: the header's mark, unless only another fits."""
    first = next((line for line in body.splitlines()[:5] if line.strip()), "")
    widths = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in DELIMITERS}
    widths[SPACES] = len(first.split())
    if widths[delimiter] == width:
        return delimiter
    return next((mark for mark in widths if widths[mark] == width), delimiter)


def _make_table(table: QuoteTable) -> QuoteTable:
    """Returns the table without footers and repeated headers, and with a single line of headings."""
    while table.rows and FOOTER.match(table.rows[-1][1][0]) and not any(table.rows[-1][1][1:]):
        table.remarks.append(table.rows.pop()[1][0].strip())
    _join_levels(table)
    repeated = [line for line, fields in table.rows if fields == table.header]
    if repeated:
        table.header_lines += repeated
        table.rows = [row for row in table.rows if row[1] != table.header]
    return table


def _join_levels(table: QuoteTable) -> None:
    """Makes one line of headings of yfinance's three: kinds of price, tickers, and the index's name, if any.

    With several tickers, a row becomes one row per ticker that has values, with a column of tickers.
    """
    rows = table.rows[:2]
    tickers = _level_above(table) or next((fields for _, fields in rows if _is_ticker_level(fields)), None)
    index = next((fields for _, fields in rows if _is_index_level(fields)), None)
    if tickers is None or len(tickers) != len(table.header):
        return
    if index is None and not tickers[0].strip().lower().startswith("ticker"):
        return
    body = [row for row in table.rows if row[1] is not tickers and row[1] is not index]
    names = list(dict.fromkeys(ticker.strip() for ticker in tickers[1:]))
    places = {
        name: {table.header[at]: at for at in range(1, len(tickers)) if tickers[at].strip() == name}
        for name in names
    }
    kinds = list(dict.fromkeys(table.header[1:]))
    table.header = [index[0] if index else "Date", *kinds, "Ticker"]
    table.rows = []
    for line, fields in body:
        for name in names:
            values = [fields[at] if (at := places[name].get(kind)) is not None and at < len(fields) else ""
                      for kind in kinds]  # fmt: skip
            if len(names) == 1 or any(map(str.strip, values)):
                table.rows.append((line, [fields[0], *values, name]))
    table.made_by = "yfinance"


def _level_above(table: QuoteTable) -> list[str] | None:
    """Returns the line of tickers above the headings, as `group_by="ticker"` writes it."""
    for remark in table.remarks:
        fields = next(csv.reader([remark]), [])
        if len(fields) == len(table.header) and _is_ticker_level(fields):
            return fields
    return None


def _is_ticker_level(fields: Sequence[str]) -> bool:
    label = fields[0].strip().lower()
    return (
        label in ("ticker", "tickers", "symbols", "") and all(map(str.strip, fields[1:])) and len(fields) > 1
    )


def _is_index_level(fields: Sequence[str]) -> bool:
    return parse_heading(fields[0]).column == "day" and not any(map(str.strip, fields[1:]))


def _parse_parquet(content: bytes) -> QuoteTable:
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
        columns = [[as_text(value) for value in column.to_pylist()] for column in table.columns]
    except MemoryError:  # pyarrow's is an ArrowException, too; the file is not at fault
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise file_error("malformed", reason=str(error)) from error
    rows = [(number, list(row)) for number, row in enumerate(zip(*columns, strict=True), 1)]
    header = ["" if name == "__index_level_0__" else name for name in table.column_names]
    return QuoteTable("Parquet", header, rows, 0)


def _parse_workbook(content: bytes) -> QuoteTable:
    """Returns the table of the only sheet with quotes, or of the first sheet if none has any."""
    import openpyxl

    _check_unpacked_size(content)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # which the file may overstate
            sheets.append((sheet.title, _sheet_rows(sheet.values)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise file_error("malformed", reason=str(error) or type(error).__name__) from error
    with_rows = [(title, rows) for title, rows in sheets if rows]
    if not with_rows:
        raise file_error("no_header")
    headers = [(title, rows, _header_place(rows)) for title, rows in with_rows]
    with_quotes = [each for each in headers if each[2] is not None]
    if len(with_quotes) > 1:
        raise file_error("several_sheets", sheets=", ".join(title for title, *_ in with_quotes))
    _, rows, place = (with_quotes or headers)[0]
    above, (line, header), below = rows[: place or 0], rows[place or 0], rows[(place or 0) + 1 :]
    width = max(at for at, cell in enumerate(header, 1) if cell)
    remarks = [" ".join(filter(None, fields)) for _, fields in above]
    rows = [(number, (fields + [""] * width)[: max(width, _width(fields))]) for number, fields in below]
    return _make_table(QuoteTable("Excel", header[:width], rows, line, remarks))


def _check_unpacked_size(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise file_error("malformed", reason=str(error)) from error
    if size > MAX_WORKBOOK_BYTES:
        raise file_error("too_big", limit=MAX_WORKBOOK_BYTES // 2**20)


def _sheet_rows(values: Any) -> list[Row]:
    rows = ((number, [as_text(value) for value in cells]) for number, cells in enumerate(values, 1))
    return [(number, fields) for number, fields in rows if any(fields)]


def _header_place(rows: Sequence[Row]) -> int | None:
    known = [count_known(fields) for _, fields in rows[:MAX_HEADER_LINE]]
    best = max(known, default=0)
    return known.index(best) if best >= MIN_KNOWN else None


def _width(fields: Sequence[str]) -> int:
    return max((at for at, cell in enumerate(fields, 1) if cell), default=0)


def as_text(value: Any) -> str:
    """Returns a value of Parquet or Excel as a CSV file would have it."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value).strip()
