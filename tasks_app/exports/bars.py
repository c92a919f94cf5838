"""Bars as one Parquet dataset: a file per market and year, `bars/market=CN/year=2024/bars.parquet`.

The columns are those of the table; prices are the stored doubles, bit by bit, and times UTC in microseconds.
Market and year are in the path only, as readers of Hive partitions expect it. Rows are in the order of code,
adjustment and day. The ids of the rows are left out: they mean nothing in another database.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_app.exports import known_bars
from tasks_app.exports.selection import Selection
from tasks_app.exports.versions import SeriesKey, batches
from tasks_app.quotes.date_ranges import DateRange

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER, FILE = "bars", "bars.parquet"
COLUMNS = (
    *("code", "adjust", "day", "open", "high", "low", "close", "prev_close", "volume", "amount"),
    *("amplitude", "change", "change_pct", "turnover", "is_st", "limit_up", "limit_down"),
    *("source", "item_id", "collected_at"),
)
ROW_GROUP = 65_536
READ_ROWS = 5_000


def schema() -> "pa.Schema":
    """Returns the columns of the files with their types."""
    import pyarrow as pa

    types = dict.fromkeys(COLUMNS, pa.float64()) | {
        **dict.fromkeys(("code", "adjust", "source"), pa.string()),
        "day": pa.date32(),
        "volume": pa.int64(),
        "is_st": pa.bool_(),
        "item_id": pa.int64(),
        "collected_at": pa.timestamp("us", "UTC"),
    }
    required = ("code", "adjust", "day", "open", "high", "low", "close", "volume", "source", "collected_at")
    return pa.schema([pa.field(name, types[name], nullable=name not in required) for name in COLUMNS])


def key_of(market: str, year: int) -> str:
    """Returns the key of a part, which is its folder."""
    return f"{FOLDER}/market={market}/year={year}"


def read_key(key: str) -> tuple[str, int] | None:
    """Returns the market and year of a part of bars; None for any other part."""
    folder, _, rest = key.partition("/market=")
    market, _, year = rest.partition("/year=")
    return (market, int(year)) if folder == FOLDER and year else None


def write_year(
    selection: Selection, keys: Sequence[SeriesKey], market: str, year: int, root: Path
) -> Iterator[int]:
    """Writes the file of a market and year below `root`; yields how many rows each step wrote.

    `keys` are all series of the selection, in their order.
    """
    import pyarrow.parquet as pq

    path = root / key_of(market, year) / FILE
    path.parent.mkdir(parents=True)
    days = date(year, 1, 1), date(year, 12, 31)
    own = [key for key in keys if key[0] == market]
    with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
        groups = _RowGroups(writer)
        for _market, pairs in batches(own):
            table = read_table(_rows(selection, market, pairs, days))
            groups.add(table)
            yield table.num_rows
        groups.finish()


def has_bars(selection: Selection, market: str, pairs: Sequence[tuple[str, str]], year: int) -> bool:
    """Whether any of these series has a selected bar in the year."""
    days = date(year, 1, 1), date(year, 12, 31)
    return selection.bars(market, list(pairs)).filter(day__range=days).exists()


def _rows(
    selection: Selection, market: str, pairs: Sequence[tuple[str, str]], days: DateRange
) -> Iterator[tuple[Any, ...]]:
    """Returns the selected bars of these series and days, in any order, as values of `COLUMNS`."""
    if selection.as_of is None:
        bars = selection.bars(market, list(pairs)).filter(day__range=days).order_by()
        return iter(bars.values_list("symbol", *COLUMNS[1:]).iterator(chunk_size=READ_ROWS))
    known = known_bars.read(selection, market, pairs, days)
    return ((code, adjust, *map(bar.__getitem__, COLUMNS[2:])) for code, adjust, bar in known)


def read_table(found: Iterator[tuple[Any, ...]]) -> "pa.Table":
    """Returns bars of a batch in the order of code, adjustment and day: databases sort texts differently."""
    import pyarrow as pa

    columns = schema()
    parts = []
    while chunk := list(islice(found, READ_ROWS)):
        values = zip(zip(*chunk, strict=True), columns, strict=True)
        arrays = [pa.array(column, field.type) for column, field in values]
        parts.append(pa.RecordBatch.from_arrays(arrays, schema=columns))
    table = pa.Table.from_batches(parts, columns)
    return table.sort_by([(name, "ascending") for name in ("code", "adjust", "day")])


class _RowGroups:
    """Collects rows into row groups of equal size, however they arrive: equal bars make equal files."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self.waiting: list[pa.Table] = []
        self.rows = 0

    def add(self, table: "pa.Table") -> None:
        self.waiting.append(table)
        self.rows += table.num_rows
        while self.rows >= ROW_GROUP:
            self._write(ROW_GROUP)

    def finish(self) -> None:
        if self.rows:
            self._write(self.rows)

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self.waiting)
        self.writer.write_table(table.slice(0, rows).combine_chunks(), row_group_size=ROW_GROUP)
        self.waiting, self.rows = [table.slice(rows)], self.rows - rows
