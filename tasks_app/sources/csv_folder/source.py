"""A folder of files, one per stock and adjustment: CSV, or Parquet where pyarrow is installed.

`csv_folder_layout` says how files are laid out and named, `csv_folder_bars` how they are read.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.csv_folder import tables
from tasks_app.sources.csv_folder.bars import Reader, Reading
from tasks_app.sources.csv_folder.layout import File, Layout, scan
from tasks_app.sources.csv_folder.problems import Problem, Unreadable

logger = logging.getLogger(__name__)
NAMED = 3  # problems in an error's sentence


class CsvSource:
    """The files of COLLECTOR_CSV_DIR. A code is only ever looked up among the files found there."""

    name: ClassVar[str] = "csv"
    markets: ClassVar[tuple[str, ...]] = MARKETS
    adjusts: ClassVar[tuple[str, ...]] = ADJUSTS
    free_list: ClassVar[bool] = True
    local: ClassVar[bool] = True
    grows: ClassVar[bool] = True
    needs: ClassVar[str] = "csv_dir"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout: Layout | None = None

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """The source on COLLECTOR_CSV_DIR."""
        return cls(Path(conf.csv_dir))

    def symbols(self, market: str) -> Sequence[Symbol]:
        """The stocks that there are files of, without names. Raises `Permanent` when there are none."""
        layout = self._scan()
        if layout.ignored:
            logger.warning("%d entries of %s are left aside", len(layout.ignored), self._folder)
        found = {file.code: file for file in layout.files.values() if file.market == market}
        if not found:
            raise Permanent(f"The folder holds no file of the market {market}.", code="empty_stock_list")
        return [Symbol(file.code, exchange=file.exchange) for file in found.values()]

    def fetch(self, request: Request) -> Sequence[Bar]:
        """The bars of the window; the whole file is read, and all of it must be readable."""
        file = self._file(request)
        try:
            bars = read(file).bars
        except FileNotFoundError as error:
            raise _unknown(request) from error
        except Unreadable as error:
            raise Permanent(described(file, error), code="bad_file") from error
        except PermissionError as error:
            raise Permanent(f"{file.path.name}: {error.strerror}.", code="bad_file") from error
        except OSError as error:
            raise Transient(f"{file.path.name}: {error.strerror}.") from error
        return [bar for bar in bars if request.start <= bar.day <= request.end]

    def _file(self, request: Request) -> File:
        key = (request.market, request.adjust, request.code)
        layout = self._layout or self._scan()
        if key not in layout.files:  # it may have come since
            layout = self._scan()
        if key not in layout.files:
            raise _unknown(request)
        return layout.files[key]

    def _scan(self) -> Layout:
        try:
            self._layout = scan(self._folder)
        except OSError as error:
            raise Transient(f"The folder of the files can't be listed: {error.strerror}.") from error
        return self._layout


def read(file: File) -> Reading:
    """A file's bars and what was found out about it. Raises `Unreadable` or OSError."""
    if file.twins:
        others = ", ".join(path.name for path in file.twins)
        raise Unreadable([Problem("twice", values={"other": others})])
    return Reader(file, tables.read(file.path)).read()


def described(file: File, error: Unreadable) -> str:
    """One sentence: the first problems by line, and how many more there are."""
    said = [
        f"{file.path.name}, line {problem.line}: {problem}"
        if problem.line
        else f"{file.path.name}: {problem}"
        for problem in error.problems[:NAMED]
    ]
    more = error.count - len(said)
    return "; ".join(said) + (f"; and {more} more." if more > 0 else ".")


def _unknown(request: Request) -> UnknownStock:
    kind = f" as {request.adjust}" if request.adjust else ""
    return UnknownStock(f"The folder holds no file of {request.code}{kind} in the market {request.market}.")
