"""The archives of a folder: zip files and Parquet dumps, whose stocks are read one by one."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tasks_app.sources.csv_folder import parquet_dump
from tasks_app.sources.csv_folder.bars import ParsedFile
from tasks_app.sources.csv_folder.column_mapping import Mappings
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.parquet_dump import ParquetDump
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile
from tasks_app.sources.csv_folder.shared_files import NOT_QUOTES
from tasks_app.sources.csv_folder.zip_archive import SUFFIX, ZipArchive

SeriesKey = tuple[str, str, str]  # market, adjustment, code
CHECK_SECONDS = 2.0  # between looks at the files of a dump, which may be thousands


class Archive(Protocol):
    """Many stocks in one file or folder."""

    @property
    def notes(self) -> list[Note]:
        """What is left out that belongs to no stock."""

    def series(self) -> set[SeriesKey]:
        """Returns what it holds."""

    def row_count(self, key: SeriesKey) -> int | None:
        """Returns the number of a series' rows, if it is known without reading them."""

    def read(self, key: SeriesKey) -> list[tuple[str, ParsedFile]]:
        """Returns a series by the names of its files. Raises `UnreadableFile` or `OSError`."""

    def close(self) -> None:
        """Releases what is open."""


def open_archive(
    file: QuoteFile, parse: Callable[[QuoteFile, bytes], ParsedFile], volume_unit: str, mappings: Mappings
) -> Archive:
    """Returns the archive of a file or folder. Raises `UnreadableFile` or `OSError`."""
    if file.path.suffix.lower() == SUFFIX and not file.path.is_dir():
        return ZipArchive(file, parse)
    return ParquetDump(file, volume_unit, mappings)


class Archives:
    """A folder's archives, opened again when they change."""

    def __init__(self, open_file: Callable[[QuoteFile], Archive]) -> None:
        self._open = open_file
        self._contents: dict[QuoteFile, tuple[str, Archive | Problem]] = {}
        self._checked_at = 0.0

    @property
    def broken(self) -> list[tuple[QuoteFile, Problem]]:
        """The archives that can't be read, or hold no quotes."""
        return [(file, found) for file, (_, found) in self._contents.items() if isinstance(found, Problem)]

    @property
    def notes(self) -> list[tuple[Path, Note]]:
        """What was left out of the others that belongs to no stock."""
        return [(file.path, note) for file, archive in self._opened() for note in archive.notes]

    def update(self, files: Sequence[QuoteFile]) -> None:
        """Opens the archives that are new or changed, and forgets those that are gone."""
        contents: dict[QuoteFile, tuple[str, Archive | Problem]] = {}
        for file in files:
            mark = _stamp(file.path)
            known = self._contents.get(file)
            contents[file] = known if known and mark and known[0] == mark else (mark, self._try_open(file))
        self._contents, self._checked_at = contents, time.monotonic()

    def is_current(self) -> bool:
        """Returns whether no archive has changed since it was opened, as of two seconds ago."""
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return True
        self._checked_at = time.monotonic()
        return all(_stamp(file.path) == mark for file, (mark, _) in self._contents.items())

    def codes(self, market: str, adjusts: Sequence[str]) -> set[str]:
        """Returns the stocks that the archives hold."""
        return {
            code
            for _, archive in self._opened()
            for of_market, adjust, code in archive.series()
            if of_market == market and adjust in adjusts
        }

    def of_stock(self, key: SeriesKey) -> list[tuple[str, ParsedFile]]:
        """Returns what each archive holds of a stock. Raises `UnreadableFile` or `OSError`."""
        return [found for archive in self._holding(key) for found in archive.read(key)]

    def holds(self, key: SeriesKey) -> bool:
        """Returns whether any archive holds a stock."""
        return any(True for _ in self._holding(key))

    def broken_for(self, market: str, adjust: str) -> tuple[Path, Problem] | None:
        """Returns an archive that can't be read, and may hold days of this market's stocks."""
        for file, problem in self.broken:
            if file.adjust == adjust and file.market in ("", market) and problem.code not in NOT_QUOTES:
                return file.path, problem
        return None

    def _opened(self) -> list[tuple[QuoteFile, Archive]]:
        contents = self._contents.items()
        return [(file, found) for file, (_, found) in contents if not isinstance(found, Problem)]

    def _holding(self, key: SeriesKey) -> Iterator[Archive]:
        for _, archive in self._opened():
            if key in archive.series():
                yield archive

    def _try_open(self, file: QuoteFile) -> Archive | Problem:
        try:
            return self._open(file)
        except UnreadableFile as error:
            return error.problems[0]
        except OSError as error:
            return Problem("malformed", values={"reason": error.strerror or str(error)})


def _stamp(path: Path) -> str:
    """Returns what changes with the archive; "" for one that can't be looked at."""
    try:
        if path.is_dir():
            return parquet_dump.stamp(path)
        found = os.stat(path, follow_symlinks=False)
        return repr((found.st_ino, found.st_size, found.st_mtime_ns))
    except (OSError, UnreadableFile):
        return ""
