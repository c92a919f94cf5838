"""A source that misbehaves in a different way for each code; loaded by dotted path like a third party's."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from tasks_app.conf import Conf
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock

GOOD = Bar(date(2024, 3, 1), 10.0, 12.0, 9.0, 11.0, 1000)


class BrokenSource:
    """Serves codes that name the fault of their response: each code's method returns or raises it."""

    name = "broken"
    markets = ("CN", "HK", "US")
    adjusts = ("",)
    calls: list[str] = []

    @classmethod
    def from_conf(cls, conf: Conf) -> "BrokenSource":
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        if market == "HK":
            return []
        if market == "US":
            raise Permanent("The list is gone.", code="list_gone")
        return [Symbol("GOOD"), Symbol("NAN")]

    def fetch(self, request: Request) -> Sequence[Bar]:
        self.calls.append(request.code)
        return getattr(self, request.code.lower())(request)

    def good(self, request: Request) -> Sequence[Bar]:
        return [GOOD]

    def raises(self, request: Request) -> Sequence[Bar]:
        raise ZeroDivisionError("a vendor's bug")

    def unknown(self, request: Request) -> Sequence[Bar]:
        raise UnknownStock("There is no such stock.")

    def busy(self, request: Request) -> Sequence[Bar]:
        raise Transient("Too many requests.", code="throttled", retry_after=0.001)

    def once(self, request: Request) -> Sequence[Bar]:
        if self.calls.count(request.code) > 1:
            return [GOOD]
        raise Transient("Try again.", retry_after=0.001)

    def nul(self, request: Request) -> Sequence[Bar]:
        raise Permanent("a\0b" + "x" * 5000)

    def table(self, request: Request) -> Sequence[Bar]:
        import numpy  # its arrays have no truth value

        return numpy.zeros((2, 6))  # type: ignore[return-value]

    def empty(self, request: Request) -> Sequence[Bar]:
        return []

    def nan(self, request: Request) -> Sequence[Bar]:
        return [GOOD._replace(close=float("nan"))]

    def low(self, request: Request) -> Sequence[Bar]:
        return [GOOD._replace(high=5.0)]

    def twice(self, request: Request) -> Sequence[Bar]:
        return [GOOD, GOOD._replace(close=10.5)]

    def future(self, request: Request) -> Sequence[Bar]:
        return [GOOD, GOOD._replace(day=datetime.now().date() + timedelta(days=3))]

    def huge(self, request: Request) -> Sequence[Bar]:
        return [GOOD._replace(volume=2**70)]

    def shifted(self, request: Request) -> Sequence[Bar]:
        return [GOOD._replace(open=11.5, close=9.5)]


def with_broken_source(conf: Conf) -> Conf:
    """Returns the settings with this source, no retry delay and a short time-out."""
    BrokenSource.calls.clear()
    return replace(
        conf, sources=(("broken", "tests.fakes.broken_sources:BrokenSource"),), backoff=0.0, fetch_timeout=0.5
    )
