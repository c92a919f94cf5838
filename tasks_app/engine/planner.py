"""From an order for a whole market to its items: the source's stock list, kept and narrowed."""

from collections.abc import Sequence

from tasks_app import lifecycle, orders
from tasks_app.conf import Conf
from tasks_app.engine import stocklist
from tasks_app.engine.fetcher import Fetcher
from tasks_app.engine.pulse import Pulse
from tasks_app.lifecycle import Lane
from tasks_app.models import CollectionTask
from tasks_app.sources.base import Source, SourceError, Symbol


def plan(task: CollectionTask, lane: Lane, source: Source, pulse: Pulse, conf: Conf) -> bool:
    """Give the task its items; False when its list can't be had and the task was ended as failed.

    Raises `LostFence` when the task ends meanwhile.
    """
    fetcher: Fetcher[None, Sequence[Symbol]] = Fetcher(1, conf.fetch_timeout)
    try:
        symbols = _symbols(task.market, source, fetcher, pulse)
        stocklist.store(task.market, source.name, symbols)
    except SourceError as error:
        lifecycle.fail(task.pk, error.code, f"The stock list could not be read. {error}")
        return False
    finally:
        fetcher.give_up()
    lifecycle.plan(lane, orders.narrow(orders.of(task), [symbol.code for symbol in symbols]))
    return True


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
