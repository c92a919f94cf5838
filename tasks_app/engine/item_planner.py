"""From an order for a whole market to its items: the source's stock list, asked for, kept and narrowed."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine.call_pool import Call, CallPool
from tasks_app.lifecycle import Lane
from tasks_app.market import stock_list
from tasks_app.models import CollectionTask
from tasks_app.orders import order
from tasks_app.sources import registry
from tasks_app.sources.base import Source, SourceError, Symbol, Transient
from tasks_app.sources.market_time import market_today
from tasks_app.throttle import limiter
from tasks_app.throttle.limiter import Blocked, NoLimit, Permit

# A moment's wait: in the line of a gate that is shut, else for the answer, which it returns.
Wait = Callable[[Blocked | None], Call[Any, Any] | None]


def plan(task: CollectionTask, lane: Lane, ask: Callable[[], Sequence[Symbol]], conf: Conf) -> bool:
    """Give the task its items; False when its list can't be had and the task was ended as failed.

    `ask` asks for the list, where the stored one is too old. One that can't be had now, but was had
    before, is used as it is stored: the task is warned. Raises `StaleClaim` when the task ends meanwhile,
    and what `ask` raises beside `SourceError`.
    """
    try:
        codes = _fresh(task, conf) or _stored(task, ask())
    except SourceError as error:
        codes = stock_list.stored_codes(task.market, task.source)
        if not codes:
            lifecycle.fail(task.pk, error.code, f"The stock list could not be read. {error}")
            return False
        told = {"stocks": f"{len(codes):,}", "reason": error.code, "message": str(error)[:300]}
        lifecycle.warn(lane, "stock_list_kept", **told)
    lifecycle.plan(lane, order.narrow(order.order_from_task(task), codes))
    return True


def ask(
    source: Source, market: str, door: NoLimit, fetcher: CallPool[Any, Any], wait: Wait
) -> Sequence[Symbol]:
    """A source's list of a market, asked for behind the source's gate.

    Raises `SourceError`, and whatever `wait` raises to leave.
    """
    while (call := _call(partial(source.symbols, market), door, fetcher, wait)).missed:
        door.missed(call.key)
    if isinstance(call.error, Transient):
        door.refused(call.key, call.error)
    else:
        door.answered(call.key)
    if call.error:
        raise call.error
    return () if call.answer is None else call.answer


def ask_now(name: str, market: str, conf: Conf) -> Sequence[Symbol]:
    """The same for somebody who waits: a paused source is an error, a slow one is not."""
    fetcher: CallPool[Permit, Sequence[Symbol]] = CallPool(math.inf)

    def wait(shut: Blocked | None) -> Call[Permit, Sequence[Symbol]] | None:
        if shut and shut.why:
            raise Transient(shut.why, code="source_paused")
        return fetcher.next(min(shut.seconds, 1.0) if shut else 1.0)

    return ask(registry.get_source(name, conf), market, limiter.limiter_for(name, conf), fetcher, wait)


def _call(
    question: Callable[[], Sequence[Symbol]], door: NoLimit, fetcher: CallPool[Any, Any], wait: Wait
) -> Call[Any, Any]:
    """Stand in line, then ask; a call that has ended."""
    while isinstance(given := door.reserve(1), Blocked):
        wait(given)
    fetcher.submit(given[0], question, given[0].since, given[0].until)
    try:
        while (call := wait(None)) is None:
            continue
        return call
    finally:
        for passed in fetcher.recall():  # who leaves before the time has come
            door.missed(passed)


def _fresh(task: CollectionTask, conf: Conf) -> list[str] | None:
    """The codes of a list that is new enough not to be asked for again; None when there is none."""
    if registry.traits(task.source, conf).list_is_free:
        return None
    return stock_list.fresh_codes(task.market, task.source, conf.list_max_age)


def _stored(task: CollectionTask, symbols: Sequence[Symbol]) -> list[str]:
    """The codes of the list, which is stored. Raises `SourceError` for one that is none."""
    stock_list.sync(task.market, task.source, symbols, today=market_today(task.market))
    return list(dict.fromkeys(symbol.code for symbol in symbols))
