"""Adds each request for a stock to its attempts, which are written when it is recorded or requeued."""

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks_app.db.functions import clock_offset
from tasks_app.engine.call_pool import Call
from tasks_app.engine.source_router import StockRequest
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.sources.base import SourceError


class AttemptLog:
    """Knows the worker, and by how many seconds this host's clock is ahead of the database's."""

    def __init__(self) -> None:
        self._ahead = clock_offset()  # of the database's
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    def add(self, items: Sequence[StockRequest], source: str, content: str, call: Call[Any]) -> None:
        """Adds a call that has ended to its stocks; `content` is what was requested other than bars."""
        for item in items:
            result: Any = call.error or call.result
            if isinstance(result, Mapping) and (result := result.get(item.claim.code)) is None:
                continue  # a batch without an answer for it: it is requested by itself
            is_error = isinstance(result, SourceError)
            attempt = Attempt(
                self._before(call.seconds),
                source,
                content or ("comparison" if item.comparison.is_open else ""),
                latency_ms=round(call.seconds * 1000),
                stocks=len(items),
                bars=None if is_error or content else len(result),
                error_code=result.code if is_error else "",
                error_message=str(result) if is_error else "",
                worker=self._worker,
            )
            item.claim.add_attempt(attempt)

    def add_days(self, item: StockRequest, source: str, bars: int) -> None:
        """Adds that days of the whole market answered a stock, without a request of its own."""
        item.claim.add_attempt(Attempt(self._before(0.0), source, "days", bars=bars, worker=self._worker))

    def _before(self, seconds: float) -> str:
        at = datetime.now(UTC) - timedelta(seconds=seconds + self._ahead)
        return at.isoformat(timespec="milliseconds")
