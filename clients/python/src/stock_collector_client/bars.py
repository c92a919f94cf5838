"""Bulk reads as Arrow tables: resumed when the connection breaks, never short."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pyarrow as pa

from stock_collector_client.errors import CollectorError, raise_for_error

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # with which an Arrow stream ends
POSITION = ("code", "day")  # of a row
BROKEN = (httpx.TransportError, pa.ArrowInvalid, EOFError, OSError)
UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout)
Open = Callable[[dict[str, Any]], AbstractContextManager[httpx.Response]]


class BarsIncomplete(Exception):
    """The stream was cut off more often than it was to be resumed."""


class _Body(io.RawIOBase):
    """The body of a response as a file, which remembers its last bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest, self._tail = chunks, memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest, self._tail = memoryview(chunk), (self._tail + chunk[-8:])[-8:]
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def has_end(self) -> bool:
        """Returns whether the stream's end mark came. Reads what is left."""
        for chunk in self._chunks:
            self._tail = (self._tail + chunk[-8:])[-8:]
        return self._tail == END


def read_table(open_response: Open, body: dict[str, Any], *, resumes: int) -> pa.Table:
    """Returns all rows that a POST body asks for: a panel, or bars by code and day, codes as text.

    A broken stream is continued behind its last row, and a busy server asked again when it says so, together
    `resumes` times at most. Raises `BarsIncomplete` then, `CollectorError`, and httpx's error where the
    server cannot be reached. A part that follows a break is as stored then, unless `as_of` names one moment.
    """
    is_wide = body.get("layout") == "wide"
    names, body = None if is_wide else body.get("columns"), dict(body)
    position = POSITION[1:] if is_wide else POSITION
    if names:
        body["columns"] = [*names, *(name for name in POSITION if name not in names)]
    batches: list[pa.RecordBatch] = []
    limit, rows = body.get("limit"), 0
    for attempt in range(resumes + 1):
        try:
            for batch in _batches(open_response, body):
                batches.append(batch)
                rows += batch.num_rows
            break
        except (CollectorError, *BROKEN) as error:
            pause = _pause(error, attempt, last=attempt == resumes, begun=bool(batches))
        if rows:
            last = next(batch for batch in reversed(batches) if batch.num_rows)
            body["cursor"] = ",".join(str(last.column(name)[-1].as_py()) for name in position)
        if limit is not None and (left := limit - rows) < 1:
            break
        if limit is not None:
            body["limit"] = left
        time.sleep(pause)
    table = _text(pa.Table.from_batches(batches))
    return table.select(names) if names else table


def _pause(error: Exception, attempt: int, *, last: bool, begun: bool) -> float:
    """Returns the seconds to wait after an error. Raises what is to be told where it is not tried again."""
    if isinstance(error, CollectorError):
        if last or error.retry_after is None:
            raise error
        return error.retry_after
    if last and isinstance(error, UNREACHABLE) and not begun:
        raise error
    if last:
        raise BarsIncomplete(f"The stream was cut off {attempt + 1} times: {error}") from error
    return min(2**attempt / 10, 5)


def _batches(open_response: Open, body: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Yields the batches of one response; first an empty one that has the schema."""
    with open_response(body) as response:
        if not response.is_success:
            response.read()
            raise_for_error(response)
        content = _Body(response.iter_bytes())
        whole = io.BufferedReader(content)  # reads as many bytes as Arrow asks for
        with pa.ipc.open_stream(pa.PythonFile(whole, "r")) as reader:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield from (batch for batch in reader if batch.num_rows)
            if not content.has_end():
                raise EOFError("the end of the stream is missing")


def _text(table: pa.Table) -> pa.Table:
    """Returns the table with texts where it has dictionaries of texts."""
    types = ((field.name, field.type) for field in table.schema)
    coded = [name for name, kind in types if pa.types.is_dictionary(kind)]
    for name in coded:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.string()))
    return table
