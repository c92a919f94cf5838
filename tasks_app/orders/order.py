"""Orders: what a user asks to have collected. An order is resolved and checked before it becomes a task."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from django.utils.translation import gettext as _

from tasks_app import errors, reasons
from tasks_app.conf import ALL_MARKETS, SYNTHETIC_MARKET, Conf
from tasks_app.market import code_changes, stock_list
from tasks_app.market.codes import count_codes, kind_of, read_codes
from tasks_app.models import CollectionTask, Series
from tasks_app.models.quotes import InstrumentKind
from tasks_app.sources import registry
from tasks_app.sources.base import Source

MAX_CODES = 10_000
TEST_MODE_STOCKS = 5
WHOLE = 100  # percent


@dataclass(frozen=True)
class Order:
    """Stocks and days to collect. `stock_codes` None means the source's whole list of the `kind`.

    An empty `market` or `source` is chosen by `resolve`. `fallbacks` are the sources to try, in this
    order, for stocks that fail on `source`; None means those of COLLECTOR_FALLBACKS that follow it.
    `verify_with` is a source whose bars are compared with the fetched ones and stored nowhere, of
    `verify_sample` percent of the stocks.
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
    kind: str = InstrumentKind.STOCK.value
    verify_with: str = ""
    verify_sample: int = WHOLE


def latest_today() -> date:
    """Returns the latest date on Earth, so that no day that has begun anywhere counts as future."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()


def resolve(order: Order, today: date, conf: Conf) -> Order:
    """Returns the order with definite market, source, codes and fallbacks. Raises `OrderError`."""
    if order.end_date < order.start_date:
        raise errors.ReversedDates(start=order.start_date, end=order.end_date)
    if order.start_date > today:
        raise errors.FutureStart(start=order.start_date)
    market, source = _choose_market_and_source(order.market, order.source, conf)
    _check_adjust(order.adjust, source)
    order = replace(
        order, market=market, source=source.name, stock_codes=clean_codes(market, order.stock_codes)
    )
    _check_kinds(order, conf)
    if order.stock_codes is not None:
        order = replace(order, kind=InstrumentKind.STOCK.value)  # it is of a whole market only
    order = replace(order, fallbacks=_resolve_fallbacks(order, conf))
    _check_second_source(order, conf)
    return order


def sources_of(order: Order) -> tuple[str, ...]:
    """Returns the names of all sources that an order's task may ask, its own first."""
    names = (order.source, *(order.fallbacks or ()), order.verify_with)
    return tuple(dict.fromkeys(filter(None, names)))


def require_usable_source(order: Order, conf: Conf) -> None:
    """Raises `SourceUnusable` if the order's source can't be made here, and `OrderError` as `resolve` does.

    For the interfaces, before they start a task: a source's own code must not run while the slot is locked.
    """
    _require_usable(find_source(order.market, order.source, conf).name, conf)
    if order.verify_with:
        with _at_field("verify_with"):
            _require_usable(get_source(order.verify_with, conf).name, conf)


def _require_usable(source: str, conf: Conf) -> None:
    if setting := registry.missing_setting(source, conf):
        raise errors.SourceNotSet(source=source, setting=setting)
    if reason := registry.why_unusable(source, conf):
        raise errors.SourceUnusable(source=source, reason=reasons.sanitize_message(reason))


def require_market(order: Order, resolved: Order) -> None:
    """Raises `MarketNotServed` if the order was resolved to another market than the one that it names.

    For pages, whose readers see and choose both; other clients read the market in the response.
    """
    if order.market and order.market != resolved.market:
        raise errors.MarketNotServed(source=resolved.source, market=order.market, markets=resolved.market)


def order_from_task(task: CollectionTask) -> Order:
    """Returns the order that started a task, without its codes."""
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
        kind=task.kind,
        verify_with=task.verify_with,
        verify_sample=task.verify_sample,
    )


def clean_codes(market: str, codes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the codes as they are stored, without duplicates; None if there are none.

    Raises `TooManyCodes`, or what `read_codes` raises for a text that is no code of the market.
    """
    if not codes:
        return None
    if len(codes) > MAX_CODES:
        raise errors.TooManyCodes(count=len(codes), limit=MAX_CODES)
    return read_codes(market, codes)


def split_known(order: Order, conf: Conf) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Returns the (known, unknown) codes of a resolved order: those that its sources list, and the others.

    A code counts as known unless all of its sources' lists of its kind are stored, and none of them may have
    more by now, as a folder of files may: then the sources themselves will answer. Raises `UnknownCodes` when
    none is known.
    """
    market, codes = order.market, order.stock_codes
    sources = {order.source, *(order.fallbacks or ())}
    if codes is None or any(registry.traits(name, conf).history_may_grow for name in sources):
        return codes, ()
    lists = stock_list.listed_codes(market, sources)
    listed = set().union(*lists.values())
    stored = {kind for kind in InstrumentKind.values if all((name, kind) in lists for name in sources)}
    if not stored:
        return codes, ()
    known = tuple(code for code in codes if code in listed or kind_of(market, code) not in stored)
    if not known:
        changes = code_changes.describe_changes(market, codes)
        raise errors.UnknownCodes(market=market, codes=count_codes(codes), changes=changes)
    return known, tuple(code for code in codes if code not in set(known))


def narrow(order: Order, codes: Sequence[str]) -> list[str]:
    """Returns the codes that remain in test mode and full collection mode, in their order."""
    if order.full_collection_mode:
        done = Series.objects.filter(market=order.market, adjust=order.adjust, full_at__isnull=False)
        collected = set(done.values_list("symbol", flat=True))
        codes = [code for code in codes if code not in collected]
    return list(codes[:TEST_MODE_STOCKS] if order.test_mode else codes)


def find_source(market: str, name: str, conf: Conf) -> type[Source]:
    """Returns the source of that name, or the one that serves the market. Raises `OrderError`."""
    return _choose_market_and_source(market, name, conf)[1]


def _default_source(market: str, conf: Conf) -> str | None:
    """Returns the source where an order names none; None when no source serves the market.

    A site whose default source makes its quotes up is for drills: no vendor is asked, unless
    COLLECTOR_FALLBACKS names one for the market.
    """
    is_drill = registry.traits(conf.default_source, conf).is_synthetic and not dict(conf.fallbacks).get(
        market
    )
    return conf.default_source if is_drill or not market else registry.choose_source(market, conf)


def _choose_market_and_source(market: str, name: str, conf: Conf) -> tuple[str, type[Source]]:
    """Completes market and source. The default market is CN, or the first one that the source serves.

    A source of made-up quotes that the order or COLLECTOR_DEFAULT_SOURCE names has one market, whichever one
    is named with it: orders from before it had that market still name the one that it imitated.
    """
    if market and market not in ALL_MARKETS:
        raise errors.UnknownMarket(market=market, known=", ".join(ALL_MARKETS))
    chosen = name or _default_source(market, conf)
    if chosen is None:
        available: dict[bool, list[str]] = {True: [], False: []}
        for each, candidate in registry.available(conf).items():
            is_synthetic = registry.traits(each, conf).is_synthetic
            available[is_synthetic].append(f"{each} ({', '.join(candidate.markets)})")
        known, made_up = "; ".join(available[False]), "; ".join(available[True])
        raise errors.NoSourceForMarket(market=market, known=known, made_up=made_up)
    source = get_source(chosen, conf)
    if registry.traits(chosen, conf).is_synthetic:
        market = SYNTHETIC_MARKET
    market = market or ("CN" if "CN" in source.markets else source.markets[0])
    check_market(market, source)
    return market, source


def get_source(name: str, conf: Conf) -> type[Source]:
    """Returns the source of that name. Raises the `OrderError` that says why it can't be used here."""
    sources, broken, hidden = registry.available(conf), registry.broken(conf), registry.hidden(conf)
    if name in sources:
        return sources[name]
    if name in broken:
        raise errors.SourceBroken(source=name, reason=broken[name])
    if name not in hidden:
        raise errors.UnknownSource(source=name, known=", ".join(sources))
    if setting := hidden[name]:
        raise errors.SourceNotSet(source=name, setting=setting)
    raise errors.SourceNotInstalled(source=name, requirements=registry.requirements(name))


def check_market(market: str, source: type[Source]) -> None:
    """Raises `MarketNotServed`."""
    if market not in source.markets:
        raise errors.MarketNotServed(source=source.name, market=market, markets=", ".join(source.markets))


def _check_kinds(order: Order, conf: Conf) -> None:
    """Raises `OrderError` if the source lacks the order's kind, or indices that it names."""
    traits, market = registry.traits(order.source, conf), order.market
    indices = _indices_of(order)
    if order.stock_codes is None and not traits.serves_kind(market, order.kind):
        kind = InstrumentKind(order.kind).label
        raise errors.KindNotServed(source=order.source, market=market, kind=kind)
    if indices and not traits.serves_kind(market, InstrumentKind.INDEX):
        names = registry.available(conf)
        known = [name for name in names if registry.traits(name, conf).serves_kind(market, "index")]
        raise errors.IndicesNotServed(
            source=order.source, codes=count_codes(indices), known=", ".join(known) or "–"
        )
    is_of_indices = order.stock_codes is None and order.kind == InstrumentKind.INDEX
    if order.adjust and (indices or is_of_indices):
        raise errors.IndicesNotAdjusted()


def _indices_of(order: Order) -> list[str]:
    """Returns the named codes that are indices."""
    kind = InstrumentKind.INDEX
    return [code for code in order.stock_codes or () if kind_of(order.market, code) == kind]


def _serves_kinds(name: str, order: Order, conf: Conf) -> bool:
    """Returns whether a source can follow the order's own: it has what is asked for."""
    kind = InstrumentKind.INDEX if _indices_of(order) else InstrumentKind.STOCK
    if order.stock_codes is None:
        kind = InstrumentKind(order.kind)
    return registry.traits(name, conf).serves_kind(order.market, kind)


def _check_adjust(adjust: str, source: type[Source]) -> None:
    if adjust not in source.adjusts:
        served = ", ".join(f"“{each}”" if each else _("“” (unadjusted)") for each in source.adjusts)
        raise errors.AdjustNotServed(source=source.name, adjust=adjust, adjusts=served)


NO_FALLBACKS = "none"


def parse_fallbacks(text: str) -> tuple[str, ...] | None:
    """Returns the further sources that a form's text names, in its order; None if it leaves them open."""
    names = tuple(filter(None, re.split(r"[\s,，>]+", text)))
    return () if names == (NO_FALLBACKS,) else names or None


def write_fallbacks(names: Sequence[str] | None) -> str:
    """Returns the text that `parse_fallbacks` reads as these sources."""
    return "" if names is None else ", ".join(names) or NO_FALLBACKS


def _resolve_fallbacks(order: Order, conf: Conf) -> tuple[str, ...]:
    """Returns the sources to try after the order's own.

    Those that the order names must all serve it; of those in COLLECTOR_FALLBACKS, unfit ones are left out.
    """
    if order.fallbacks is None:
        following = registry.fallbacks_after(order.source, order.market, conf)
        sources = registry.available(conf)
        fit = (name for name in following if order.adjust in sources[name].adjusts)
        return tuple(name for name in fit if _serves_kinds(name, order, conf))
    named = tuple(dict.fromkeys(name for name in order.fallbacks if name != order.source))
    with _at_field("fallbacks"):
        for name in named:
            _check_serves(name, order, conf)
    return named


def _check_second_source(order: Order, conf: Conf) -> None:
    """Raises `OrderError` unless the order's bars can be compared with those of its second source."""
    if not 1 <= order.verify_sample <= WHOLE:
        raise errors.BadSample(sample=order.verify_sample)
    if not order.verify_with:
        return
    with _at_field("verify_with"):
        if order.verify_with == order.source:
            raise errors.SameSource(source=order.source)
        _check_serves(order.verify_with, order, conf)


def _check_serves(name: str, order: Order, conf: Conf) -> None:
    """Raises `OrderError` unless a source serves the order's market, adjustment and kinds.

    A source of made-up quotes serves their own market only, so such quotes and real ones never meet.
    """
    check_market(order.market, source := get_source(name, conf))
    _check_adjust(order.adjust, source)
    if not _serves_kinds(name, order, conf):
        kind = InstrumentKind(order.kind if order.stock_codes is None else InstrumentKind.INDEX)
        raise errors.KindNotServed(source=name, market=order.market, kind=kind.label)


@contextmanager
def _at_field(name: str) -> Iterator[None]:
    """Makes the `OrderError`s that are raised inside those of this field of the request."""
    try:
        yield
    except errors.OrderError as error:
        error.field = name
        raise
