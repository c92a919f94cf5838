"""A source for the browser tests: the simulated exchange, which refuses every code that ends in 7.

So a task has the same failures each time, and a retry fails on the same stocks again.
"""

from collections.abc import Sequence
from typing import ClassVar

from tasks_app.sources.base import Bar, Permanent, Request
from tasks_app.sources.simulated.source import SimulatedSource

REFUSED = "7"


class Drill(SimulatedSource):
    """As slow as COLLECTOR_SIMULATED_LATENCY says."""

    name: ClassVar[str] = "drill"
    markets: ClassVar[tuple[str, ...]] = ("CN",)

    def fetch(self, request: Request) -> Sequence[Bar]:
        bars = super().fetch(request)
        if request.code.endswith(REFUSED):
            raise Permanent(f"The drill refuses {request.code}.")
        return bars
