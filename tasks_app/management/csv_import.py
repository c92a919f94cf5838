"""Small tables that people bring as CSV: read strictly, with every mistake named by its line."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Generic, TypeVar

from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.errors import CollectorError

Row = TypeVar("Row")
ENCODINGS = ("utf-8-sig", "gb18030")
NAMED = 10  # mistakes in a sentence
DAY_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")


class BadSheet(CollectorError):
    """A file that is not what it should be; not one of its lines was stored."""

    code = "bad_sheet"
    template = gettext_lazy("Nothing was stored of %(path)s:\n%(problems)s")


@dataclass(frozen=True)
class Sheet(Generic[Row]):
    """How to read one kind of table.

    `columns` has each column's names, in lower case, English first; `needed` says which can't be left
    out. `read` makes a row of a line's values by column, and raises ValueError with one sentence.
    """

    columns: Mapping[str, Sequence[str]]
    needed: Sequence[str]
    read: Callable[[dict[str, str]], Row]

    def rows(self, path: Path) -> list[Row]:
        """All rows of the file. Raises `BadSheet`, which names the first mistakes by line."""
        lines = csv.reader(io.StringIO(_text(path), newline=""))
        try:
            places = self._places(next(lines, []), path)
            found = [(lines.line_num, line) for line in lines if any(cell.strip() for cell in line)]
        except csv.Error as error:
            raise BadSheet(path=path, problems=_at(lines.line_num, str(error))) from error
        rows, problems = [], []
        for number, line in found:
            try:
                rows.append(self.read(_values(line, places)))
            except ValueError as error:
                problems.append(_at(number, str(error)))
        if problems:
            more = [_("… and %(count)d more") % {"count": len(problems) - NAMED}] * (len(problems) > NAMED)
            raise BadSheet(path=path, problems="\n".join([*problems[:NAMED], *more]))
        if not rows:
            raise BadSheet(path=path, problems=_("the file has no line besides its header"))
        return rows

    def _places(self, header: Sequence[str], path: Path) -> dict[str, int]:
        heads = [cell.strip().lower() for cell in header]
        places = {
            column: heads.index(name)
            for column, names in self.columns.items()
            for name in names
            if name in heads
        }
        if missing := [column for column in self.needed if column not in places]:
            text = _("no column %(missing)s; there are: %(columns)s")
            problem = text % {"missing": ", ".join(missing), "columns": ", ".join(heads) or "–"}
            raise BadSheet(path=path, problems=_at(1, problem))
        return places


def day(text: str) -> date:
    """2024-01-31, 20240131 or 2024/01/31. Raises ValueError with a sentence."""
    for shape in DAY_FORMATS:
        try:
            return datetime.strptime(text, shape).date()
        except ValueError:
            continue
    raise ValueError(_("“%(text)s” is no day as YYYY-MM-DD") % {"text": text})


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadSheet(path=path, problems=str(error.strerror)) from error
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadSheet(path=path, problems=_("the text is neither UTF-8 nor GBK; save it as UTF-8"))


def _values(line: Sequence[str], places: Mapping[str, int]) -> dict[str, str]:
    return {column: line[place].strip() if place < len(line) else "" for column, place in places.items()}


def _at(number: int, problem: str) -> str:
    return _("line %(number)d: %(problem)s") % {"number": number, "problem": problem}
