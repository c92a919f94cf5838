"""A folder of files of daily bars: CSV, text, Excel, 通达信's .day, or Parquet where pyarrow is installed.

`layout` says how files are laid out and named, `tables` and `bars` how they are read, `shared_files` what
becomes of files that hold several stocks, and `archives` of those that hold a whole market.
"""

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.sources.base import Answer, Bar, LeftAside, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.cn_codes import kind_of, listed_exchange
from tasks_app.sources.csv_folder import tdx_day
from tasks_app.sources.csv_folder.archives import Archive, Archives, SeriesKey, open_archive
from tasks_app.sources.csv_folder.bars import BarParser, ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.column_mapping import Mappings, read_mappings
from tasks_app.sources.csv_folder.layout import Layout, QuoteFile, scan_folder
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.shared_files import SharedFiles
from tasks_app.sources.csv_folder.tables import parse_content, read_bytes

logger = logging.getLogger(__name__)
NAMED_PROBLEMS = 3  # in an error's sentence


class CsvSource:
    """The files of COLLECTOR_CSV_DIR. A code is only ever looked up among the files of the scanned folder."""

    name: ClassVar[str] = "csv"
    kinds: ClassVar[tuple[str, ...]] = ("stock", "etf", "index")
    kind_markets: ClassVar[tuple[str, ...]] = ("CN",)
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
        self._use_mappings({})

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
        shared = (self._shared, self._archives)
        broken = [
            (file.path, problem)
            for files in shared
            for file, problem in files.broken
            if file.market in ("", market)
        ]
        notes = [note for files in shared for note in files.notes]
        reasons: list[tuple[Path, Problem | Note]] = [*layout.ignored, *broken, *notes]
        return [LeftAside(str(path.relative_to(self._folder)), reason.describe()) for path, reason in reasons]

    def symbols_of_kind(self, market: str, kind: str) -> Sequence[Symbol]:
        """Returns those of the folder's codes that are of this kind; its stock list has them all."""
        return [symbol for symbol in self.symbols(market) if kind_of(symbol.code) == kind]

    def fetch(self, request: Request) -> Answer:
        """Returns the bars of the requested days. The whole files are read, and must be readable."""
        key = (request.market, request.adjust, request.code)
        contents = [(file.path.name, self._read(file, request)) for file in self._find(request)]
        contents += self._read_archives(key)
        found = [(name, stock) for name, content in contents for stock in content.stocks.values()]
        notes = [note for _, content in contents for note in content.notes if note.code != "suspended"]
        found += self._shared.of_stock(key)
        for files in (self._shared, self._archives):
            if files.holds(key) and (broken := files.broken_for(request.market, request.adjust)):
                path, problem = broken
                error = file_error("shared_file_broken", other=path.name, reason=problem.describe())
                raise Permanent(describe_error(found[0][0], error), code="bad_file")
        try:
            bars, suspended = merge(request.code, found)
        except UnreadableFile as error:
            raise Permanent(f"{error.problems[0].describe()}.", code="bad_file") from error
        within = [bar for bar in bars if request.start <= bar.day <= request.end]
        days = [day for day in suspended if request.start <= day <= request.end]
        if days:
            notes.append(Note("suspended", {"count": len(days)}))
        if bars and not within and not days:
            notes.append(Note("other_days", {"first": bars[0].day, "last": bars[-1].day}))
        return Answer(within, suspended=days, notes=[note.describe() for note in notes])

    def knows(self, key: SeriesKey) -> bool:
        """Returns whether the folder holds any file of this market, adjustment and code."""
        return self._holds(self._current_layout(), key)

    def _use_mappings(self, mappings: Mappings) -> None:
        """Reads all files anew, with these meanings of unknown headings."""
        self._mappings = mappings
        self._shared = SharedFiles(lambda file: read_file(file, self._volume_unit, mappings))
        self._archives = Archives(lambda file: open_file(file, self._volume_unit, mappings))

    def _symbols(self, market: str, adjusts: Sequence[str]) -> Sequence[Symbol]:
        layout = self._scan()
        codes = {
            file.code for file in layout.files.values() if file.market == market and file.adjust in adjusts
        }
        codes |= self._shared.codes(market, adjusts) | self._archives.codes(market, adjusts)
        if not codes:
            raise Permanent(self._describe_lack(market, adjusts), code="empty_stock_list")
        exchanges = {"HK": "HKEX"}
        return [
            Symbol(code, exchange=listed_exchange(code) if market == "CN" else exchanges.get(market, ""))
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
        layout = self._current_layout()
        if not self._holds(layout, key):
            raise _unknown_stock(request)
        file = layout.files.get(key)
        return (file, *file.others) if file else ()

    def _holds(self, layout: Layout, key: SeriesKey) -> bool:
        return key in layout.files or any(files.holds(key) for files in (self._shared, self._archives))

    def _current_layout(self) -> Layout:
        layout, shared = self._layout, (self._shared, self._archives)
        if layout is None or not layout.is_current() or not all(files.is_current() for files in shared):
            return self._scan()
        return layout

    def _read(self, file: QuoteFile, request: Request) -> ParsedFile:
        try:
            return read_file(file, self._volume_unit, self._mappings)
        except FileNotFoundError as error:
            raise _unknown_stock(request) from error
        except UnreadableFile as error:
            raise Permanent(describe_error(file.path.name, error), code="bad_file") from error
        except PermissionError as error:
            raise Permanent(f"{file.path.name}: {error.strerror}.", code="bad_file") from error
        except OSError as error:
            raise Transient(f"{file.path.name}: {error.strerror}.") from error

    def _read_archives(self, key: SeriesKey) -> list[tuple[str, ParsedFile]]:
        try:
            return self._archives.of_stock(key)
        except UnreadableFile as error:
            raise Permanent(describe_error(key[2], error), code="bad_file") from error
        except OSError as error:
            raise Transient(f"An archive can't be read: {error.strerror}.") from error

    def _scan(self) -> Layout:
        try:
            layout = scan_folder(self._folder)
            mappings = read_mappings(self._folder)
        except UnreadableFile as error:
            raise Permanent(describe_error(self._folder.name, error), code="bad_file") from error
        except OSError as error:
            raise Transient(f"The folder of the files can't be listed: {error.strerror}.") from error
        if mappings != self._mappings:
            self._use_mappings(mappings)
        self._shared.update(layout.shared)
        self._archives.update(layout.archives)
        self._layout = layout
        return layout


def read_file(file: QuoteFile, volume_unit: str = "", mappings: Mappings | None = None) -> ParsedFile:
    """Returns the file's bars and what was learnt about it. Raises `UnreadableFile` or `OSError`."""
    return read_content(file, read_bytes(file.path), volume_unit, mappings)


def read_content(
    file: QuoteFile, content: bytes, volume_unit: str = "", mappings: Mappings | None = None
) -> ParsedFile:
    """Does the same for a file whose bytes are at hand, such as an uploaded one."""
    if file.path.suffix.lower() == tdx_day.SUFFIX:
        table, notes = tdx_day.read_day_file(file, content)
        return BarParser(file, table, notes=notes).parse()
    return BarParser(file, parse_content(content, file.path.suffix), volume_unit, mappings).parse()


def open_file(file: QuoteFile, volume_unit: str, mappings: Mappings) -> Archive:
    """Returns the archive of a file or folder. Raises `UnreadableFile` or `OSError`."""
    return open_archive(
        file,
        lambda member, content: read_content(member, content, volume_unit, mappings),
        volume_unit,
        mappings,
    )


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
