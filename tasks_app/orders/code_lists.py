"""Stock codes as people bring them: pasted, or in a file."""

import csv
import re
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from tasks_app import errors
from tasks_app.sources.text_encoding import decode_text

MAX_BYTES = 500_000
HEADINGS = frozenset({"code", "codes", "symbol", "ticker", "stock_code", "代码", "证券代码", "股票代码"})
_BETWEEN = re.compile(r"[\s,;|，、；\u3000]+")
_LOOKS_LIKE_A_CODE = re.compile(r"([A-Za-z]{2}\.?)?\d{5,6}(\.[A-Za-z]{2,4})?|[A-Za-z]{1,6}([.-][A-Za-z])?")


class FileTooLarge(errors.OrderError):
    code = "file_too_large"
    field = "file"
    template = _("The file is larger than %(limit)s kB. A list of 10,000 codes takes about 100 kB.")


class NotAList(errors.OrderError):
    code = "not_a_list"
    field = "file"
    template = _("The file is not text in UTF-8 or GBK. Save the sheet as CSV, then choose it again.")


class EmptyList(errors.OrderError):
    code = "empty_list"
    field = "file"
    template = _("The file contains no stock codes.")


def split(text: str) -> list[str]:
    """The codes of a pasted list: between them commas, Chinese ones too, semicolons, blanks or lines."""
    return [code for code in _BETWEEN.split(text) if code]


def read(content: bytes) -> list[str]:
    """The codes of a text file, or of a CSV file's column of codes (by its heading, else the first).

    Raises `FileTooLarge`, `NotAList` or `EmptyList`.
    """
    if len(content) > MAX_BYTES:
        raise FileTooLarge(limit=MAX_BYTES // 1000)
    try:
        text, _encoding = decode_text(content)
    except ValueError as error:
        raise NotAList() from error
    codes = _column(_rows(text))
    if not codes:
        raise EmptyList()
    return codes


def _rows(text: str) -> list[list[str]]:
    """The lines, cut at tabs, semicolons or commas: at what the first line has."""
    lines = text.strip().splitlines()
    head = lines[0] if lines else ""
    delimiter = next((mark for mark in "\t;," if mark in head), ",")
    rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter))
    return [row for row in rows if any(row)]


def _column(rows: Sequence[Sequence[str]]) -> list[str]:
    """The cells that hold the codes."""
    if not rows:
        return []
    for place, heading in enumerate(rows[0]):
        if heading.lower() in HEADINGS:
            return [row[place] for row in rows[1:] if len(row) > place and row[place]]
    cells = [code for row in rows for cell in row for code in split(cell)]
    if all(_LOOKS_LIKE_A_CODE.fullmatch(cell) for cell in cells):
        return cells
    return [row[0] for row in rows if row[0]]
