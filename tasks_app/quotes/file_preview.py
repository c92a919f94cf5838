"""What the source `csv` would take of a file, and what it would leave out and why, told before a collection.

A file is checked stock by stock, so that the check of a whole market can go on in another request, and show
its progress. The report is plain JSON without any sentence: those are made in the reader's language.
"""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks_app.quotes import validation
from tasks_app.sources.base import Request, SourceError
from tasks_app.sources.csv_folder.archives import SeriesKey
from tasks_app.sources.csv_folder.bars import ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.column_mapping import Mappings
from tasks_app.sources.csv_folder.layout import ARCHIVES, QuoteFile
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.source import CsvSource, merge, open_file, read_file

MAX_PROBLEMS = 100  # that are kept; all are counted
MAX_NAMED = 5  # stocks
Contents = list[tuple[str, ParsedFile]]  # by the names of files
Translate = Callable[[str], str]


@dataclass
class Report:
    """What is known of a file after `done` of `total` parts (stocks of an archive, else 1).

    `rows` are those below the headings. `bars` will be taken; `refused` will not, by code; `suspended` are
    days without trading; `unreadable` counts the stocks that fail, `unreadable_rows` their rows as far as
    they are known. `units` counts stocks by "shares in a volume|how this is known".
    """

    done: int = 0
    total: int = 1
    rows: int = 0
    bars: int = 0
    suspended: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    stocks: int = 0
    first_stocks: list[str] = field(default_factory=list)
    first_day: str = ""
    last_day: str = ""
    formats: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    unused_columns: list[str] = field(default_factory=list)
    notes: list[list[Any]] = field(default_factory=list)  # [code, values, stocks]
    unreadable: int = 0
    unreadable_rows: int = 0
    problems: list[list[Any]] = field(default_factory=list)  # [name, line, code, values]
    problem_count: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all parts were read."""
        return self.done >= self.total

    @property
    def left_out(self) -> int:
        """The rows that will not be taken."""
        return self.rows - self.bars

    def noted(self, code: str) -> int:
        """Returns the number of rows that the notes of a code count."""
        return sum(values["count"] for of_code, values, _ in self.notes if of_code == code)

    def described_notes(self, translate: Translate) -> list[tuple[str, int]]:
        """Returns the sentences on what is left out or changed, with the number of stocks."""
        return [(Note(code, values).describe(translate), stocks) for code, values, stocks in self.notes]

    def described_problems(self, translate: Translate) -> list[tuple[str, int, str]]:
        """Returns the names of what can't be read, lines (0: none) and sentences."""
        return [
            (name, line, Problem(code, line, values).describe(translate))
            for name, line, code, values in self.problems
        ]


class FileCheck:
    """The check of one file against the rules of the source, and against the files of its folder."""

    def __init__(
        self,
        file: QuoteFile,
        *,
        today: date,
        name: str = "",
        volume_unit: str = "",
        mappings: Mappings | None = None,
        folder: Path | None = None,
    ) -> None:
        """`folder` has further files that may hold the same days. Bars after `today` are refused.

        `name` stands for the file where its path is not its own.
        """
        self._name = name or file.path.name
        self._file, self._today, self._unit = file, today, volume_unit
        self._mappings = mappings or {}
        self._others = _source_of(folder, volume_unit) if folder else None

    def run(self, report: Report) -> Generator[None]:
        """Continues the report, and yields after each part of the file."""
        try:
            yield from self._run_archive(report) if self._is_archive() else self._run_file(report)
        except (UnreadableFile, OSError) as error:
            _add_error(report, self._name, error)
            report.unreadable, report.done = 1, report.total
            yield

    def _is_archive(self) -> bool:
        path = self._file.path
        return path.is_dir() or path.suffix.lower() == ".zip" or (
            path.suffix.lower() in ARCHIVES and not self._file.code
        )  # fmt: skip

    def _run_file(self, report: Report) -> Generator[None]:
        content = read_file(self._file, self._unit, self._mappings)
        for (market, code), stock in content.stocks.items():
            self._compare((market, self._file.adjust, code), [(self._name, stock)])
        self._add(report, content)
        report.done = 1
        yield

    def _run_archive(self, report: Report) -> Generator[None]:
        archive = open_file(self._file, self._unit, self._mappings)
        try:
            series = sorted(archive.series())
            if not report.done:
                report.total = len(series)
                report.notes += [[note.code, note.values, 0] for note in archive.notes]
                report.rows += sum(note.values["count"] for note in archive.notes if note.code != "left_out")
            for key in series[report.done :]:
                rows = archive.row_count(key)
                try:
                    self._add_series(report, key, archive.read(key))
                except (UnreadableFile, OSError) as error:
                    _add_error(report, key[2], error)
                    report.unreadable += 1
                    report.unreadable_rows += rows or 0
                    report.rows += rows or 0
                report.done += 1
                yield
        finally:
            archive.close()

    def _add_series(self, report: Report, key: SeriesKey, contents: Contents) -> None:
        found = [(name, stock) for name, content in contents for stock in content.stocks.values()]
        merge(key[2], found)
        self._compare(key, found)
        for _, content in contents:
            self._add(report, content)

    def _compare(self, key: SeriesKey, found: list[tuple[str, ParsedStock]]) -> None:
        """Raises `UnreadableFile` if the folder's files have other values of the same days."""
        market, adjust, code = key
        if self._others is None or not self._others.knows(key):
            return
        try:
            answer = self._others.fetch(Request(market, code, date.min, date.max, adjust))
        except SourceError as error:
            raise file_error("malformed", reason=str(error)) from error
        merge(code, [*found, ("COLLECTOR_CSV_DIR", ParsedStock(list(answer), list(answer.suspended)))])

    def _add(self, report: Report, content: ParsedFile) -> None:
        """Adds what a readable file holds."""
        refused = count_refused(content, self._file.adjust, self._today)
        days = [bar.day.isoformat() for bar in content.bars]
        report.rows += content.rows
        report.bars += len(days) - refused.total()
        report.suspended += content.suspended
        report.refused = dict(Counter(report.refused) + refused)
        report.stocks += len(content.stocks)
        report.first_stocks = [*report.first_stocks, *(code for _, code in content.stocks)][:MAX_NAMED]
        if days:
            report.first_day = min(filter(None, [report.first_day, *days]))
            report.last_day = max(report.last_day, *days)
        _count(report.formats, f"{content.format} {content.encoding}".strip())
        _count(report.units, f"{content.shares_per_volume}|{content.unit_known_by}")
        report.unused_columns = list(dict.fromkeys([*report.unused_columns, *content.unused_columns]))
        for note in preview_notes(content):
            _add_note(report, note)


@lru_cache(1)
def _source_of(folder: Path, volume_unit: str) -> CsvSource:
    """Returns the source of a folder, kept between the requests of a check: it knows what has changed."""
    return CsvSource(folder, volume_unit)


def preview_notes(content: ParsedFile) -> list[Note]:
    """Returns what to say of a file before it is collected: also that only its name says whose it is."""
    named_only = [Note("code_by_name", {"count": 1})] if content.is_named_only else []
    return [*content.notes, *named_only]


def count_refused(content: ParsedFile, adjust: str, today: date) -> Counter[str]:
    """Returns how many of the bars a collection would refuse, by code."""
    context = validation.Context(today=today)
    refused: Counter[str] = Counter()
    for (market, code), stock in content.stocks.items():
        request = Request(market, code, date.min, date.max, adjust)
        refused.update(issue.code for issue in validation.validate(stock.bars, request, context).refused)
    return refused


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _add_note(report: Report, note: Note) -> None:
    """Adds a note to an equal one, whose counts add up."""
    words = {name: value for name, value in note.values.items() if name != "count"}
    for each in report.notes:
        code, values, _ = each
        if code == note.code and {n: v for n, v in values.items() if n != "count"} == words:
            each[2] += 1
            if "count" in values:
                values["count"] += note.values["count"]
            return
    report.notes.append([note.code, dict(note.values), 1])


def _add_error(report: Report, name: str, error: UnreadableFile | OSError) -> None:
    unreadable = file_error("malformed", reason=error.strerror) if isinstance(error, OSError) else error
    report.problem_count += unreadable.count
    room = MAX_PROBLEMS - len(report.problems)
    found: list[Problem] = unreadable.problems[:room]
    report.problems += [[name, each.line, each.code, _plain(each.values)] for each in found]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else str(value) for name, value in values.items()}
