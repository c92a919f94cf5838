"""A stand-in for a vendor: answers when the test lets it, and every code that ends in 7 fails.

A task has the same failures each time, and a retry fails for the same stocks again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from tasks_app.sources.base import Bar, Permanent, Request, Symbol
from tasks_app.sources.cn_codes import listed_exchange
from tests.fakes.held_source import HeldSource

FAILING_SUFFIX = "7"


class FailingSource(HeldSource):
    name: ClassVar[str] = "drill"
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    synthetic: ClassVar[bool] = False

    def symbols(self, market: str) -> Sequence[Symbol]:
        listed = super().symbols(market)
        return [replace(symbol, exchange=listed_exchange(symbol.code)) for symbol in listed]

    def fetch(self, request: Request) -> Sequence[Bar]:
        bars = super().fetch(request)
        if request.code.endswith(FAILING_SUFFIX):
            raise Permanent(f"The drill refuses {request.code}.")
        return bars
