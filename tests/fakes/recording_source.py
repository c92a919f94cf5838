"""A source whose answers tests write down beforehand, and that notes what it was asked."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.market import calendars
from tasks_app.sources.base import Bar, Request, SourceError, Symbol


class Ledger:
    """Answers with the bars written down for the code and adjustment, as far as they were asked for."""

    name = "ledger"
    markets = MARKETS
    adjusts = ADJUSTS
    bars: dict[tuple[str, str], list[Bar]] = {}
    listed: list[Symbol] = []
    asked: list[Request] = []
    lists_asked = 0
    fault: SourceError | None = None

    @classmethod
    def from_conf(cls, conf: Conf) -> "Ledger":
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        type(self).lists_asked += 1
        if self.fault:
            raise self.fault
        return self.listed

    def fetch(self, request: Request) -> Sequence[Bar]:
        self.asked.append(request)
        bars = self.bars.get((request.code, request.adjust), [])
        return [bar for bar in bars if request.start <= bar.day <= request.end]


class Folder(Ledger):
    """The same, whose past may grow."""

    name = "folder"
    grows = True


def ledger_conf(conf: Conf) -> Conf:
    """The settings with an empty ledger in them."""
    Ledger.bars, Ledger.listed, Ledger.asked = {}, [], []
    Ledger.lists_asked, Ledger.fault = 0, None
    paths = (
        ("ledger", "tests.fakes.recording_source:Ledger"),
        ("folder", "tests.fakes.recording_source:Folder"),
    )
    return replace(conf, sources=paths, backoff=0.0)


def make_bar(day: date, close: float = 10.0, **fields: object) -> Bar:
    """A sound bar that closes so."""
    bar = Bar(day, close, close + 0.1, close - 0.1, close, 1_000)
    return bar._replace(**fields)  # type: ignore[arg-type]


def write(code: str, days: Iterable[date], adjust: str = "", close: float = 10.0) -> None:
    """Write down a bar of each day."""
    Ledger.bars[code, adjust] = [make_bar(day, close) for day in days]


def sessions(first: date, last: date, market: str = "CN") -> list[date]:
    """The market's trading days."""
    return list(calendars.load_calendar(market).sessions(first, last).days)
