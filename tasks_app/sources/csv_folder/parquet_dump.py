"""A Parquet dump of many stocks: one file, or a folder of parts, perhaps partitioned (year=2024/a.parquet).

Its rows may be in any order. They are read once in small batches, and sorted into buckets: temporary files of
some hundred thousand rows, whole stocks each, from which a stock's rows are read when it is requested. The
buckets are kept for all processes of the machine, under the identity of the dump's files, and made again when
one of those changes.
"""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tasks_app.sources.csv_folder.bars import BarParser, ParsedFile
from tasks_app.sources.csv_folder.column_mapping import Mappings, header_key
from tasks_app.sources.csv_folder.file_lock import locked
from tasks_app.sources.csv_folder.headings import Columns
from tasks_app.sources.csv_folder.identity import OTHER, RowIdentity, Stock
from tasks_app.sources.csv_folder.layout import PARTITION, QuoteFile
from tasks_app.sources.csv_folder.problems import Note, Problem, ProblemLog, file_error
from tasks_app.sources.csv_folder.tables import QuoteTable, as_text, open_regular

BATCH_ROWS = 64 * 1024
BUCKET_ROWS = 250_000  # some 20 MB in memory
MAX_BUCKETS = 200  # open files
MAX_CODES = 200_000
MAX_PARTS = 100_000
MAX_ROW_GROUP_MB = 1024  # unpacked
MAX_NAMED = 5
MARK = "\x1f"  # between the words that identify a stock
IDENTITY = ("code", "market", "exchange")
STOCK, LINE = "#stock", "#line"  # columns of the buckets
SeriesKey = tuple[str, str, str]
Part = tuple[Path, dict[str, str]]  # a file, and what its folders say: values by column


@dataclass
class Index:
    """What the buckets hold: stocks as [market, code, bucket, rows], and what is in none of them.

    `header` has the names of all columns, `used` of those that are read; only these are in the buckets.
    """

    header: list[str]
    used: list[str] = field(default_factory=list)
    rows: int = 0
    stocks: list[tuple[str, str, int, int]] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class ParquetDump:
    """The stocks of a dump. Its methods may be called from several threads."""

    def __init__(self, file: QuoteFile, volume_unit: str, mappings: Mappings) -> None:
        """Reads the dump, unless its buckets are there. Raises `UnreadableFile` or `OSError`."""
        self._file, self._unit, self._mappings = file, volume_unit, mappings
        self._folder = _find_buckets(file, mappings)
        self._index = Index(**json.loads((self._folder / "index.json").read_text("utf-8")))
        self._places = {
            (market, file.adjust, code): (number, bucket, rows)
            for number, (market, code, bucket, rows) in enumerate(self._index.stocks)
        }
        self._lock = threading.Lock()
        self._bucket: tuple[int, Any] = (-1, None)  # the last one that was read: stocks come in their order

    @property
    def notes(self) -> list[Note]:
        """What was left out that belongs to no stock."""
        return [Note(code, values) for code, values in self._index.notes]

    def series(self) -> set[SeriesKey]:
        """Returns the series that the dump holds."""
        return set(self._places)

    def row_count(self, key: SeriesKey) -> int | None:
        """Returns the number of a series' rows."""
        return self._places[key][2]

    def read(self, key: SeriesKey) -> list[tuple[str, ParsedFile]]:
        """Returns a series. Raises `UnreadableFile`, or `OSError` when the buckets can't be read."""
        market, adjust, code = key
        table = self._read_rows(*self._places[key][:2])
        file = replace(self._file, market=market, adjust=adjust, code=code)
        parsed = BarParser(file, table, self._unit, self._mappings).parse()
        return [(self._file.path.name, parsed)]

    def close(self) -> None:
        """Forgets the bucket in memory."""
        self._bucket = (-1, None)

    def _read_rows(self, number: int, bucket: int) -> QuoteTable:
        import pyarrow
        from pyarrow import compute, ipc

        with self._lock:
            if self._bucket[0] != bucket:
                with ipc.open_file(pyarrow.memory_map(str(self._folder / f"{bucket}.arrow"))) as reader:
                    self._bucket = bucket, reader.read_all()
            rows = self._bucket[1]
        found = rows.filter(compute.equal(rows[STOCK], number))
        lines = found[LINE].to_pylist()
        unused = [""] * len(lines)
        columns = [
            [as_text(value) for value in found[name].to_pylist()] if name in self._index.used else unused
            for name in self._index.header
        ]
        body = [(line, list(fields)) for line, fields in zip(lines, zip(*columns, strict=True), strict=True)]
        return QuoteTable("Parquet", _heads(self._index.header), sorted(body), 0)


def list_parts(path: Path) -> list[Part]:
    """Returns the files of a dump in their order, with the values of their partitions.

    Raises `UnreadableFile` or `OSError`. Links are not followed.
    """
    if not path.is_dir():
        return [(path, {})]
    parts: list[Part] = []
    with os.scandir(path) as entries:
        own_parts_only = any(PARTITION.fullmatch(entry.name) for entry in entries if entry.is_dir())
    for root, folders, names in os.walk(path):
        at = Path(root)
        folders[:] = sorted(n for n in folders if n[0] not in "._~" and not (at / n).is_symlink())
        if own_parts_only:
            folders[:] = [name for name in folders if PARTITION.fullmatch(name)]
        pairs = [name.partition("=") for name in at.relative_to(path).parts]
        values = {key: unquote(value) for key, _, value in pairs if value}
        for name in sorted(names):
            file = at / name
            if name[0] in "._~" or not name.lower().endswith(".parquet") or file.is_symlink():
                continue
            if own_parts_only and at == path and not name.startswith("part-"):
                continue
            parts.append((file, values))
            if len(parts) > MAX_PARTS:
                raise file_error("archive_many", limit=MAX_PARTS)
    if not parts:
        raise file_error("no_header")
    return parts


def read_head(path: Path, rows: int) -> tuple[list[str], list[list[str]]]:
    """Returns the headings of a file, and its first rows. Raises `UnreadableFile` or `OSError`."""
    try:
        import pyarrow
    except ImportError as error:
        raise file_error("parquet_missing") from error
    part = _open_part(path)
    names = part.schema_arrow.names
    try:
        head = next(part.iter_batches(rows), None)
    except pyarrow.ArrowException as error:
        raise file_error("malformed", reason=str(error)[:300]) from error
    cells = [[as_text(value) for value in column.to_pylist()] for column in head.columns] if head else []
    return _heads(names), [list(row) for row in zip(*cells, strict=True)]


def stamp(path: Path) -> str:
    """Returns what changes with any file of the dump. Raises `UnreadableFile` or `OSError`."""
    digest = hashlib.sha256()
    for file, _ in list_parts(path):
        found = os.stat(file, follow_symlinks=False)
        digest.update(repr((str(file), found.st_ino, found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]


def _find_buckets(file: QuoteFile, mappings: Mappings) -> Path:
    """Returns the folder of the dump's buckets, which one process makes while others wait."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise file_error("parquet_missing") from error
    reader = DumpReader(file, mappings)
    of_file = hashlib.sha256(repr((str(file.path), file.market)).encode()).hexdigest()[:16]
    meaning = hashlib.sha256(repr(reader.columns.positions).encode()).hexdigest()[:8]
    home = _home()
    folder = home / f"{of_file}-{stamp(file.path)}-{meaning}"
    if folder.is_dir():
        return folder
    lock = home / f"{of_file}.lock"
    lock.touch()
    with locked(lock):
        if not folder.is_dir():
            for old in home.glob(f"{of_file}-*"):
                shutil.rmtree(old, ignore_errors=True)  # of the dump as it was; open files stay readable
            with tempfile.TemporaryDirectory(dir=home, prefix="new-", ignore_cleanup_errors=True) as new:
                _sort_into(reader, Path(new) / "buckets")
                os.rename(Path(new) / "buckets", folder)
    return folder


def _home() -> Path:
    """Returns this user's folder for buckets. Raises `OSError` if another user made it."""
    home = Path(tempfile.gettempdir()) / f"collector-buckets-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    found = os.stat(home, follow_symlinks=False)
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or home.is_symlink():
        raise PermissionError(1, f"{home} is not this user's own folder")
    return home


def _sort_into(reader: "DumpReader", folder: Path) -> None:
    """Writes the buckets of a dump and their index. Raises `UnreadableFile` or `OSError`."""
    import pyarrow

    folder.mkdir()
    try:
        index, numbers = reader.find_stocks()
        _write_buckets(reader, index, numbers, folder)
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise file_error("malformed", reason=str(error)[:300]) from error
    (folder / "index.json").write_text(json.dumps(asdict(index)), "utf-8")


class DumpReader:
    """Reads the parts of a dump in batches, with the columns of quotes only."""

    def __init__(self, file: QuoteFile, mappings: Mappings) -> None:
        """Raises `UnreadableFile` for a dump without the necessary columns, or with too large a part."""
        self.file, self.parts = file, list_parts(file.path)
        self.names = self._column_names(*self.parts[0])
        heads = _heads(self.names)
        renamed = mappings.get(header_key(heads))
        self.columns = Columns(heads, file.adjust, 0, renamed)
        if "code" not in self.columns.positions:
            raise file_error("not_quotes")
        places = {*self.columns.positions.values(), self.columns.time}
        self.used = [name for place, name in enumerate(self.names) if place in places]
        self._identity = [self.columns.positions.get(name) for name in IDENTITY]

    def find_stocks(self) -> tuple[Index, dict[str, int]]:
        """Returns the index, and the number of its stock for each text that `keys` yields."""
        counts: dict[str, int] = {}
        places = [place for place in self._identity if place is not None]
        for batch in self._batches([self.names[place] for place in places]):
            for each in self.keys(batch).value_counts().to_pylist():
                counts[each["values"]] = counts.get(each["values"], 0) + each["counts"]
            if len(counts) > MAX_CODES:
                raise file_error("dump_codes", limit=MAX_CODES)
        return self._make_index(counts)

    def batches(self) -> Iterator[Any]:
        """Yields the rows in their order, as record batches of at most `BATCH_ROWS`: the used columns."""
        return self._batches(self.used)

    def keys(self, batch: Any) -> Any:
        """Returns the words that identify each row's stock as one array of texts."""
        import pyarrow
        from pyarrow import compute

        texts = []
        for place in self._identity:
            if place is None:
                texts.append(pyarrow.array([""] * batch.num_rows))
                continue
            column = batch.column(batch.schema.get_field_index(self.names[place]))
            texts.append(compute.fill_null(column.cast(pyarrow.string()), ""))
        return compute.binary_join_element_wise(*texts, MARK)

    def _make_index(self, counts: dict[str, int]) -> tuple[Index, dict[str, int]]:
        """Returns the index of stocks in ascending order, in buckets of about equal size."""
        identity = RowIdentity(self.file, self.columns, [], ProblemLog())
        stocks: dict[Stock, list[str]] = {}
        others: dict[str, list[str]] = {}
        for key in counts:
            found = identity.find_stock(*key.split(MARK))
            if isinstance(found, Problem):
                others.setdefault("short_codes", []).append(key)
            elif found == OTHER:
                others.setdefault("other_codes", []).append(key)
            else:
                stocks.setdefault(found, []).append(key)
        if not stocks:
            keys = others.get("other_codes") or others.get("short_codes") or [""]
            value = keys[0].split(MARK)[0][:40]
            raise file_error("no_stocks", value=value, column=self.columns.heading("code").text)
        index, numbers = Index(self.names, self.used, sum(counts.values())), {}
        in_bucket, bucket = 0, 0
        per_bucket = max(BUCKET_ROWS, index.rows // MAX_BUCKETS + 1)
        for number, stock in enumerate(sorted(stocks)):
            rows = sum(counts[key] for key in stocks[stock])
            if in_bucket and in_bucket + rows > per_bucket:
                in_bucket, bucket = 0, bucket + 1
            in_bucket += rows
            index.stocks.append((*stock, bucket, rows))
            numbers.update(dict.fromkeys(stocks[stock], number))
        for code, keys in others.items():
            codes = sorted(key.split(MARK)[0][:16] for key in keys)
            few = ", ".join([*codes[:MAX_NAMED], "…"] if len(codes) > MAX_NAMED else codes)
            index.notes.append((code, {"count": sum(counts[key] for key in keys), "codes": few}))
        return index, numbers

    def _column_names(self, path: Path, values: dict[str, str]) -> list[str]:
        """Returns the names of the columns, the partitions last. All are kept, since all are reported."""
        return [*(name for name in _open_part(path).schema_arrow.names if name not in values), *values]

    def _batches(self, names: Sequence[str]) -> Iterator[Any]:
        import pyarrow

        for path, values in self.parts:
            if self._column_names(path, values) != self.names:
                raise file_error("parts_differ", other=path.name, first=self.parts[0][0].name)
            stored = [name for name in names if name not in values]
            part = _open_part(path)
            for group in range(part.num_row_groups if stored else 0):  # all at once would fill the memory
                for batch in part.iter_batches(BATCH_ROWS, [group], stored, use_threads=False):
                    constant = {name: pyarrow.array([text] * batch.num_rows) for name, text in values.items()}
                    arrays = {**constant, **dict(zip(batch.schema.names, batch.columns, strict=True))}
                    yield pyarrow.RecordBatch.from_arrays([arrays[name] for name in names], names=list(names))
            if not stored:  # all that was asked for are partitions
                yield pyarrow.RecordBatch.from_arrays(
                    [pyarrow.array([values[name]] * part.metadata.num_rows) for name in names],
                    names=list(names),
                )


def _open_part(path: Path) -> Any:
    """Returns an open Parquet file. Raises `UnreadableFile` for one that can't be read in little memory."""
    import pyarrow
    from pyarrow import parquet

    try:
        part = parquet.ParquetFile(open_regular(path), buffer_size=2**20)
    except (pyarrow.ArrowException, ValueError) as error:
        raise file_error("malformed", reason=f"{path.name}: {error}"[:300]) from error
    groups = range(part.metadata.num_row_groups)
    if any(part.metadata.row_group(n).total_byte_size > MAX_ROW_GROUP_MB * 2**20 for n in groups):
        raise file_error("row_group", limit=MAX_ROW_GROUP_MB)
    return part


def _write_buckets(reader: DumpReader, index: Index, numbers: dict[str, int], folder: Path) -> None:
    """Writes each stock's rows into its bucket, with the stock's number and the row's line."""
    import pyarrow
    from pyarrow import compute, ipc

    keys = pyarrow.array(list(numbers), pyarrow.string())
    stock_of_key = pyarrow.array(list(numbers.values()), pyarrow.int32())
    bucket_of_stock = pyarrow.array([stock[2] for stock in index.stocks], pyarrow.int32())
    options = ipc.IpcWriteOptions(compression="lz4")
    writers: dict[int, Any] = {}
    schema, line = None, 1
    try:
        for batch in reader.batches():
            stocks = stock_of_key.take(compute.index_in(reader.keys(batch), value_set=keys))
            lines = pyarrow.array(range(line, line + batch.num_rows), pyarrow.int64())
            line += batch.num_rows
            rows = pyarrow.table([*batch.columns, stocks, lines], names=[*batch.schema.names, STOCK, LINE])
            schema = schema or rows.schema
            rows = rows.cast(schema).filter(compute.is_valid(stocks))
            buckets = bucket_of_stock.take(rows[STOCK])
            for bucket in compute.unique(buckets).to_pylist():
                if bucket not in writers:
                    writers[bucket] = ipc.new_file(str(folder / f"{bucket}.arrow"), schema, options=options)
                writers[bucket].write_table(rows.filter(compute.equal(buckets, bucket)))
    finally:
        for writer in writers.values():
            writer.close()


def _heads(names: Sequence[str]) -> list[str]:
    return ["" if name == "__index_level_0__" else name for name in names]
