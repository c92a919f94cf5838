"""The current time in a market's time zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.sources.raw_answers import replay_moment


def market_now(market: str) -> datetime:
    """Returns the time; in a replay that of the recorded call."""
    zone = ZoneInfo(MARKET_TIME_ZONES[market])
    moment = replay_moment()
    return moment.astimezone(zone) if moment else datetime.now(zone)


def market_today(market: str, at: datetime | None = None) -> date:
    """Returns the market's day, now or at an aware time."""
    return (at.astimezone(ZoneInfo(MARKET_TIME_ZONES[market])) if at else market_now(market)).date()
