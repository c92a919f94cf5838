"""Plans a task for a whole market: fetches, stores and narrows the source's stock list into items."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine import outcomes
from tasks_app.engine.answers import CheckedSource, StockListing
from tasks_app.engine.call_pool import Call, CallPool
from tasks_app.lifecycle import Lane
from tasks_app.market import stock_list
from tasks_app.models import CollectionTask
from tasks_app.orders import order
from tasks_app.reasons import sanitize_message
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, LeftAside, Permanent, Request, SourceError, Transient
from tasks_app.sources.market_time import market_today
from tasks_app.sources.shared_process.handle import NO_TURN
from tasks_app.throttle.history import RequestCounter
from tasks_app.throttle.limiter import Blocked, NoLimit, Permit, limiter_for

MAX_NAMED = 3  # of what was left aside, in a warning
# Waits a moment: in the limiter's line while it is blocked, else for the response, which it returns.
Wait = Callable[[Blocked | None], Call[Any] | None]


def plan(
    task: CollectionTask,
    lane: Lane,
    fetch: Callable[[], StockListing],
    conf: Conf,
    after_batch: Callable[[], None] = lambda: None,
    *,
    source: str = "",
    pause: Callable[[Transient, int], None] = lambda error, attempt: None,
    may_repeat: Callable[[], bool] = lambda: False,
) -> bool:
    """Creates the task's items. Returns False if there is no stock list and the task has failed.

    `fetch` requests the list of `source`, by default the task's own; it is called unless the stored list is
    recent enough. After an error that passes by, it is called again as often as a stock is requested, if
    `may_repeat` says so and after `pause`, which waits or raises to leave. If it fails then, an older
    stored list is used and the task gets a warning, unless the list is free: then it is what the source has
    now, however short, or the task fails. Stocks and items are stored in batches, and `after_batch` is
    called between them. Raises `StaleClaim` when the task ends meanwhile, and what `after_batch` and, apart
    from `SourceError`, `fetch` raise.
    """
    source = source or task.source
    is_free = registry.traits(source, conf).list_is_free
    recent = None if is_free else stock_list.fresh_codes(task.market, source, conf.list_max_age, task.kind)
    try:
        if not (codes := recent):
            symbols = _fetch_patiently(fetch, lane, conf, pause, may_repeat)
            today = market_today(task.market)
            synced = stock_list.sync(
                task.market,
                source,
                symbols,
                today=today,
                kind=task.kind,
                accept_shrink=is_free,
                fence=partial(lifecycle.lock_lane, lane),
                after_batch=after_batch,
            )
            _warn_left_aside(lane, symbols.left_aside)
            codes = synced.codes
            del symbols
    except SourceError as error:
        codes = [] if is_free else stock_list.stored_codes(task.market, source, task.kind)
        if not codes:
            lifecycle.fail_by(lane, error.code, f"The stock list could not be read. {error}")
            return False
        params = {"stocks": f"{len(codes):,}", "reason": error.code, "message": str(error)[:300]}
        lifecycle.warn(lane, "stock_list_kept", **params)
    remaining = order.narrow(order.order_from_task(task), codes)
    if not remaining:
        lifecycle.warn(lane, "nothing_left", stocks=f"{len(codes):,}")
    lifecycle.plan(lane, remaining, after_batch)
    return True


def _fetch_patiently(
    fetch: Callable[[], StockListing],
    lane: Lane,
    conf: Conf,
    pause: Callable[[Transient, int], None],
    may_repeat: Callable[[], bool],
) -> StockListing:
    """Returns the list. The attempts are counted in the database, because a slice may end between two."""
    while True:
        try:
            return fetch()
        except Transient as error:
            if not may_repeat():
                raise
            message = sanitize_message(str(error))
            if not (attempt := lifecycle.repeat_stock_list(lane, conf.max_attempts, message)):
                raise
            pause(error, attempt)


def _warn_left_aside(lane: Lane, entries: Sequence[LeftAside]) -> None:
    """Warns if the source's list did not use all that it found, such as files whose names say no stock."""
    if entries:
        few = "; ".join(f"{entry.name}: {entry.reason}" for entry in entries[:MAX_NAMED])
        lifecycle.warn(lane, "left_aside", count=f"{len(entries):,}", message=sanitize_message(few))


def fetch_stock_list(
    source: CheckedSource,
    market: str,
    limiter: NoLimit,
    calls: CallPool[Any],
    wait: Wait,
    *,
    adjust: str | None = None,
    cost: int = 1,
    kind: str = "stock",
) -> StockListing:
    """Requests a source's list of a market's securities of one kind through its limiter.

    That of an adjustment, where lists differ.

    Raises `SourceError`, and whatever `wait` raises in order to leave.
    """
    request = partial(source.symbols, market, adjust, kind)
    counter = RequestCounter(source.source.name)
    listing: StockListing = _call_limited(
        request, counter, limiter, calls, wait, cost=cost, takes_first_permit=source.takes_first_permit
    )
    return listing


def _call_limited(
    request: Callable[[], Any],
    counter: RequestCounter,
    limiter: NoLimit,
    calls: CallPool[Any],
    wait: Wait,
    *,
    cost: int,
    takes_first_permit: bool,
) -> Any:
    """Makes one request through its source's limiter. Returns its response, or raises its `SourceError`.

    `takes_first_permit`: it does so itself.
    """
    permit = Permit()

    def reserve(cost: int) -> list[Permit] | Blocked:
        nonlocal permit
        permits = limiter.reserve(1, cost, after=permit)
        if not isinstance(permits, Blocked):
            (permit,) = permits
        return permits

    while True:
        permit = Permit()
        while isinstance(
            blocked := limiter.wait_ahead(cost) if takes_first_permit else reserve(cost), Blocked
        ):
            wait(blocked)
        first_cost = cost if takes_first_permit else 0
        calls.submit(None, request, permit.since, permit.until, reserve, first_cost=first_cost)
        try:
            while (call := wait(None)) is None:
                continue
        finally:
            if calls.recall():  # the caller left before the permitted time
                limiter.cancel(permit)
        is_unsent = call.missed or (call.error is not None and call.error.code == NO_TURN)
        if not is_unsent:
            break
        limiter.cancel(permit)
    outcomes.count(counter, call)
    counter.store()
    if isinstance(call.error, Transient):
        limiter.record_failure(permit, call.error)
    elif isinstance(call.error, Permanent):
        limiter.record_refusal(permit, call.error, lambda: True)  # a list alone proves little
    else:
        limiter.record_success(permit)
    if call.error:
        raise call.error
    return call.result


def fetch_stock_list_now(name: str, market: str, conf: Conf, kind: str = "stock") -> StockListing:
    """Requests the list for a user who waits: a paused source is an error, a slow one is not."""
    source = CheckedSource(registry.get_source(name, conf), conf)
    listing: StockListing = call_now(partial(source.symbols, market, None, kind), name, conf, "list")
    return listing


def fetch_now(name: str, request: Request, conf: Conf) -> Answer:
    """Requests bars for a user who waits, as `fetch_stock_list_now` does."""
    source = CheckedSource(registry.get_source(name, conf), conf)
    answer: Answer = call_now(partial(source.fetch, request), name, conf, "bars")
    return answer


def call_now(
    request: Callable[[], Any],
    name: str,
    conf: Conf,
    capability: str,
    *,
    timeout: float = math.inf,
    holder: str = "",
) -> Any:
    """Makes a request through its source's limiter for a user who waits, and who may hold the source.

    Returns its response. Raises `SourceError`, also for a paused source and after `timeout` seconds.
    """
    calls: CallPool[None] = CallPool(timeout)

    def wait(blocked: Blocked | None) -> Call[None] | None:
        if blocked and blocked.reason:
            raise Transient(blocked.reason, code="source_paused")
        return calls.next(min(blocked.seconds, 1.0) if blocked else 1.0)

    cost = registry.traits(name, conf).cost(capability)
    limiter = limiter_for(name, conf, holder)
    takes_first_permit = CheckedSource(registry.get_source(name, conf), conf).takes_first_permit
    return _call_limited(
        request, RequestCounter(name), limiter, calls, wait, cost=cost, takes_first_permit=takes_first_permit
    )
