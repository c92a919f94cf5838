"""A folder of files, one per stock and adjustment: CSV, or Parquet where pyarrow is installed.

`layout` says how files are laid out and named, `tables` and `bars` how they are read.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock
from tasks_app.sources.csv_folder.bars import BarParser, ParsedFile
from tasks_app.sources.csv_folder.layout import Layout, QuoteFile, scan_folder
from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error
from tasks_app.sources.csv_folder.tables import read_table

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
    needs: ClassVar[str] = "csv_dir"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout: Layout | None = None

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source on COLLECTOR_CSV_DIR."""
        return cls(Path(conf.csv_dir))

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the stocks that have files, without names. Raises `Permanent` when there are none."""
        layout = self._scan()
        if layout.ignored:
            logger.warning("%d entries of %s are ignored", len(layout.ignored), self._folder)
        files = {file.code: file for file in layout.files.values() if file.market == market}
        if not files:
            raise Permanent(f"The folder holds no file of the market {market}.", code="empty_stock_list")
        return [Symbol(file.code, exchange=file.exchange) for file in files.values()]

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days. The whole file is read, and must be readable."""
        file = self._find(request)
        try:
            bars = read_file(file).bars
        except FileNotFoundError as error:
            raise _unknown_stock(request) from error
        except UnreadableFile as error:
            raise Permanent(describe_error(file, error), code="bad_file") from error
        except PermissionError as error:
            raise Permanent(f"{file.path.name}: {error.strerror}.", code="bad_file") from error
        except OSError as error:
            raise Transient(f"{file.path.name}: {error.strerror}.") from error
        return [bar for bar in bars if request.start <= bar.day <= request.end]

    def _find(self, request: Request) -> QuoteFile:
        key = (request.market, request.adjust, request.code)
        layout = self._layout or self._scan()
        if key not in layout.files:  # it may have been added since the last scan
            layout = self._scan()
        if key not in layout.files:
            raise _unknown_stock(request)
        return layout.files[key]

    def _scan(self) -> Layout:
        try:
            self._layout = scan_folder(self._folder)
        except OSError as error:
            raise Transient(f"The folder of the files can't be listed: {error.strerror}.") from error
        return self._layout


def read_file(file: QuoteFile) -> ParsedFile:
    """Returns the file's bars and what was learnt about it. Raises `UnreadableFile` or `OSError`."""
    if file.duplicates:
        raise file_error("twice", other=", ".join(path.name for path in file.duplicates))
    return BarParser(file, read_table(file.path)).parse()


def describe_error(file: QuoteFile, error: UnreadableFile) -> str:
    """Returns one sentence: the first problems by line, and how many more there are."""
    texts = []
    for problem in error.problems[:NAMED_PROBLEMS]:
        line = f", line {problem.line}" if problem.line else ""
        texts.append(f"{file.path.name}{line}: {problem.describe()}")
    more = error.count - len(texts)
    return "; ".join(texts) + (f"; and {more} more." if more > 0 else ".")


def _unknown_stock(request: Request) -> UnknownStock:
    adjusted = f" as {request.adjust}" if request.adjust else ""
    return UnknownStock(
        f"The folder holds no file of {request.code}{adjusted} in the market {request.market}."
    )
