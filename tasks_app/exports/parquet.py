"""The layout `parquet`: the dataset of bars and, in a whole export, the other tables."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks_app.exports import bars, tables, versions
from tasks_app.exports.changed_parts import Base, changed_years
from tasks_app.exports.selection import Selection
from tasks_app.exports.tables import Chunk
from tasks_app.exports.versions import SeriesKey, Version


class ParquetLayout:
    """A part for each market and year, and one or more for each table."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.memory: dict[str, Any] = {}
        self.base: Base | None = None

    @cached_property
    def keys(self) -> list[SeriesKey]:
        return versions.series_keys(self.selection)

    @cached_property
    def chunks(self) -> dict[str, Chunk]:
        return {chunk.key: chunk for chunk in tables.chunks()} if self.selection.is_whole else {}

    def scan(self, found: dict[str, str], cursor: str) -> Iterator[tuple[str, int, int]]:
        if self.base and not cursor:
            self._take_over(self.base, found)
        batches = [] if self.base else list(versions.batches(self.keys))
        total = len(batches) + len(self.chunks)
        for done, (market, pairs) in enumerate(batches, 1):
            place = versions.place_of(market, pairs)
            if place <= cursor:
                continue
            for part in versions.read_versions(self.selection, market, pairs):
                key = bars.key_of(market, part.year)
                found[key] = str(Version.parse(found.get(key, "")).plus(part.version))
            yield place, done, total
        for done, chunk in enumerate(self.chunks.values(), len(batches) + 1):
            if chunk.key in found:
                continue
            version = chunk.version
            if version or chunk.start is None:
                found[chunk.key] = version
            yield cursor, done, total

    def _take_over(self, base: "Base", found: dict[str, str]) -> None:
        """Adds the base's versions of parts of bars: new ones of changed parts, none of emptied ones."""
        kept = {key: version for key, version in base.versions.items() if bars.read_key(key)}
        for market, year in changed_years(self.selection, base):
            key = bars.key_of(market, year)
            kept.pop(key, None)
            pairs = (pairs for of, pairs in versions.batches(self.keys) if of == market)
            if any(bars.has_bars(self.selection, market, each, year) for each in pairs):
                kept[key] = f"change {base.until}"
        found.update(kept)

    def write(self, key: str, root: Path) -> Iterator[int]:
        if (place := bars.read_key(key)) is None:
            return tables.write_chunk(self.chunks[key], root)
        return bars.write_year(self.selection, self.keys, *place, root)
