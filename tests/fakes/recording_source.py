"""A source that returns the bars a test has set and records the requests that it gets."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from tasks_app.conf import ADJUSTS, MARKETS, Conf
from tasks_app.market import calendars
from tasks_app.sources.base import Bar, Request, SourceError, Symbol


class RecordingSource:
    """Returns the bars set for the code and adjustment, within the requested days."""

    name = "recording"
    markets = MARKETS
    adjusts = ADJUSTS
    bars: dict[tuple[str, str], list[Bar]] = {}
    stock_list: list[Symbol] = []
    requests: list[Request] = []
    list_requests = 0
    list_error: SourceError | None = None

    @classmethod
    def from_conf(cls, conf: Conf) -> "RecordingSource":
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        type(self).list_requests += 1
        if self.list_error:
            raise self.list_error
        return self.stock_list

    def fetch(self, request: Request) -> Sequence[Bar]:
        self.requests.append(request)
        bars = self.bars.get((request.code, request.adjust), [])
        return [bar for bar in bars if request.start <= bar.day <= request.end]


class GrowingSource(RecordingSource):
    """The same, with a history that may grow (`grows`)."""

    name = "growing"
    grows = True


def with_recording_source(conf: Conf) -> Conf:
    """Returns the settings with both sources, emptied."""
    RecordingSource.bars, RecordingSource.stock_list, RecordingSource.requests = {}, [], []
    RecordingSource.list_requests, RecordingSource.list_error = 0, None
    paths = (
        ("recording", "tests.fakes.recording_source:RecordingSource"),
        ("growing", "tests.fakes.recording_source:GrowingSource"),
    )
    return replace(conf, sources=paths, backoff=0.0)


def make_bar(day: date, close: float = 10.0, **fields: object) -> Bar:
    """Returns a valid bar with this close."""
    bar = Bar(day, close, close + 0.1, close - 0.1, close, 1_000)
    return bar._replace(**fields)  # type: ignore[arg-type]


def set_bars(code: str, days: Iterable[date], adjust: str = "", close: float = 10.0) -> None:
    """Makes the source return one bar for each of the days."""
    RecordingSource.bars[code, adjust] = [make_bar(day, close) for day in days]


def sessions(first: date, last: date, market: str = "CN") -> list[date]:
    """Returns the market's trading days."""
    return list(calendars.load_calendar(market).sessions(first, last).days)
