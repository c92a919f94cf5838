"""A source whose vendor is a dictionary, and whose parser a test can change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from tasks_app.conf import Conf
from tasks_app.sources import raw_answers, registry
from tasks_app.sources.base import Bar, Factor, Permanent, Request, Setting, Symbol

TOKEN = "a-very-secret-token"
DAYS = (date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 5))


class Told:
    """`vendor` answers by code and day with a close; `lot` is what the parser multiplies volumes by."""

    name = "told"
    markets = ("CN",)
    adjusts = ("", "qfq")
    calendar = False
    settings: ClassVar[tuple[Setting, ...]] = (Setting("token", secret=True),)
    vendor: ClassVar[dict[str, dict[str, float]]] = {}
    asked: ClassVar[list[Any]] = []
    factors: ClassVar[list[list[str]]] = []
    lot: ClassVar[int] = 1
    column: ClassVar[str] = "close"

    def __init__(self, token: str) -> None:
        self.token = token

    @classmethod
    def from_conf(cls, conf: Conf) -> "Told":
        return cls(conf.source_settings(cls)["token"])

    def symbols(self, market: str) -> Sequence[Symbol]:
        return [Symbol(code) for code in self.vendor]

    def fetch(self, request: Request) -> Sequence[Bar]:
        rows = self._ask({"code": request.code, "start": f"{request.start}", "end": f"{request.end}"})
        return [self._parse(row) for row in rows]

    def fetch_factors(self, market: str, code: str) -> Sequence[Factor]:
        return [Factor(date.fromisoformat(day), Decimal(hfq)) for day, hfq in self._ask({"factors": code})]

    def _ask(self, question: dict[str, Any]) -> list[Any]:
        body = raw_answers.exchange({**question, "token": self.token}, lambda: self._vendor_says(question))
        rows: list[Any] = json.loads(body)["rows"]
        return rows

    def _vendor_says(self, question: dict[str, Any]) -> bytes:
        type(self).asked.append(question)
        rows: list[Any] = self.factors
        if "code" in question:
            days = self.vendor[question["code"]].items()
            rows = [{"day": d, "close": c} for d, c in days if question["start"] <= d <= question["end"]]
        elif "day" in question:
            day = question["day"]
            closes = {code: days.get(day) for code, days in self.vendor.items()}
            rows = [{"code": code, "day": day, "close": close} for code, close in closes.items() if close]
        return json.dumps({"rows": rows, "echo": self.token}).encode()

    def _parse(self, row: Mapping[str, Any]) -> Bar:
        if self.column not in row:
            raise Permanent(f"The columns have changed: {sorted(row)}.", code="columns_changed")
        close = row[self.column]
        return Bar(date.fromisoformat(row["day"]), close, close, close, close, 10 * self.lot)


class ToldByDay(Told):
    """Answers with whole days, too."""

    name = "told_by_day"
    vendor: ClassVar[dict[str, dict[str, float]]] = {}
    asked: ClassVar[list[Any]] = []
    day_adjusts = ("",)

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        return {row["code"]: self._parse(row) for row in self._ask({"day": day.isoformat()})}


class ToldMany(Told):
    """Answers with several stocks at once, too."""

    name = "told_many"
    vendor: ClassVar[dict[str, dict[str, float]]] = {}
    asked: ClassVar[list[Any]] = []
    batch_size = 10

    def fetch_many(self, requests: Sequence[Request]) -> Mapping[str, Sequence[Bar]]:
        return {request.code: self.fetch(request) for request in requests}


SOURCES = (Told, ToldByDay, ToldMany)
CLOSES = {day.isoformat(): 10.0 + n for n, day in enumerate(DAYS)}


def with_recorded_sources(conf: Conf, monkeypatch: Any) -> Conf:
    """Returns the settings with these sources, two stocks at their vendor, and raw answers kept."""
    for kind in SOURCES:
        kind.asked.clear()
        monkeypatch.setattr(kind, "vendor", {"000001": dict(CLOSES), "000002": dict(CLOSES)})
        monkeypatch.setattr(kind, "factors", [["2024-03-04", "1.5"]])
    registry.forget_sources()
    registry.traits.cache_clear()
    return replace(
        conf,
        sources=tuple((kind.name, f"tests.fakes.recorded_source:{kind.__name__}") for kind in SOURCES),
        backoff=0.0,
        max_attempts=1,
        adjustment_data=False,
        raw_answers=("all",),
        environment=(("COLLECTOR_TOLD_TOKEN", TOKEN),),
    )
