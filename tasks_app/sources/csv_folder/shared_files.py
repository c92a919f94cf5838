"""Files of several stocks, or of one under another name: read once, and kept while they don't change."""

import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tasks_app.sources.base import Bar
from tasks_app.sources.csv_folder.bars import ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.identity import Stock
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile

MAX_TOTAL_BYTES = 32 * 2**20  # of all these files, which take about three times as much memory
NOT_QUOTES = ("not_quotes", "name_is_word", "no_header", "column_missing", "no_stocks")
TOLD = ("other_codes",)  # notes on what a file has for none of the stocks
WIDTH = len(Bar._fields) - 3  # no file tells the last three

Stamp = tuple[int, int, int]  # inode, size, time of the last change
SeriesKey = tuple[str, str, str]  # market, adjustment, code


@dataclass(frozen=True)
class PackedFile:
    """The content of a file in a quarter of its memory: 12 numbers for each bar, all in one array.

    `places` are the first bar of each stock and the one after its last, `suspended` the days of those that
    have some.
    """

    notes: list[Note]
    numbers: "array[float]"
    places: dict[Stock, tuple[int, int]]
    suspended: dict[Stock, list[date]]

    @classmethod
    def pack(cls, content: ParsedFile, known: dict[Stock, Stock] | None = None) -> "PackedFile":
        """Returns the content packed. Equal keys of several files are one, that of `known`."""
        keys = {} if known is None else known
        packed = cls(content.notes, array("d"), {}, {})
        for found, stock in content.stocks.items():
            key, first = keys.setdefault(found, found), len(packed.numbers) // WIDTH
            for bar in stock.bars:
                packed.numbers.append(bar.day.toordinal())
                numbers: Any = bar[1:WIDTH]
                packed.numbers.extend(math.nan if value is None else value for value in numbers)
            packed.places[key] = (first, first + len(stock.bars))
            if stock.suspended:
                packed.suspended[key] = stock.suspended
        return packed

    def unpack(self, key: Stock) -> ParsedStock:
        """Returns a stock as it was. A price or volume that is missing is NaN, anything else None."""
        bars = []
        for place in range(*self.places[key]):
            row = self.numbers[place * WIDTH : (place + 1) * WIDTH]
            day, opened, high, low, close, volume, *more = row
            shares = int(volume) if volume.is_integer() else volume
            extra = (None if math.isnan(value) else value for value in more)
            bars.append(Bar(date.fromordinal(int(day)), opened, high, low, close, shares, *extra))  # type: ignore[arg-type]
        return ParsedStock(bars, self.suspended.get(key, []))


class SharedFiles:
    """The content of a folder's shared files."""

    def __init__(self, read: Callable[[QuoteFile], ParsedFile]) -> None:
        self._read = read
        self._keys: dict[Stock, Stock] = {}
        self._contents: dict[QuoteFile, tuple[Stamp, PackedFile | Problem]] = {}

    @property
    def broken(self) -> list[tuple[QuoteFile, Problem]]:
        """The files that can't be read, or hold no quotes."""
        return [(file, found) for file, (_, found) in self._contents.items() if isinstance(found, Problem)]

    @property
    def notes(self) -> list[tuple[Path, Note]]:
        """What was left out of the other files that belongs to no stock."""
        return [
            (file.path, note)
            for file, content in self._packed()
            for note in content.notes
            if note.code in TOLD
        ]

    def update(self, files: Sequence[QuoteFile]) -> None:
        """Reads the files that are new or changed, and forgets those that are gone."""
        contents: dict[QuoteFile, tuple[Stamp, PackedFile | Problem]] = {}
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
            elif known and known[0] == stamp and not _is_too_much(known[1]):
                contents[file] = known
            else:
                contents[file] = (stamp, self._parse(file))
        self._contents = contents

    def is_current(self) -> bool:
        """Returns whether no file has changed since it was read."""
        try:
            return all(_stamp(file.path) == stamp for file, (stamp, _) in self._contents.items())
        except OSError:
            return False

    def codes(self, market: str, adjusts: Sequence[str]) -> set[str]:
        """Returns the stocks that the files hold."""
        return {
            code
            for file, content in self._packed()
            if file.adjust in adjusts
            for of_market, code in content.places
            if of_market == market
        }

    def of_stock(self, key: SeriesKey) -> list[tuple[str, ParsedStock]]:
        """Returns what each file holds of a stock, with the file's name."""
        market, _, code = key
        return [(file.path.name, content.unpack((market, code))) for file, content in self._holding(key)]

    def holds(self, key: SeriesKey) -> bool:
        """Returns whether any file holds a stock."""
        return any(self._holding(key))

    def broken_for(self, market: str, adjust: str) -> tuple[Path, Problem] | None:
        """Returns a file of quotes that can't be read, and may hold days of this market's stocks."""
        for file, problem in self.broken:
            if file.adjust == adjust and file.market in ("", market) and problem.code not in NOT_QUOTES:
                return file.path, problem
        return None

    def _holding(self, key: SeriesKey) -> Iterator[tuple[QuoteFile, PackedFile]]:
        market, adjust, code = key
        for file, content in self._packed():
            if file.adjust == adjust and (market, code) in content.places:
                yield file, content

    def _packed(self) -> list[tuple[QuoteFile, PackedFile]]:
        return [(file, found) for file, (_, found) in self._contents.items() if isinstance(found, PackedFile)]

    def _parse(self, file: QuoteFile) -> PackedFile | Problem:
        try:
            return PackedFile.pack(self._read(file), self._keys)
        except UnreadableFile as error:
            return error.problems[0]
        except OSError as error:
            return Problem("malformed", values={"reason": error.strerror})


def _is_too_much(found: PackedFile | Problem) -> bool:
    return isinstance(found, Problem) and found.code == "too_much"


def _stamp(path: Path) -> Stamp:
    found = os.stat(path, follow_symlinks=False)
    return found.st_ino, found.st_size, found.st_mtime_ns
