"""Factories of targets, and of what makes a session complete."""

from datetime import UTC, date, datetime, time
from typing import Any

from tasks_app.models import DailyBar, MarketDay, Series, Stock, Target
from tests.api.factories import make_bars, make_stock

SESSION = date(2024, 4, 30)  # a Tuesday: the market is closed until the 6th of May
NEXT_SESSION = date(2024, 5, 6)


def at(text: str) -> datetime:
    """Returns a moment in Shanghai: "30 17:30" is of April, "05-06 17:30" of any month."""
    day, clock = text.split()
    day = f"2024-{day}" if "-" in day else f"2024-04-{day}"
    return datetime.fromisoformat(f"{day}T{clock}+08:00").astimezone(UTC)


def make_target(**fields: Any) -> Target:
    """Creates a target of the Chinese market at 17:30, in force since the morning of `SESSION`."""
    defaults = {"name": "A-shares", "market": "CN", "at": time(17, 30), "since": at("30 09:00")}
    return Target.objects.create(**{**defaults, **fields})


def seal(moment: datetime, day: date = SESSION, **fields: Any) -> MarketDay:
    """Makes a day a sealed one."""
    values = {"sealed_at": moment, "checksum": "x", "bars": 3, "reasons": 1, "pending": False}
    key = {"market": "CN", "kind": "stock", "day": day}
    return MarketDay.objects.update_or_create(**key, defaults={**values, **fields})[0]


def store(code: str, moment: datetime | None, *, adjust: str = "", source: str = "recording") -> Stock:
    """Creates a listed stock with a bar of `SESSION` that was stored at the moment; without any for None."""
    stock = Stock.objects.filter(market="CN", code=code).first() or make_stock("CN", code)
    if moment:
        make_bars(stock, 1, SESSION, adjust=adjust, source=source)
        bars = DailyBar.objects.filter(symbol=code, adjust=adjust, day=SESSION)
        bars.update(collected_at=moment)
        key = {"market": "CN", "symbol": code, "adjust": adjust}
        Series.objects.update_or_create(**key, defaults={"bars": 1, "updated_at": moment})
    return stock


def suspend(code: str, moment: datetime, source: str = "recording") -> None:
    """Creates a listed stock that its source called suspended on `SESSION`."""
    stock, day = make_stock("CN", code), SESSION.isoformat()
    absent = [[day, day, "suspended", source, day, None]]
    Series.objects.create(market="CN", symbol=stock.code, absences=absent, updated_at=moment)
