"""The versions of stored bars: what changes whenever a bar is added, changed or deleted.

A version is made of the number of bars, their ids and the time of the newest change: a new bar has a new id,
a change sets `collected_at`, a deletion lessens the number. It says nothing about another database.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from django.db.models import Count, Max, Sum

from tasks_app.db.functions import YearOf
from tasks_app.exports import known_bars
from tasks_app.exports.selection import Selection

BATCH = 50  # codes per query; a larger one would take seconds


class Version(NamedTuple):
    """The version of a set of bars."""

    bars: int = 0
    newest_id: int = 0
    ids: int = 0
    changed_at: str = ""  # an ISO time

    def plus(self, other: "Version") -> "Version":
        """Returns the version of both sets together."""
        return Version(
            self.bars + other.bars,
            max(self.newest_id, other.newest_id),
            self.ids + other.ids,
            max(self.changed_at, other.changed_at),
        )

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Returns the version that a text made by `str` stands for; that of no bars for ""."""
        if not text:
            return cls()
        bars, newest_id, ids, changed_at = text.split(" ")
        return cls(int(bars), int(newest_id), int(ids), changed_at)


@dataclass(frozen=True)
class YearVersion:
    """What is stored of one code of a market in one year, all selected adjustments together."""

    market: str
    code: str
    year: int
    version: Version


SeriesKey = tuple[str, str, str]  # market, code, adjust


def series_keys(selection: Selection) -> list[SeriesKey]:
    """Returns the series with selected bars, in an order that does not depend on the database's collation."""
    if selection.as_of is not None:
        return known_bars.series_keys(selection)
    return sorted(selection.series().values_list("market", "symbol", "adjust"))


def batches(keys: list[SeriesKey], size: int = BATCH) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields a market and up to `size` codes of it at a time, as pairs of code and adjustment."""
    for market, rows in groupby(keys, key=lambda key: key[0]):
        batch: list[tuple[str, str]] = []
        codes: set[str] = set()
        for _market, code, adjust in rows:
            if len(codes) == size and code not in codes:
                yield market, batch
                batch, codes = [], set()
            batch.append((code, adjust))
            codes.add(code)
        yield market, batch


def place_of(market: str, pairs: list[tuple[str, str]]) -> str:
    """Returns where a batch ends, in a form that sorts like the batches."""
    return f"{market} {max(code for code, _adjust in pairs)}"


def read_versions(selection: Selection, market: str, keys: list[tuple[str, str]]) -> Iterator[YearVersion]:
    """Yields what is stored of these series, per code and year."""
    if selection.as_of is not None:
        for code, year, count in known_bars.count_years(selection, market, keys):
            yield YearVersion(market, code, year, Version(count, selection.as_of))
        return
    rows: Any = selection.bars(market, keys).annotate(year=YearOf("day")).order_by()
    counted = rows.values_list("symbol", "year").annotate(
        Count("pk"), Max("pk"), Sum("pk"), Max("collected_at")
    )
    for code, year, bars, newest_id, ids, changed_at in counted:
        at = changed_at.isoformat(timespec="microseconds")
        yield YearVersion(market, code, year, Version(bars, newest_id, int(ids), at))
