"""Lists of stock codes from users: pasted text, or an uploaded file."""

import csv
import re
from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from tasks_app import errors
from tasks_app.sources.text_encoding import decode_text

MAX_BYTES = 500_000
HEADINGS = frozenset(
    {"code", "codes", "symbol", "ticker", "stock_code", "ts_code", "代码", "证券代码", "股票代码"}
)
_SEPARATORS = re.compile(r"[\s,;|，、；\u3000]+")
_BLOOMBERG = re.compile(r"(?<=\d) +(CH|CG|CS|HK)(?: +Equity)?(?![\w.])", re.IGNORECASE)  # 600519 CH
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


def split_codes(text: str) -> list[str]:
    """Returns the codes of a pasted list, separated by commas (also Chinese), semicolons, spaces or lines."""
    return [code for code in _SEPARATORS.split(_BLOOMBERG.sub(r".\1", text)) if code]


def parse_file(content: bytes) -> list[str]:
    """Returns the codes of a text file, or of the code column of a CSV file.

    That column is found by its heading, else it is the first. The delimiter is the first of tab, semicolon
    and comma in the first line. Raises `FileTooLarge`, `NotAList` or `EmptyList`.
    """
    if len(content) > MAX_BYTES:
        raise FileTooLarge(limit=MAX_BYTES // 1000)
    try:
        text, _encoding = decode_text(content)
    except ValueError as error:
        raise NotAList() from error
    lines = text.strip().splitlines()
    delimiter = next((mark for mark in "\t;," if lines and mark in lines[0]), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    codes = _code_column([row for row in rows if any(row)])
    if not codes:
        raise EmptyList()
    return codes


def _code_column(rows: Sequence[Sequence[str]]) -> list[str]:
    for index, heading in enumerate(rows[0] if rows else ()):
        if heading.lower() in HEADINGS:
            return [row[index] for row in rows[1:] if len(row) > index and row[index]]
    cells = [code for row in rows for cell in row for code in split_codes(cell)]
    if all(_LOOKS_LIKE_A_CODE.fullmatch(cell) for cell in cells):
        return cells  # codes in any number of columns
    return [row[0] for row in rows if row[0]]
