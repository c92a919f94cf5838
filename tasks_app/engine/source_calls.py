"""The requests of a slice: what one call to a source is for, and which stocks share one."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

from tasks_app import logs
from tasks_app.engine.call_pool import Call
from tasks_app.engine.source_router import SourceState, StockRequest
from tasks_app.quotes.raw_answers import SourceCallRecord
from tasks_app.reasons import sanitize_message
from tasks_app.throttle.limiter import Blocked, Permit

MOST_CODES = 5  # of a batch, in a line of the log
logger = logging.getLogger(__name__)


@dataclass
class SourceCall:
    """One request to a source: for stocks (`items`), or for one day of the whole market (`day`).

    `content` is what is requested of a stock other than its bars: see `AdjustmentRequests`. `permit` is the
    last one that it got. `record` keeps the raw answer, if the source's are kept.
    """

    source: SourceState
    function: Callable[[], Any]
    items: Sequence[StockRequest] = ()
    day: date | None = None
    content: str = ""
    permit: Permit = field(default_factory=Permit)
    record: SourceCallRecord | None = None

    def run(self) -> Any:
        """Makes the request, in the thread of the call. What the vendor's client logs meanwhile is its."""
        with self.log_fields():
            return self.record.make(self.function) if self.record else self.function()

    def log_fields(self) -> AbstractContextManager[None]:
        """Context in which the log's lines have its source, and its stock or day."""
        codes = [item.claim.code for item in self.items[:MOST_CODES]]
        return logs.bind(source=self.source.name, code=",".join(codes), day=self.day)

    def log_end(self, call: Call[Any]) -> None:
        """Logs how long it took and what went wrong: at INFO if something did."""
        with self.log_fields():
            if call.error:
                text, code = sanitize_message(str(call.error)), call.error.code
                logger.info("attempt failed after %.3f s: %s: %s", call.seconds, code, text)
            else:
                logger.debug("attempt answered after %.3f s", call.seconds)

    def reserve(self, cost: int) -> list[Permit] | Blocked:
        """Reserves another permit for it, in the thread of the slice."""
        permits = self.source.limiter.reserve(1, cost, after=self.permit)
        if not isinstance(permits, Blocked):
            (self.permit,) = permits
        return permits

    @property
    def cost(self) -> int:
        """How many permits it takes."""
        bars = "batch" if len(self.items) > 1 else "bars"
        return self.source.traits.cost("day" if self.day else self.content or bars)


def batches_of(items: Iterable[StockRequest], most: int) -> list[list[StockRequest]]:
    """Returns the stocks grouped by their days, in groups of at most `most` and of their `batch_limit`.

    A suspect is alone, and so is a stock that failed in a batch of two.
    """
    groups: dict[Any, list[StockRequest]] = {}
    for number, item in enumerate(items):
        limit = 1 if item.claim.is_isolated else min(item.batch_limit or most, most)
        request = item.asked_request
        key = (request.start, request.end, limit) if limit > 1 else number
        groups.setdefault(key, []).append(item)
    batches = []
    for key, group in groups.items():
        size = key[2] if isinstance(key, tuple) else 1
        stocks = iter(group)
        while batch := list(islice(stocks, size)):
            batches.append(batch)
    return batches
