"""The current time in a market's time zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES


def market_now(market: str) -> datetime:
    return datetime.now(ZoneInfo(MARKET_TIME_ZONES[market]))


def market_today(market: str, at: datetime | None = None) -> date:
    """Returns the market's day, now or at an aware time."""
    return (at.astimezone(ZoneInfo(MARKET_TIME_ZONES[market])) if at else market_now(market)).date()
