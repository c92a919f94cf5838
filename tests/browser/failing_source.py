"""A source for the browser tests: the simulated exchange, but every code that ends in 7 fails.

A task has the same failures each time, and a retry fails for the same stocks again.
"""

from collections.abc import Sequence
from typing import ClassVar

from tasks_app.sources.base import Bar, Permanent, Request
from tasks_app.sources.simulated.source import SimulatedSource

FAILING_SUFFIX = "7"


class FailingSource(SimulatedSource):
    """Takes COLLECTOR_SIMULATED_LATENCY seconds per request."""

    name: ClassVar[str] = "drill"
    markets: ClassVar[tuple[str, ...]] = ("CN",)

    def fetch(self, request: Request) -> Sequence[Bar]:
        bars = super().fetch(request)
        if request.code.endswith(FAILING_SUFFIX):
            raise Permanent(f"The drill refuses {request.code}.")
        return bars
