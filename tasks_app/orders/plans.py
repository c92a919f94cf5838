"""When plans are due, and what they order. `workers.plan_scheduler` starts them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from tasks_app import errors
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.db.functions import database_now
from tasks_app.market import calendars
from tasks_app.models import CollectionPlan
from tasks_app.models.plans import Rhythm
from tasks_app.models.quotes import Market
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order

LOOK_AHEAD = timedelta(days=60)  # no market is closed for longer
MAX_SKIPPED = 999
ID = r"[1-9][0-9]{0,17}"


def next_run(plan: CollectionPlan, after: datetime) -> datetime:
    """Returns the plan's first time after `after` (aware), by its rhythm in the market's time zone."""
    return next(_runs_after(plan, after))


def following_runs(plan: CollectionPlan, now: datetime, count: int = 5) -> list[datetime]:
    """Returns the plan's next times (aware): the one at which it is due first; [] while it is disabled."""
    if not plan.next_at:
        return []
    return [plan.next_at, *islice(_runs_after(plan, max(plan.next_at, now)), count - 1)]


def _runs_after(plan: CollectionPlan, after: datetime) -> Iterator[datetime]:
    """Yields the plan's times after `after`, of the days that it looks ahead.

    A time that a change of the clocks skips or repeats counts once.
    """
    zone = ZoneInfo(MARKET_TIME_ZONES[plan.market])
    today = after.astimezone(zone).date()
    days = [today + timedelta(days=n) for n in range(LOOK_AHEAD.days + 1)]
    if plan.rhythm == Rhythm.SESSIONS:
        days = list(calendars.load_calendar(plan.market).sessions(days[0], days[-1]).days)
    elif plan.rhythm == Rhythm.WEEKLY:
        days = [day for day in days if day.weekday() == plan.weekday]
    runs = (datetime.combine(day, plan.at, zone).astimezone(UTC) for day in days)
    return (run for run in runs if run > after)


def upcoming(limit: int) -> QuerySet[CollectionPlan]:
    """Returns the enabled plans in the order in which they are due; waiting plans come first."""
    return CollectionPlan.objects.filter(enabled=True).order_by("next_at", "pk")[:limit]


def get_plan(plan_id: str) -> CollectionPlan:
    """Returns the plan of an untrusted id. Raises `PlanNotFound`."""
    plans = CollectionPlan.objects.select_related("created_by")
    plan = plans.filter(pk=int(plan_id)).first() if re.fullmatch(ID, plan_id) else None
    if plan is None:
        raise errors.PlanNotFound(plan=plan_id[:40])
    return plan


def build_order(plan: CollectionPlan, now: datetime, days: int | None = None) -> Order:
    """Returns the order of a plan that starts at `now` (aware): `days` (its own), up to the market's today.

    The days are counted back from the day on which the plan was due, so that a delay loses none of them.
    """
    zone = ZoneInfo(MARKET_TIME_ZONES[plan.market or Market.CN])
    due = min(plan.next_at or now, now).astimezone(zone).date()
    return Order(
        start_date=due - timedelta(days=(days or plan.days) - 1),
        end_date=now.astimezone(zone).date(),
        market=plan.market,
        source=plan.source,
        fallbacks=None if plan.fallbacks is None else tuple(plan.fallbacks),
        adjust=plan.adjust,
        stock_codes=tuple(plan.stock_codes or ()) or None,
        full_collection_mode=plan.full_collection_mode,
        force_update=plan.force_update,
        kind=plan.kind,
        verify_with=plan.verify_with,
        verify_sample=plan.verify_sample,
    )


def check(plan: CollectionPlan) -> None:
    """Checks every value of a plan, saved or not, and what it orders, as `check_order` does.

    Raises `InvalidPlan` or another `OrderError`.
    """
    open_ones = [name for name in ("market", "source") if not getattr(plan, name)]
    try:
        plan.clean_fields(exclude=["stock_codes", "fallbacks", *open_ones])
    except ValidationError as error:
        field, sentences = next(iter(error.message_dict.items()))
        name = getattr(plan._meta.get_field(field), "verbose_name", field)
        raise errors.InvalidPlan(field=field, name=name, reason=sentences[0]) from error
    check_order(plan)


def check_order(plan: CollectionPlan) -> None:
    """Checks that what a plan orders is valid today; completes its market and source, and cleans its codes.

    Raises `OrderError`.
    """
    order = build_order(plan, database_now())
    resolved = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
    orders.require_market(order, resolved)
    orders.require_usable_source(resolved, settings.COLLECTOR)
    plan.market, plan.source = resolved.market, resolved.source
    plan.stock_codes = list(resolved.stock_codes or ()) or None


def skipped_runs(plan: CollectionPlan, now: datetime) -> int:
    """Returns how many times of the plan passed since the one at which it is due; at most 999."""
    if not plan.next_at:
        return 0
    count, at = 0, plan.next_at
    while count < MAX_SKIPPED and (at := next_run(plan, at)) <= now:
        count += 1
    return count


def set_next_run(plan: CollectionPlan) -> None:
    """Sets the next run of a changed, unsaved plan by the database's clock; None if it is disabled."""
    plan.next_at = next_run(plan, database_now()) if plan.enabled else None
    plan.waiting_since, plan.error_code, plan.error_message = None, "", ""
