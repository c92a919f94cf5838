"""Files of several stocks, or of one under another name: read once, and kept while they don't change."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tasks_app.sources.csv_folder.bars import ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile

MAX_TOTAL_BYTES = 64 * 2**20  # of all these files: a bar takes about four times its line in memory
NOT_QUOTES = ("not_quotes", "no_header", "column_missing", "no_stocks")
TOLD = ("other_codes",)  # notes on what a file has for none of the stocks

Stamp = tuple[int, int, int]  # inode, size, time of the last change
SeriesKey = tuple[str, str, str]  # market, adjustment, code


class SharedFiles:
    """The content of a folder's shared files."""

    def __init__(self, read: Callable[[QuoteFile], ParsedFile]) -> None:
        self._read = read
        self._contents: dict[QuoteFile, tuple[Stamp, ParsedFile | Problem]] = {}
        self._by_stock: dict[SeriesKey, list[tuple[str, ParsedStock]]] = {}
        self._faulty: list[tuple[QuoteFile, Problem]] = []

    @property
    def broken(self) -> list[tuple[Path, Problem]]:
        """The files that can't be read, or hold no quotes."""
        return [(file.path, problem) for file, problem in self._faulty]

    @property
    def notes(self) -> list[tuple[Path, Note]]:
        """What was left out of the other files that belongs to no stock."""
        return [
            (file.path, note)
            for file, (_, content) in self._contents.items()
            if isinstance(content, ParsedFile)
            for note in content.notes
            if note.code in TOLD
        ]

    def update(self, files: Sequence[QuoteFile]) -> None:
        """Reads the files that are new or changed, and forgets those that are gone."""
        contents: dict[QuoteFile, tuple[Stamp, ParsedFile | Problem]] = {}
        total = 0
        for file in files:
            try:
                stamp = _stamp(file.path)
            except OSError as error:
                contents[file] = ((0, 0, 0), Problem("malformed", values={"reason": error.strerror}))
                continue
            total += stamp[1]
            known = self._contents.get(file)
            if total > MAX_TOTAL_BYTES:
                contents[file] = (stamp, Problem("too_much", values={"limit": MAX_TOTAL_BYTES // 2**20}))
            else:
                contents[file] = known if known and known[0] == stamp else (stamp, self._parse(file))
        self._contents = contents
        self._index()

    def codes(self, market: str, adjusts: Sequence[str]) -> set[str]:
        """Returns the stocks that the files hold."""
        return {key[2] for key in self._by_stock if key[0] == market and key[1] in adjusts}

    def of_stock(self, key: SeriesKey) -> list[tuple[str, ParsedStock]]:
        """Returns what each file holds of a stock, with the file's name."""
        return self._by_stock.get(key, [])

    def broken_for(self, market: str, adjust: str) -> tuple[Path, Problem] | None:
        """Returns a file of quotes that can't be read, and may hold days of this market's stocks."""
        for file, problem in self._faulty:
            if file.adjust == adjust and file.market in ("", market) and problem.code not in NOT_QUOTES:
                return file.path, problem
        return None

    def _parse(self, file: QuoteFile) -> ParsedFile | Problem:
        try:
            return self._read(file)
        except UnreadableFile as error:
            return error.problems[0]
        except OSError as error:
            return Problem("malformed", values={"reason": error.strerror})

    def _index(self) -> None:
        by_stock: dict[SeriesKey, list[tuple[str, ParsedStock]]] = {}
        self._faulty = []
        for file, (_, content) in self._contents.items():
            if isinstance(content, Problem):
                self._faulty.append((file, content))
                continue
            for (market, code), stock in content.stocks.items():
                by_stock.setdefault((market, file.adjust, code), []).append((file.path.name, stock))
        self._by_stock = by_stock


def _stamp(path: Path) -> Stamp:
    found = os.stat(path, follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns
