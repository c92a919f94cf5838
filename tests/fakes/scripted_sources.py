"""Sources that do as they are told, one after another in a chain; loaded by dotted path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from tasks_app.conf import Conf
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock

DAY = date(2024, 3, 1)
Fetch = Callable[[Request], Sequence[Bar]]


def bar(close: float = 11.0, day: date = DAY) -> Bar:
    return Bar(day, 10.0, 12.0, 9.0, close, 1000)


def unknown(request: Request) -> Sequence[Bar]:
    raise UnknownStock(f"I know no {request.code}.")


def busy(request: Request) -> Sequence[Bar]:
    raise Transient("Not now.", code="throttled")


def banned(request: Request) -> Sequence[Bar]:
    raise Transient("Come back in an hour.", code="banned", retry_after=3600)


def broken(request: Request) -> Sequence[Bar]:
    raise Permanent("The columns have changed.", code="columns_changed")


def answers(close: float) -> Fetch:
    return lambda request: [bar(close)]


class First:
    """Its class attributes are its script; `told` resets them."""

    name = "first"
    markets = ("CN",)
    adjusts = ("", "qfq")
    calendar = False
    rate = 0.0
    daily = 0
    in_flight = 1
    most_workers = 0
    script: Fetch = staticmethod(answers(11.0))  # type: ignore[assignment]
    calls: list[str] = []

    @classmethod
    def from_conf(cls, conf: Conf) -> "First":
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        self.calls.append("list")
        return [Symbol(f"{n:06d}") for n in range(1, 61)]

    def fetch(self, request: Request) -> Sequence[Bar]:
        self.calls.append(request.code)
        return type(self).script(request)


class Second(First):
    name = "second"
    script: Fetch = staticmethod(answers(11.0))  # type: ignore[assignment]
    calls: list[str] = []


class Third(First):
    """Serves no adjustment."""

    name = "third"
    adjusts = ("",)
    script: Fetch = staticmethod(answers(11.0))  # type: ignore[assignment]
    calls: list[str] = []


class ByDay(First):
    """Answers days, too; `days` is their script."""

    name = "by_day"
    script: Fetch = staticmethod(answers(11.0))  # type: ignore[assignment]
    calls: list[str] = []
    days: Callable[[date], Any] = staticmethod(lambda day: {})  # type: ignore[assignment]

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        self.calls.append(day.isoformat())
        return type(self).days(day)  # type: ignore[no-any-return]


def whole_market(day: date) -> dict[str, Bar]:
    return {f"{n:06d}": bar(day=day) for n in range(1, 61)}


KINDS: tuple[type[First], ...] = (First, Second, Third, ByDay)


def scripted(conf: Conf, monkeypatch: Any, **scripts: Any) -> Conf:
    """The settings with these sources in them and no patience; `first=…` gives a source its script."""
    registry.traits.cache_clear()  # tests patch the sources' class attributes
    for kind in KINDS:
        kind.calls.clear()
        if kind.name in scripts:
            monkeypatch.setattr(kind, "script", staticmethod(scripts.pop(kind.name)))
    paths = tuple((kind.name, f"tests.fakes.scripted_sources:{kind.__name__}") for kind in KINDS)
    return replace(conf, **{"sources": paths, "backoff": 0.0, "fetch_timeout": 5.0, **scripts})
