"""An order: what somebody asks to have collected, and whether it makes sense."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.conf import MARKETS, Conf
from tasks_app.market.codes import clean_code, is_code
from tasks_app.models import CollectionTask, Stock, StockList
from tasks_app.sources import registry
from tasks_app.sources.base import Source

MAX_CODES = 10_000
TEST_MODE_STOCKS = 5


@dataclass(frozen=True)
class Order:
    """These stocks (None: the source's whole list), these days. Empty `market` or `source`: by default.

    `fallbacks` are asked, in this order, for stocks that the source fails on; None: those of
    COLLECTOR_FALLBACKS that follow the source.
    """

    start_date: date
    end_date: date
    stock_codes: tuple[str, ...] | None = None
    market: str = ""
    source: str = ""
    adjust: str = ""
    test_mode: bool = False
    full_collection_mode: bool = False
    force_update: bool = False
    fallbacks: tuple[str, ...] | None = None


def latest_today() -> date:
    """The date where it is latest on Earth: no day that has begun anywhere counts as future."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()


def resolve(order: Order, today: date, conf: Conf) -> Order:
    """The order with market, source and codes made definite. Raises `OrderError`."""
    _check_dates(order, today)
    market, source = _route(order, conf)
    _check_adjust(order, source)
    order = replace(order, market=market, source=source.name, stock_codes=clean_codes(order.stock_codes))
    return replace(order, fallbacks=_fallbacks(order, conf))


def order_from_task(task: CollectionTask) -> Order:
    """The order of a task again, without its codes."""
    return Order(
        start_date=task.start_date,
        end_date=task.end_date,
        market=task.market,
        source=task.source,
        adjust=task.adjust,
        test_mode=task.test_mode,
        full_collection_mode=task.full_collection_mode,
        force_update=task.force_update,
        fallbacks=tuple(task.fallbacks),
    )


def clean_codes(codes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Trimmed, in upper case, each once; None when there are none. Raises for malformed or too many."""
    if not codes:
        return None
    if len(codes) > MAX_CODES:
        raise errors.TooManyCodes(count=len(codes), limit=MAX_CODES)
    malformed = [f"“{code[:24]}”" for code in codes if not is_code(code.strip())]
    if malformed:
        raise errors.MalformedCodes(codes=_few(malformed))
    return tuple(dict.fromkeys(clean_code(code) for code in codes))


def split_known(market: str, codes: tuple[str, ...] | None) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """(known, unknown) codes. Where no list of the market was ever synchronised, all pass as known.

    Raises `UnknownCodes` when none is known.
    """
    if codes is None or not StockList.objects.filter(market=market).exists():
        return codes, ()
    listed = set(Stock.objects.filter(market=market, code__in=codes).values_list("code", flat=True))
    known = tuple(code for code in codes if code in listed)
    if not known:
        raise errors.UnknownCodes(market=market, codes=_few(codes))
    return known, tuple(code for code in codes if code not in listed)


def narrow(order: Order, codes: Sequence[str]) -> list[str]:
    """The codes that the order's modes leave of `codes`, in their order."""
    if order.full_collection_mode:
        done = Stock.objects.filter(market=order.market, full_collection_completed=True)
        collected = set(done.values_list("code", flat=True))
        codes = [code for code in codes if code not in collected]
    return list(codes[:TEST_MODE_STOCKS] if order.test_mode else codes)


def source_of(market: str, name: str, conf: Conf) -> type[Source]:
    """The source of that name, or the one that serves the market. Raises `OrderError` when there is none."""
    return _route(Order(date.min, date.min, market=market, source=name), conf)[1]


def _few(codes: Sequence[str]) -> str:
    shown = ", ".join(codes[:10])
    return shown if len(codes) <= 10 else f"{shown}, … ({len(codes)})"


def _check_dates(order: Order, today: date) -> None:
    if order.end_date < order.start_date:
        raise errors.ReversedDates(start=order.start_date, end=order.end_date)
    if order.start_date > today:
        raise errors.FutureStart(start=order.start_date)


def _route(order: Order, conf: Conf) -> tuple[str, type[Source]]:
    """Market and source. A market left out is CN, or the first one that the source serves."""
    if order.market and order.market not in MARKETS:
        raise errors.UnknownMarket(market=order.market, known=", ".join(MARKETS))
    name = order.source or (
        registry.choose_source(order.market, conf) if order.market else conf.default_source
    )
    if name is None:
        raise errors.NoSourceForMarket(market=order.market, **_described(conf))
    source = _known(name, conf)
    market = order.market or ("CN" if "CN" in source.markets else source.markets[0])
    _check_market(market, source)
    return market, source


def _known(name: str, conf: Conf) -> type[Source]:
    sources = registry.available(conf)
    if name not in sources:
        raise _absent(name, conf)
    return sources[name]


def _check_market(market: str, source: type[Source]) -> None:
    if market not in source.markets:
        raise errors.MarketNotServed(source=source.name, market=market, markets=", ".join(source.markets))


def _check_adjust(order: Order, source: type[Source]) -> None:
    if order.adjust not in source.adjusts:
        served = ", ".join(f"“{adjust}”" if adjust else _("“” (unadjusted)") for adjust in source.adjusts)
        raise errors.AdjustNotServed(source=source.name, adjust=order.adjust, adjusts=served)


def _fallbacks(order: Order, conf: Conf) -> tuple[str, ...]:
    """The sources to try after the order's own. What is named must fit; of those set, what does."""
    if order.fallbacks is None:
        following = registry.fallbacks_after(order.source, order.market, conf)
        sources = registry.available(conf)
        return tuple(name for name in following if order.adjust in sources[name].adjusts)
    named = tuple(dict.fromkeys(name for name in order.fallbacks if name != order.source))
    try:
        for name in named:
            _check_market(order.market, source := _known(name, conf))
            _check_adjust(order, source)
    except errors.OrderError as error:
        error.field = "fallbacks"  # it is they that don't fit
        raise
    return named


def _absent(name: str, conf: Conf) -> errors.OrderError:
    """Why there is no such source here."""
    if name in (broken := registry.broken(conf)):
        return errors.SourceBroken(source=name, reason=broken[name])
    lacking = registry.hidden(conf)
    if name not in lacking:
        return errors.UnknownSource(source=name, known=", ".join(registry.available(conf)))
    if setting := lacking[name]:
        return errors.SourceNotSet(source=name, setting=setting)
    return errors.SourceNotInstalled(source=name)


def _described(conf: Conf) -> dict[str, str]:
    """Lists the sources with their markets: those of real quotes, and the synthetic ones."""
    listed: dict[str, list[str]] = {"known": [], "made_up": []}
    for name, source in registry.available(conf).items():
        kind = "made_up" if registry.traits(name, conf).is_synthetic else "known"
        listed[kind].append(f"{name} ({', '.join(source.markets)})")
    return {kind: "; ".join(texts) for kind, texts in listed.items()}
