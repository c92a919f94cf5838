"""A folder of files of daily bars: CSV, text, Excel, or Parquet where pyarrow is installed.

`layout` says how files are laid out and named, `tables` and `bars` how they are read, `shared_files` what
becomes of files that hold several stocks.
"""

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.sources.base import Answer, Bar, LeftAside, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.cn_codes import exchange_of
from tasks_app.sources.csv_folder.bars import BarParser, ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.layout import Layout, QuoteFile, scan_folder
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.shared_files import SharedFiles
from tasks_app.sources.csv_folder.tables import parse_content, read_bytes

logger = logging.getLogger(__name__)
NAMED_PROBLEMS = 3  # in an error's sentence


class CsvSource:
    """The files of COLLECTOR_CSV_DIR. A code is only ever looked up among the files of the scanned folder."""

    name: ClassVar[str] = "csv"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ADJUSTS
    free_list: ClassVar[bool] = True
    local: ClassVar[bool] = True
    grows: ClassVar[bool] = True
    retracts: ClassVar[bool] = True
    needs: ClassVar[str] = "csv_dir"

    def __init__(self, folder: Path, volume_unit: str = "") -> None:
        self._folder, self._volume_unit = folder, volume_unit
        self._layout: Layout | None = None
        self._shared = SharedFiles(lambda file: read_file(file, volume_unit))

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source on COLLECTOR_CSV_DIR."""
        return cls(Path(conf.csv_dir), conf.csv_volume_unit)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the stocks that have files, without names. Raises `Permanent` when there are none."""
        return self._symbols(market, ADJUSTS)

    def symbols_adjusted(self, market: str, adjust: str) -> Sequence[Symbol]:
        """Returns the stocks that have files in this adjustment. Raises `Permanent` when there are none."""
        return self._symbols(market, (adjust,))

    def left_aside(self, market: str) -> Sequence[LeftAside]:
        """Returns the entries of the folder that the last list left aside, with the reasons."""
        layout = self._layout or self._scan()
        broken = [
            (file.path, problem) for file, problem in self._shared.broken if file.market in ("", market)
        ]
        reasons: list[tuple[Path, Problem | Note]] = [*layout.ignored, *broken, *self._shared.notes]
        return [LeftAside(str(path.relative_to(self._folder)), reason.describe()) for path, reason in reasons]

    def fetch(self, request: Request) -> Answer:
        """Returns the bars of the requested days. The whole files are read, and must be readable."""
        found: list[tuple[str, ParsedStock]] = []
        notes: list[Note] = []
        for file in self._find(request):
            content = self._read(file, request)
            found += [(file.path.name, stock) for stock in content.stocks.values()]
            notes += (note for note in content.notes if note.code != "suspended")
        shared = self._shared.of_stock((request.market, request.adjust, request.code))
        if broken := self._shared.broken_for(request.market, request.adjust) if shared else None:
            path, problem = broken
            error = file_error("shared_file_broken", other=path.name, reason=problem.describe())
            raise Permanent(describe_error(shared[0][0], error), code="bad_file")
        found += shared
        try:
            bars, suspended = merge(request.code, found)
        except UnreadableFile as error:
            raise Permanent(f"{error.problems[0].describe()}.", code="bad_file") from error
        within = [bar for bar in bars if request.start <= bar.day <= request.end]
        days = [day for day in suspended if request.start <= day <= request.end]
        if days:
            notes.append(Note("suspended", {"count": len(days)}))
        return Answer(within, suspended=days, notes=[note.describe() for note in notes])

    def _symbols(self, market: str, adjusts: Sequence[str]) -> Sequence[Symbol]:
        layout = self._scan()
        codes = {
            file.code for file in layout.files.values() if file.market == market and file.adjust in adjusts
        }
        codes |= self._shared.codes(market, adjusts)
        if not codes:
            raise Permanent(self._describe_lack(market, adjusts), code="empty_stock_list")
        exchanges = {"HK": "HKEX"}
        return [
            Symbol(code, exchange=exchange_of(code) if market == "CN" else exchanges.get(market, ""))
            for code in sorted(codes)
        ]

    def _describe_lack(self, market: str, adjusts: Sequence[str]) -> str:
        adjusted = f" as {adjusts[0]}" if len(adjusts) == 1 and adjusts[0] else ""
        sentence = f"The folder holds no file of the market {market}{adjusted}."
        aside = self.left_aside(market)
        few = "; ".join(f"{entry.name}: {entry.reason}" for entry in aside[:NAMED_PROBLEMS])
        return f"{sentence} Left aside ({len(aside)}): {few}." if aside else sentence

    def _find(self, request: Request) -> Sequence[QuoteFile]:
        """Returns the stock's own files; none if its bars are only in files of several stocks."""
        key = (request.market, request.adjust, request.code)
        layout = self._layout
        if layout is None or not layout.is_current() or not self._shared.is_current():
            layout = self._scan()
        if key not in layout.files and not self._shared.holds(key):
            raise _unknown_stock(request)
        file = layout.files.get(key)
        return (file, *file.others) if file else ()

    def _read(self, file: QuoteFile, request: Request) -> ParsedFile:
        try:
            return read_file(file, self._volume_unit)
        except FileNotFoundError as error:
            raise _unknown_stock(request) from error
        except UnreadableFile as error:
            raise Permanent(describe_error(file.path.name, error), code="bad_file") from error
        except PermissionError as error:
            raise Permanent(f"{file.path.name}: {error.strerror}.", code="bad_file") from error
        except OSError as error:
            raise Transient(f"{file.path.name}: {error.strerror}.") from error

    def _scan(self) -> Layout:
        try:
            layout = scan_folder(self._folder)
        except OSError as error:
            raise Transient(f"The folder of the files can't be listed: {error.strerror}.") from error
        self._shared.update(layout.shared)
        self._layout = layout
        return layout


def read_file(file: QuoteFile, volume_unit: str = "") -> ParsedFile:
    """Returns the file's bars and what was learnt about it. Raises `UnreadableFile` or `OSError`."""
    return read_content(file, read_bytes(file.path), volume_unit)


def read_content(file: QuoteFile, content: bytes, volume_unit: str = "") -> ParsedFile:
    """Does the same for a file whose bytes are at hand, such as an uploaded one."""
    return BarParser(file, parse_content(content, file.path.suffix), volume_unit).parse()


def describe_error(name: str, error: UnreadableFile) -> str:
    """Returns one sentence: the first problems by line, and how many more there are."""
    texts = []
    for problem in error.problems[:NAMED_PROBLEMS]:
        line = f", line {problem.line}" if problem.line else ""
        texts.append(f"{name}{line}: {problem.describe()}")
    more = error.count - len(texts)
    return "; ".join(texts) + (f"; and {more} more." if more > 0 else ".")


def merge(code: str, found: Sequence[tuple[str, ParsedStock]]) -> tuple[list[Bar], list[date]]:
    """Returns the bars of a stock's files, given with their names, by day, and its suspended days.

    Raises `UnreadableFile` if two files have other values of a day, since either may be right.
    """
    if len(found) == 1:
        return found[0][1].bars, found[0][1].suspended
    bars: dict[date, tuple[str, Bar]] = {}
    suspended: set[date] = set()
    for name, stock in found:
        suspended.update(stock.suspended)
        for bar in stock.bars:
            first, known = bars.setdefault(bar.day, (name, bar))
            if repr(known) != repr(bar):
                day = bar.day.isoformat()
                raise file_error("files_differ", first=first, second=name, stock=code, day=day)
    return [bars[day][1] for day in sorted(bars)], sorted(suspended - set(bars))


def _unknown_stock(request: Request) -> UnknownStock:
    adjusted = f" as {request.adjust}" if request.adjust else ""
    return UnknownStock(
        f"The folder holds no file of {request.code}{adjusted} in the market {request.market}."
    )
