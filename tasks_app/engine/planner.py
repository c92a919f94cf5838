"""From an order for a whole market to its items: the source's stock list, kept and narrowed."""

from collections.abc import Sequence

from tasks_app import lifecycle, orders
from tasks_app.calendars import market_today
from tasks_app.conf import Conf
from tasks_app.engine import stocklist
from tasks_app.engine.fetcher import Fetcher
from tasks_app.engine.pulse import Pulse
from tasks_app.lifecycle import Lane
from tasks_app.models import CollectionTask
from tasks_app.sources.base import Source, SourceError, Symbol


def plan(task: CollectionTask, lane: Lane, source: Source, pulse: Pulse, conf: Conf) -> bool:
    """Give the task its items; False when its list can't be had and the task was ended as failed.

    A list that can't be had now, but was had before, is used as it is stored: the task is warned.
    Raises `LostFence` when the task ends meanwhile.
    """
    try:
        codes = stored(task, source, conf) or _asked(task, source, pulse, conf)
    except SourceError as error:
        codes = stocklist.known(task.market, source.name)
        if not codes:
            lifecycle.fail(task.pk, error.code, f"The stock list could not be read. {error}")
            return False
        told = {"stocks": f"{len(codes):,}", "reason": error.code, "message": str(error)[:300]}
        lifecycle.warn(lane, "stock_list_kept", **told)
    lifecycle.plan(lane, orders.narrow(orders.of(task), codes))
    return True


def stored(task: CollectionTask, source: Source, conf: Conf) -> list[str] | None:
    """The codes of a list that is new enough not to be asked for again; None when there is none."""
    if getattr(source, "free_list", False):
        return None
    return stocklist.fresh(task.market, source.name, conf.list_max_age)


def _asked(task: CollectionTask, source: Source, pulse: Pulse, conf: Conf) -> list[str]:
    """The codes of the source's list, asked for and stored. Raises `SourceError`."""
    fetcher: Fetcher[None, Sequence[Symbol]] = Fetcher(1, conf.fetch_timeout)
    try:
        symbols = _symbols(task.market, source, fetcher, pulse)
    finally:
        fetcher.give_up()
    stocklist.store(task.market, source.name, symbols, today=market_today(task.market))
    return list(dict.fromkeys(symbol.code for symbol in symbols))


def _symbols(
    market: str, source: Source, fetcher: Fetcher[None, Sequence[Symbol]], pulse: Pulse
) -> Sequence[Symbol]:
    """The source's list, waited for with a beating lane. Raises `SourceError`."""
    fetcher.submit(None, lambda: source.symbols(market))
    while (call := pulse.wait(fetcher)) is None:
        continue
    if call.error:
        raise call.error
    return call.answer or ()
