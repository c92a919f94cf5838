"""CSV files that commands and pages import: parsed strictly, with every mistake named by its line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar

from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.errors import CollectorError
from tasks_app.sources.csv_folder import days, tables
from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error

Row = TypeVar("Row")
MAX_NAMED = 10  # mistakes in a sentence


class InvalidCsv(CollectorError):
    """A file can't be imported; not one of its lines was stored."""

    code = "bad_sheet"
    template = gettext_lazy("Nothing was stored of %(path)s:\n%(problems)s")


@dataclass(frozen=True)
class CsvSchema(Generic[Row]):
    """How to parse one kind of file.

    `columns` has each column's names in lower case, English first; `required` lists those that can't be left
    out. `parse` turns a line's values by column into a row, and raises `ValueError` with one sentence.
    """

    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    parse: Callable[[dict[str, str]], Row]

    def rows(self, path: Path) -> list[Row]:
        """Returns all rows of the file. Raises `InvalidCsv`, which names the first mistakes by line."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidCsv(path=path, problems=error.strerror) from error
        return self.parse_rows(content, str(path))

    def parse_rows(self, content: bytes, path: str) -> list[Row]:
        """Returns all rows of a file whose bytes are at hand. Raises `InvalidCsv`, which names it."""
        rows, problems = [], []
        try:
            table = tables.parse_csv(content)
            positions = self._positions(table.header)
            for line, fields in table.rows:
                values = {
                    column: fields[at].strip() if at < len(fields) else "" for column, at in positions.items()
                }
                try:
                    rows.append(self.parse(values))
                except ValueError as error:
                    problems.append(_at_line(line, str(error)))
        except UnreadableFile as error:
            problem = error.problems[0]
            raise InvalidCsv(path=path, problems=_at_line(problem.line, problem.describe(_))) from error
        if len(problems) > MAX_NAMED:
            problems[MAX_NAMED:] = [_("… and %(count)d more") % {"count": len(problems) - MAX_NAMED}]
        if not rows and not problems:
            problems = [_("the file has no line below its header")]
        if problems:
            raise InvalidCsv(path=path, problems="\n".join(problems))
        return rows

    def _positions(self, header: Sequence[str]) -> dict[str, int]:
        headings = [cell.strip().lower() for cell in header]
        positions = {
            column: headings.index(name)
            for column, names in self.columns.items()
            for name in names
            if name in headings
        }
        if missing := [column for column in self.required if column not in positions]:
            raise file_error("column_missing", 1, missing=", ".join(missing), columns=", ".join(headings))
        return positions


def parse_day(text: str) -> date:
    """Returns the day of 2024-01-31, 20240131 or 2024/01/31. Raises `ValueError` with a sentence."""
    try:
        return days.parse_day(text)
    except ValueError:
        raise ValueError(_("“%(text)s” is not a date (YYYY-MM-DD)") % {"text": text}) from None


def _at_line(line: int, problem: str) -> str:
    return _("line %(number)d: %(problem)s") % {"number": line, "problem": problem} if line else problem
