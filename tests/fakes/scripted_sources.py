"""Sources that follow a test's script; three of them form a fallback chain. Loaded by dotted path."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from tasks_app.conf import Conf
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Permanent, Request, Symbol, Transient, UnknownStock

DAY = date(2024, 3, 1)
STOCKS = 6  # on the list of each source
Fetch = Callable[[Request], Sequence[Bar]]


def make_bar(close: float = 11.0, day: date = DAY) -> Bar:
    return Bar(day, 10.0, 12.0, 9.0, close, 1000)


def unknown_stock(request: Request) -> Sequence[Bar]:
    raise UnknownStock(f"Unknown stock {request.code}.")


def throttled(request: Request) -> Sequence[Bar]:
    raise Transient("Not now.", code="throttled")


def banned(request: Request) -> Sequence[Bar]:
    raise Transient("Come back in an hour.", code="banned", retry_after=3600)


def columns_changed(request: Request) -> Sequence[Bar]:
    raise Permanent("The columns have changed.", code="columns_changed")


def closes_at(close: float) -> Fetch:
    return lambda request: [make_bar(close)]


class First:
    """`script` answers the requests for stocks. `calls` records their codes, "list" for the list."""

    name = "first"
    markets = ("CN",)
    adjusts = ("", "qfq")
    calendar = False
    rate = 0.0
    daily = 0
    in_flight = 1
    most_workers = 0
    script: Fetch = staticmethod(closes_at(11.0))  # type: ignore[assignment]
    calls: list[str] = []

    def __init_subclass__(cls) -> None:
        """Gives each source its own script and calls."""
        cls.script = staticmethod(closes_at(11.0))  # type: ignore[assignment]
        cls.calls = []

    @classmethod
    def from_conf(cls, conf: Conf) -> "First":
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        self.calls.append("list")
        return [Symbol(f"{n:06d}") for n in range(1, STOCKS + 1)]

    def fetch(self, request: Request) -> Sequence[Bar]:
        self.calls.append(request.code)
        return type(self).script(request)


class Second(First):
    name = "second"


class Third(First):
    """Serves no adjustment."""

    name = "third"
    adjusts = ("",)


class ByDay(First):
    """Serves whole days as well, by its script `days`."""

    name = "by_day"
    days: Callable[[date], Any] = staticmethod(lambda day: {})  # type: ignore[assignment]

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        self.calls.append(day.isoformat())
        return type(self).days(day)  # type: ignore[no-any-return]


class Teller(ByDay):
    """Has factors and corporate actions as well, by its scripts `factors` and `actions`."""

    name = "teller"
    factors: Callable[[str], Any] = staticmethod(lambda code: [])  # type: ignore[assignment]
    actions: Callable[[str, date | None], Any] = staticmethod(lambda code, since: [])  # type: ignore[assignment]

    def fetch_factors(self, market: str, code: str) -> Any:
        self.calls.append(f"factors {code}")
        return type(self).factors(code)

    def fetch_actions(self, market: str, code: str, since: date | None) -> Any:
        self.calls.append(f"actions {code}")
        return type(self).actions(code, since)


class LoggedIn(First):
    """Keeps a session with its vendor, which its script `log_out` ends."""

    name = "logged_in"
    log_out: Callable[[], Any] = staticmethod(lambda: None)  # type: ignore[assignment]

    def end_session(self) -> None:
        type(self).log_out()


class Batcher(First):
    """Takes up to four stocks at once; `calls` records "+" between their codes."""

    name = "batcher"
    batch_size = 4
    many: Callable[[Sequence[Request]], Any] = staticmethod(  # type: ignore[assignment]
        lambda requests: {request.code: [make_bar()] for request in requests}
    )

    def fetch_many(self, requests: Sequence[Request]) -> Any:
        self.calls.append("+".join(request.code for request in requests))
        return type(self).many(requests)


def whole_market(day: date) -> dict[str, Bar]:
    return {f"{n:06d}": make_bar(day=day) for n in range(1, STOCKS + 1)}


SOURCES: tuple[type[First], ...] = (First, Second, Third, ByDay, Teller, LoggedIn, Batcher)


def with_scripted_sources(conf: Conf, monkeypatch: Any, **scripts: Any) -> Conf:
    """Returns the settings with these sources and no retry delay.

    `scripts` holds the script of a source by its name (`first=…`), and settings by theirs.
    """
    registry.traits.cache_clear()  # tests patch the sources' class attributes
    for kind in SOURCES:
        kind.calls.clear()
        if kind.name in scripts:
            monkeypatch.setattr(kind, "script", staticmethod(scripts.pop(kind.name)))
    paths = tuple((kind.name, f"tests.fakes.scripted_sources:{kind.__name__}") for kind in SOURCES)
    return replace(conf, **{"sources": paths, "backoff": 0.0, "fetch_timeout": 5.0, **scripts})


def without_token(conf: Conf, monkeypatch: Any, **scripts: Any) -> Conf:
    """Returns the same settings; the first source can't be made, because it lacks its token."""

    def from_conf(cls: type[First], conf: Conf) -> First:
        if cls is First:
            raise ValueError("VENDOR_TOKEN is not set")
        return cls()

    registry.forget_sources()  # it was made for another test
    monkeypatch.setattr(First, "from_conf", classmethod(from_conf))
    return with_scripted_sources(conf, monkeypatch, **scripts)
