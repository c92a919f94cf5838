"""What an order would mean before it is started: how many stocks, requests, and how long."""

from dataclasses import dataclass, field
from datetime import timedelta
from statistics import quantiles
from typing import Any

from tasks_app.conf import Conf
from tasks_app.models import CollectionTask, Stock, StockList
from tasks_app.orders import order as orders
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.sources.base import Limits

LOOKED_AT, USED = 50, 10  # of the source's tasks, the newest first
TELLING = 50  # stocks: a task with fewer tells little of the pace, and counts only when there is no other
SLACK = 1.25


@dataclass(frozen=True)
class Estimate:
    """None: not known. `stocks` is the most it can be: what is stored already is not asked for again.

    `low` to `high` is how long, by the middle half of the paces of the last `tasks` tasks of the source,
    so that a single odd one does not widen it, and by its `limits`.
    """

    stocks: int | None = None
    requests: int | None = None
    low: timedelta | None = None
    high: timedelta | None = None
    tasks: int = 0
    limits: Limits = field(default_factory=Limits)
    unknown: tuple[str, ...] = ()


def estimate(order: Order, conf: Conf) -> Estimate:
    """The estimate for a resolved order, by a bounded number of queries. Raises `OrderError`."""
    known, unknown = orders.split_known(order.market, order.stock_codes)
    stocks = len(orders.narrow(order, known)) if known else _listed(order)
    requests = None if stocks is None else stocks + (known is None)
    paces, limits = _paces(order.source), registry.limits(order.source, conf)
    low, high = _range(stocks or 0, requests or 0, paces, limits)
    return Estimate(stocks, requests, low, high, len(paces), limits, unknown)


def _range(stocks: int, requests: int, paces: list[float], limits: Limits) -> tuple[Any, Any]:
    """The shortest and the longest time, never shorter than the limits allow. (None, None): not known."""
    least = _least(requests, limits)
    if not stocks or not (paces or least):
        return None, None
    slow, fast = _middle_half(paces)
    low, high = (stocks / fast / SLACK, stocks / slow * SLACK) if paces else (least, least * 2)
    return timedelta(seconds=max(low, least)), timedelta(seconds=max(high, least * SLACK))


def _middle_half(paces: list[float]) -> tuple[float, float]:
    """The first and the third quartile."""
    if len(paces) < 2:
        return min(paces, default=0.0), max(paces, default=0.0)
    first, _, third = quantiles(paces, n=4, method="inclusive")
    return first, third


def _least(requests: int, limits: Limits) -> float:
    """Seconds that so many requests take at the source's rate, with a night after each day's last one."""
    at_rate = requests / limits.rate if limits.rate else 0.0
    nights = (requests - 1) // limits.daily if limits.daily and requests else 0
    return max(at_rate, nights * 86_400.0)


def _listed(order: Order) -> int | None:
    """How many stocks the source's list had when it was last read, narrowed by the order's modes."""
    lists = StockList.objects.filter(market=order.market, source=order.source)
    size = lists.values_list("size", flat=True).first()
    if order.test_mode:
        return min(size or orders.TEST_MODE_STOCKS, orders.TEST_MODE_STOCKS)
    if size is None or not order.full_collection_mode:
        return size
    done = Stock.objects.filter(market=order.market, full_collection_completed=True).count()
    return max(0, size - done)


def _paces(source: str) -> list[float]:
    """Stocks per second of the source's last tasks that tell the pace."""
    newest = CollectionTask.objects.filter(source=source).order_by("-start_time", "-id")
    rows = newest.values_list("processed_stocks", "planned_at", "end_time")[:LOOKED_AT]
    paces = [
        (processed >= TELLING, processed / max(0.1, (ended - planned).total_seconds()))
        for processed, planned, ended in rows
        if processed and planned and ended
    ]
    telling = [pace for tells, pace in paces if tells] or [pace for _, pace in paces]
    return telling[:USED]
