"""The client: one method for each verb of the API."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import httpx

from stock_collector_client.bars import read_table
from stock_collector_client.errors import raise_for_error

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Day = date | str  # YYYY-MM-DD; of a datetime, as of pandas' Timestamp, its day counts
Json = dict[str, Any]


def _day(day: Day) -> str:
    return str(day.date() if isinstance(day, datetime) else day)


def _names(names: Sequence[str]) -> list[str]:
    """Returns the names as a list. One text is one name, not a sequence of letters."""
    return [names] if isinstance(names, str) else list(names)


class Client:
    """A connection to one server, by token. A context manager.

    `url` is the server's, as http://127.0.0.1:8000; `language` that of error sentences (`en`, `zh-hans`).
    Every method raises `CollectorError` with the server's sentence when it is refused, and `httpx.HTTPError`
    when the server cannot be reached. Only bulk reads are tried again.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        language: str = "en",
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/data-collection/",
            headers={"Authorization": f"Token {token}", "Accept-Language": language},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def start(
        self,
        start_date: Day,
        end_date: Day,
        *,
        stock_codes: Sequence[str] = (),
        idempotency_key: str = "",
        **fields: Any,
    ) -> Json:
        """Starts a collection, and returns the answer, with its `task_id`.

        With `queue=True` an order that must wait is queued instead of refused: the answer's `status` is
        `queued`, and it has the order's `id` for `queued_order`, whose `task_id` is null until it starts.
        `fields` are the further ones of `POST historical`: market, source, adjust, priority … A start
        that is repeated with the same `idempotency_key` returns the task that the first one started.
        """
        body = {"start_date": _day(start_date), "end_date": _day(end_date), **fields}
        if stock_codes:
            body["stock_codes"] = _names(stock_codes)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._object("POST", "historical", json=body, headers=headers)

    def status(self, task_id: str) -> Json:
        """Returns a task's state and counters."""
        return self._object("GET", f"status/{task_id}")

    def watch(
        self,
        task_id: str,
        *,
        every: float = 1,
        timeout: float | None = None,
        on_change: Callable[[Json], object] | None = None,
    ) -> Json:
        """Waits until a task has ended, and returns its status. Raises `TimeoutError` after `timeout` s.

        A task that yields to a plan is followed to the task that continues it: the status is of the last part
        of the chain. Calls `on_change` with each status that differs from the one before. The end may be
        `failed`.
        """
        end = None if timeout is None else time.monotonic() + timeout
        tag, seen = "", Json()
        while True:
            response = self._http.get(f"status/{task_id}", headers={"If-None-Match": tag} if tag else {})
            if response.status_code != httpx.codes.NOT_MODIFIED:
                raise_for_error(response)
                tag, seen = response.headers.get("ETag", ""), response.json()
                if on_change:
                    on_change(seen)
            if seen.get("continued_by"):
                task_id, tag = seen["continued_by"], ""
                continue
            if seen["status"] != "running" and not (seen.get("chain") or {}).get("goes_on"):
                return seen
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"Task {task_id} is still running: {seen['progress']}%.")
            time.sleep(every)

    def cancel(self, task_id: str) -> Json:
        """Cancels a running task."""
        return self._object("DELETE", f"tasks/{task_id}")

    def pause(self, task_id: str) -> Json:
        """Pauses a running task: it stays `running`, and its source gets no request until `resume`."""
        return self._object("POST", f"tasks/{task_id}/pause")

    def resume(self, task_id: str) -> Json:
        """Lets a paused task go on."""
        return self._object("POST", f"tasks/{task_id}/resume")

    def queue(self, **filters: Any) -> Iterator[Json]:
        """Yields the orders that wait, the next one first; with `state` those that left, newest first."""
        return self._pages("queue", filters)

    def queued_order(self, order_id: int) -> Json:
        """Returns a queued order with its events, and its `task_id` once it has started."""
        return self._object("GET", f"queue/{order_id}")

    def move_order(self, order_id: int, **changes: Any) -> Json:
        """Gives a waiting order another `position` among those of its priority, or another `priority`."""
        return self._object("PATCH", f"queue/{order_id}", json=changes)

    def withdraw_order(self, order_id: int) -> Json:
        """Takes a waiting order out of the queue."""
        return self._object("DELETE", f"queue/{order_id}")

    def retry(self, task_id: str, *, error_code: str = "") -> Json:
        """Starts a task with the failed and unprocessed stocks of another one."""
        return self._object(
            "POST", f"tasks/{task_id}/retry", json={"error_code": error_code} if error_code else {}
        )

    def tasks(self, **filters: Any) -> Iterator[Json]:
        """Yields tasks, newest first, page by page: status, market, source, outcome, started_after …"""
        yield from self._pages("tasks", filters)

    def items(self, task_id: str, **filters: Any) -> Iterator[Json]:
        """Yields the stocks of a task: status, code, error_code.

        With `chain=True` those of the whole run of a task that yielded or continues another one, each with
        its `task_id`.
        """
        yield from self._pages(f"tasks/{task_id}/items", filters)

    def errors(self, task_id: str, *, chain: bool = False) -> list[Json]:
        """Returns the failures of a task by error code; with `chain` those of the whole run, likewise."""
        return list(self._pages(f"tasks/{task_id}/errors", {"chain": True} if chain else {}))

    def stock_list(self, market: str = "CN", **filters: Any) -> Json:
        """Returns `total` and the first `stocks` of a market: 100, unless `limit` says otherwise."""
        return self._object("GET", "stock-list", params={"market": market, **filters})

    def coverage(self, **filters: Any) -> list[Json]:
        """Returns what is stored, by market, adjustment and source."""
        return list(self._pages("coverage", filters))

    def changes(self, since: int = 0, *, market: str = "", limit: int = 1000) -> Json:
        """Returns one page of changes after a number, and `last`, which is the next call's `since`."""
        filters = {"market": market} if market else {}
        return self._object("GET", "changes", params={"since": since, "limit": limit, **filters})

    @overload
    def bars(self, market: str, *, frame: Literal["pandas"] = ..., **query: Any) -> "pd.DataFrame": ...
    @overload
    def bars(self, market: str, *, frame: Literal["polars"], **query: Any) -> "pl.DataFrame": ...
    @overload
    def bars(self, market: str, *, frame: Literal["arrow"], **query: Any) -> "pa.Table": ...
    def bars(
        self,
        market: str,
        *,
        frame: Literal["pandas", "polars", "arrow"] = "pandas",
        codes: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        start: Day | None = None,
        end: Day | None = None,
        resumes: int = 5,
        **query: Any,
    ) -> Any:
        """Returns the bars of some or all stocks, in the order of code and day, codes as text.

        `query` has the further parameters of `POST bars`: adjust, as_of, limit … Days are pandas' datetime64.
        A broken stream is resumed, and a busy server asked again when it says so, up to `resumes` times.
        Raises `BarsIncomplete` if the stream is still cut off; never returns a part.
        """
        if frame not in ("pandas", "polars", "arrow"):
            raise ValueError(f"There is no frame {frame!r}: pandas, polars, arrow.")
        body = {"market": market, **query}
        days = {"start": start, "end": end}
        body |= {name: _day(day) for name, day in days.items() if day is not None}
        lists = {"codes": codes, "columns": columns}
        body |= {name: _names(names) for name, names in lists.items() if names is not None}
        return _frame(read_table(self._open_bars, body, resumes=resumes), frame)

    def panel(
        self,
        market: str,
        column: str = "close",
        *,
        frame: Literal["pandas", "polars", "arrow"] = "pandas",
        **query: Any,
    ) -> Any:
        """Returns one column of some or all stocks: a row for each day, a column for each code.

        `query` is that of `bars`. A stock without a bar has none there: NaN in pandas, null in the others.
        In pandas the days are the index.
        """
        table = self.bars(market, frame="arrow", layout="wide", columns=[column], **query)
        found = _frame(table, frame)
        return found.set_index("day") if frame == "pandas" else found

    def _open_bars(self, body: Json) -> Any:
        return self._http.stream("POST", "bars", params={"format": "arrow"}, json=body)

    def _object(self, method: str, path: str, **request: Any) -> Json:
        response = self._http.request(method, path, **request)
        raise_for_error(response)
        found: Json = response.json()
        return found

    def _pages(self, path: str, filters: Json) -> Iterator[Json]:
        address, params = path, filters or None
        while address:
            response = self._http.get(address, params=params)
            raise_for_error(response)
            yield from response.json()
            address, params = response.links.get("next", {}).get("url", ""), None


def _frame(table: "pa.Table", frame: str) -> Any:
    if frame == "arrow":
        return table
    if frame == "polars":
        import polars

        return polars.from_arrow(table)
    return table.to_pandas(date_as_object=False)
