"""When plans are due, and what they order. `engine.scheduler` starts them."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.db.functions import database_now
from tasks_app.market import calendars
from tasks_app.models import CollectionPlan
from tasks_app.models.plans import Rhythm
from tasks_app.orders.order import Order

LOOK_AHEAD = timedelta(days=60)  # no market is closed for longer
DAY = timedelta(days=1)


def next_run(plan: CollectionPlan, after: datetime) -> datetime:
    """The plan's first time after `after` (aware), in the market's time zone."""
    zone = ZoneInfo(MARKET_TIME_ZONES[plan.market])
    today = after.astimezone(zone).date()
    days = _days(plan, today, today + LOOK_AHEAD)
    return next(run for day in days if (run := _at(day, plan.at, zone)) > after)


def upcoming(limit: int) -> QuerySet[CollectionPlan]:
    """The plans that are due next, those that wait first."""
    return CollectionPlan.objects.filter(enabled=True).order_by("next_at", "pk")[:limit]


def order_of(plan: CollectionPlan, now: datetime) -> Order:
    """What the plan orders when it starts at `now` (aware): its days up to the market's today.

    They are counted back from the day it was due: one that was held up leaves out none of them.
    """
    zone = ZoneInfo(MARKET_TIME_ZONES[plan.market])
    today = now.astimezone(zone).date()
    due = min(plan.next_at or now, now).astimezone(zone).date()
    return Order(
        start_date=due - timedelta(days=plan.days - 1),
        end_date=today,
        market=plan.market,
        source=plan.source,
        adjust=plan.adjust,
        stock_codes=tuple(plan.stock_codes or ()) or None,
        full_collection_mode=plan.full_collection_mode,
        force_update=plan.force_update,
    )


def set_clock(plan: CollectionPlan) -> None:
    """Give the changed plan, not saved yet, its next run by the database's clock; none if it is off."""
    plan.next_at = next_run(plan, database_now()) if plan.enabled else None
    plan.waiting_since, plan.error_code, plan.error_message = None, "", ""


def _days(plan: CollectionPlan, first: date, last: date) -> list[date]:
    """The days of the plan's rhythm from `first` to `last`."""
    if plan.rhythm == Rhythm.SESSIONS:
        return list(calendars.load_calendar(plan.market).sessions(first, last).days)
    days = [first + n * DAY for n in range((last - first).days + 1)]
    return days if plan.rhythm == Rhythm.DAILY else [day for day in days if day.weekday() == plan.weekday]


def _at(day: date, at: time, zone: ZoneInfo) -> datetime:
    """That time of that day; one that a change of the clocks skips or doubles counts once."""
    return datetime.combine(day, at, zone).astimezone(UTC)
