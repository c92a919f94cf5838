"""Estimates of an order before it is started: how many stocks and requests, and how long it takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import quantiles

from django.db.models import Q

from tasks_app.conf import Conf
from tasks_app.market import calendars, stock_list
from tasks_app.market.codes import kind_of
from tasks_app.models import CollectionTask, Series, StockList
from tasks_app.models.quotes import InstrumentKind
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.sources.base import Limits

TASKS_READ, TASKS_USED = 50, 10  # of the source's tasks, the newest first
REPRESENTATIVE = 50  # stocks: smaller tasks say little about the pace, and count only if there are no others
SLACK = 1.25
DAY_SECONDS = 86_400.0
FEW_CODES = 500  # up to which only their series are read, not those of the whole market


@dataclass(frozen=True)
class Estimate:
    """An estimate; None means unknown. `stocks` is an upper bound: stored days are not requested again.

    `low` to `high` is the duration by the middle half of the paces of the source's last `tasks` tasks of the
    same kind (so a single outlier does not widen it), and by the source's `limits`. Without such tasks `low`
    is what the limits leave for the requests that are needed in any case, and `high` is unknown. `unknown`
    are codes left out. `adjustments` of the requests are for factors and corporate actions. If the source
    serves the days of the whole market, `by_day` requests bring them to all stocks instead (0: it does not).
    An adjusted order whose source `has_no_factors` stores that source's own adjusted prices. `needed` are the
    requests that are made in any case. `compared` are those to the order's second source, `compared_with`,
    roughly: they are in no other figure.
    """

    stocks: int | None = None
    requests: int | None = None
    low: timedelta | None = None
    high: timedelta | None = None
    tasks: int = 0
    limits: Limits = field(default_factory=Limits)
    unknown: tuple[str, ...] = ()
    adjustments: int = 0
    by_day: int = 0
    has_no_factors: bool = False
    needed: int = 0
    compared: int | None = None
    compared_with: str = ""


def estimate(order: Order, conf: Conf) -> Estimate:
    """Returns the estimate for a resolved order, with a bounded number of queries. Raises `OrderError`."""
    known, unknown = orders.split_known(order, conf)
    codes = _codes_of(order, known)
    stocks = _listed_stocks(order) if codes is None else len(codes)
    requests = None if stocks is None else stocks + (known is None)  # one more for the list
    adjustments, needed = 0, 0
    if requests is not None:
        adjustments = _adjustment_requests(order, codes, stocks or 0, conf)
        requests += adjustments
        needed = _needed_requests(order, codes, stocks or 0, conf) + adjustments
    paces, limits = _recent_paces(order), registry.limits(order.source, conf)
    low, high = _duration(stocks or 0, needed, paces, limits)
    return Estimate(
        *(stocks, requests, low, high, len(paces), limits, unknown, adjustments),
        by_day=_requests_by_day(order, stocks or 0, conf),
        has_no_factors=bool(order.adjust) and not _offered_data(order, conf),
        needed=needed,
        compared=None if stocks is None else _requests_to_compare(order, stocks, conf),
        compared_with=order.verify_with,
    )


def _codes_of(order: Order, known: Sequence[str] | None) -> list[str] | None:
    """Returns the order's codes, narrowed by its modes; None while no list of its source is stored."""
    codes = known
    if codes is None:
        codes = stock_list.listed_codes(order.market, [order.source]).get((order.source, order.kind))
    return orders.narrow(order, codes) if codes else None


def _offered_data(order: Order, conf: Conf) -> int:
    """Returns of how many kinds of adjustment data the source has some for the market: 0 to 2."""
    traits = registry.traits(order.source, conf)
    return sum(order.market in markets for markets in (traits.factor_markets, traits.action_markets))


def _requests_by_day(order: Order, stocks: int, conf: Conf) -> int:
    """Returns the requests for the order's days of the whole market, and for stored ones to compare; else 0.

    It is the engine's rule (`engine.day_fetches`) as far as it is known before the stocks are.
    """
    traits = registry.traits(order.source, conf)
    last = min(order.end_date, calendars.last_closed_day(order.market))
    if stocks < conf.by_day_from or not traits.serves_days(order.market, order.adjust):
        return 0
    if not order.start_date <= last <= order.start_date + timedelta(days=3 * conf.days_at_once + 30):
        return 0
    sessions = len(calendars.load_calendar(order.market).sessions(order.start_date, last).days)
    if not 0 < sessions <= conf.days_at_once:
        return 0
    return sessions if order.force_update else sessions + calendars.COMPARED_SESSIONS


def _requests_to_compare(order: Order, stocks: int, conf: Conf) -> int | None:
    """Returns about how many requests the second source gets: a sample is never exactly its percentage."""
    if not order.verify_with:
        return None
    second = replace(order, source=order.verify_with)
    if by_day := _requests_by_day(replace(second, force_update=True), stocks, conf):
        return by_day  # of no further stored days
    batch = registry.traits(second.source, conf).batch_size
    return math.ceil(stocks * order.verify_sample / orders.WHOLE / batch)


def _adjustment_requests(order: Order, codes: Sequence[str] | None, stocks: int, conf: Conf) -> int:
    """Returns the requests for factors and corporate actions: of stocks without bars, or of all anew."""
    contents = _offered_data(order, conf)
    if order.adjust or order.kind != InstrumentKind.STOCK or not (contents and conf.adjustment_data):
        return 0
    if codes is not None:  # funds and indices have neither
        codes = [code for code in codes if kind_of(order.market, code) == InstrumentKind.STOCK]
        stocks = len(codes)
    return contents * _count_to_request(order, codes, stocks)


def _count_to_request(order: Order, codes: Sequence[str] | None, stocks: int) -> int:
    """Returns how many of the stocks are requested in any case: all of them anew, or those not stored.

    Without their `codes`, stored series are taken for theirs, so it may be fewer than it should.
    """
    if order.force_update:
        return stocks
    stored = Series.objects.filter(Q(bars__gt=0) | ~Q(covered=[]), market=order.market, adjust=order.adjust)
    if codes is None:
        return max(0, stocks - stored.count())
    if len(codes) <= FEW_CODES:
        stored = stored.filter(symbol__in=codes)
    return len(set(codes).difference(stored.values_list("symbol", flat=True)))


def _needed_requests(order: Order, codes: Sequence[str] | None, stocks: int, conf: Conf) -> int:
    """Returns the requests for bars that are made in any case. By day, and in batches, there are fewer."""
    traits = registry.traits(order.source, conf)
    needed = _count_to_request(order, codes, stocks)
    days = (order.end_date - order.start_date).days + 1
    may_go_by_day = traits.serves_days(order.market, order.adjust) and stocks >= conf.by_day_from
    if may_go_by_day and days <= 3 * conf.days_at_once + 30:  # else the stocks are requested one by one
        weekdays = len(calendars.weekdays(order.start_date, order.end_date))
        return min(needed, weekdays) if weekdays <= 2 * conf.days_at_once else 0
    return -(-needed // traits.batch_size)


def least_seconds(requests: int, limits: Limits, cost: int = 1) -> float:
    """Returns the seconds that a source's limits leave for so many requests of `cost` permits each."""
    if not requests:
        return 0.0
    quotas = ((limits.per_minute, 60.0), (limits.per_hour, 3600.0), (limits.daily, DAY_SECONDS))
    waits = [(requests * cost - 1) // most * seconds for most, seconds in quotas if most]
    return max([requests / limits.rate if limits.rate else 0.0, *waits])


def _duration(
    stocks: int, needed: int, paces: list[float], limits: Limits
) -> tuple[timedelta | None, timedelta | None]:
    """Returns the shortest and the longest duration, never shorter than the limits allow."""
    least = least_seconds(needed, limits)
    if not stocks or not (paces or least):
        return None, None
    if not paces:
        return timedelta(seconds=least), None
    slow, _, fast = quantiles(paces, n=4, method="inclusive") if len(paces) > 1 else paces * 3
    low, high = stocks / fast / SLACK, stocks / slow * SLACK
    return timedelta(seconds=max(low, least)), timedelta(seconds=max(high, least * SLACK))


def _listed_stocks(order: Order) -> int | None:
    """Returns the size of the source's stored stock list, narrowed by the order's modes."""
    lists = StockList.objects.filter(market=order.market, source=order.source, kind=order.kind)
    size = lists.values_list("size", flat=True).first()
    if order.test_mode:
        return min(size or orders.TEST_MODE_STOCKS, orders.TEST_MODE_STOCKS)
    if size is None or not order.full_collection_mode:
        return size
    done = Series.objects.filter(market=order.market, adjust=order.adjust, full_at__isnull=False).count()
    return max(0, size - done)


def _recent_paces(order: Order) -> list[float]:
    """Returns the stocks per second of the source's last representative tasks of the order's kind.

    A task that requests everything again is much slower than one that finds most days stored.
    """
    alike = CollectionTask.objects.filter(source=order.source, force_update=order.force_update)
    newest = alike.order_by("-start_time", "-id")
    rows = newest.values_list("processed_stocks", "planned_at", "end_time")[:TASKS_READ]
    paces = [
        (processed >= REPRESENTATIVE, processed / max(0.1, (ended - planned).total_seconds()))
        for processed, planned, ended in rows
        if processed and planned and ended
    ]
    representative = [pace for is_representative, pace in paces if is_representative]
    return (representative or [pace for _, pace in paces])[:TASKS_USED]
