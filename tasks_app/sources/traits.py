"""A source's traits: what its class attributes declare about how it is to be used.

Third parties write plain class attributes, listed in docs/adding-a-source.md. Only this module reads them.
"""

import inspect
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from types import FunctionType
from typing import Any
from zoneinfo import ZoneInfo

from tasks_app import source_settings
from tasks_app.conf import ADJUSTS, ALL_MARKETS, MARKET_TIME_ZONES, SYNTHETIC_MARKET
from tasks_app.source_settings import InvalidSetting
from tasks_app.sources.base import Limits, Source

METHODS = ("from_conf", "symbols", "fetch")
CAPABILITIES = ("list", "bars", "batch", "day", "factors", "actions")
KINDS = ("stock", "etf", "index")


class InvalidSource(Exception):
    """A class is not a source; the message says what it lacks."""


@dataclass(frozen=True)
class SourceTraits:
    """What a source declares; the defaults stand for what it leaves out.

    Where a field is named differently from the class attribute, its comment names the attribute.
    """

    # `rate`, `per_minute`, `per_hour`, `daily`, `in_flight`, `most_workers`, `time_zone`; `local`: no breaker
    limits: Limits
    costs: Mapping[str, int] = field(default_factory=dict)  # `cost`: permits per request by `CAPABILITIES`
    batch_size: int = 1  # the most stocks in one request
    follows_exchange: bool = True  # `calendar`: its sessions are those of the market's exchange
    list_is_free: bool = False  # `free_list`: the stock list costs no request, so it is read for every task
    history_may_grow: bool = False  # `grows`: it may have more of the past tomorrow
    retracts_bars: bool = False  # `retracts`: what it no longer has was wrong, see `quotes.retractions`
    is_synthetic: bool = False  # `synthetic`: made-up quotes, in their own market, used only where named
    ready_at: time | None = None  # when it has a day's bars, in the market's time; None: soon after the close
    first_day: date | None = None  # before which it has no bars; None: not declared
    last_day: date | None = None  # after which it has no bars; None: they go on
    required_setting: str = ""  # `needs`: the field of `Conf` without which it can't be used
    day_markets: tuple[str, ...] = ()  # markets of which it serves a whole day in one request
    day_adjusts: tuple[str, ...] = ()  # the adjustments in which it does
    factor_markets: tuple[str, ...] = ()  # markets for whose stocks it has adjustment factors
    action_markets: tuple[str, ...] = ()  # markets for whose stocks it has corporate actions
    kinds: tuple[str, ...] = ("stock",)  # of what it has lists: stock, etf, index
    kind_markets: tuple[str, ...] = ()  # the markets of which it has more than stocks
    own_process: bool = False  # its requests are made in a process that the machine shares, one at a time
    selects_days: bool = False  # it has `offers_day`, which limits it to some days

    def cost(self, capability: str) -> int:
        """Returns how many permits a request for one of the `CAPABILITIES` takes."""
        return self.costs.get(capability, 1)

    def serves_days(self, market: str, adjust: str) -> bool:
        """Returns whether one request fetches a day of the whole market in this adjustment."""
        return market in self.day_markets and adjust in self.day_adjusts

    def serves_kind(self, market: str, kind: str) -> bool:
        """Returns whether the source has this kind of securities of the market."""
        return kind == "stock" or (kind in self.kinds and market in self.kind_markets)


def check_source(source: Any) -> None:
    """Raises `InvalidSource` unless `source` is a class with everything that a source must have."""
    if not isinstance(source, type):
        raise InvalidSource("it lacks a class")
    missing = [] if isinstance(getattr(source, "name", None), str) else ["name"]
    for attribute, allowed in (("markets", ALL_MARKETS), ("adjusts", ADJUSTS)):
        values = getattr(source, attribute, None)
        if not (isinstance(values, tuple | list) and values and all(value in allowed for value in values)):
            missing.append(f"{attribute} (some of {', '.join(map(repr, allowed))})")
    missing += [f"{method}()" for method in METHODS if not callable(getattr(source, method, None))]
    if missing:
        raise InvalidSource(f"it lacks {', '.join(missing)}")
    _check_market_of_quotes(source)


def _check_market_of_quotes(source: type[Source]) -> None:
    """Raises `InvalidSource` unless made-up quotes, and they alone, are in the synthetic market."""
    if getattr(source, "synthetic", False):
        if tuple(source.markets) != (SYNTHETIC_MARKET,):
            raise InvalidSource(f"it is synthetic, so its markets must be ({SYNTHETIC_MARKET!r},)")
    elif SYNTHETIC_MARKET in source.markets:
        raise InvalidSource(f"the market {SYNTHETIC_MARKET!r} is for sources with synthetic = True only")


def read_traits(source: type[Source]) -> SourceTraits:
    """Returns the traits of a class that passed `check_source`. Raises `InvalidSource` for a bad one."""
    if isinstance(inspect.getattr_static(source, "from_conf"), FunctionType):
        raise InvalidSource("its from_conf() must be a classmethod")
    try:
        source_settings.declared(source)
    except InvalidSetting as error:
        raise InvalidSource(str(error)) from None
    first_day, last_day = _day(source, "first_day"), _day(source, "last_day")
    if first_day and last_day and first_day > last_day:
        raise InvalidSource("its first_day is after its last_day")
    costs = _costs(source)
    has_days = callable(getattr(source, "fetch_day", None))
    has_batches = callable(getattr(source, "fetch_many", None))
    return SourceTraits(
        limits=_limits(source, costs),
        costs={capability: cost for capability, cost in costs.items() if cost > 1},
        batch_size=max(int(_number(source, "batch_size")), 1) if has_batches else 1,
        follows_exchange=bool(getattr(source, "calendar", True)),
        list_is_free=bool(getattr(source, "free_list", False)),
        history_may_grow=bool(getattr(source, "grows", False)),
        retracts_bars=bool(getattr(source, "retracts", False)),
        is_synthetic=bool(getattr(source, "synthetic", False)),
        ready_at=_time_of_day(getattr(source, "ready_at", None)),
        first_day=first_day,
        last_day=last_day,
        required_setting=str(getattr(source, "needs", "")),
        day_markets=_markets(source, "day_markets", of="fetch_day"),
        day_adjusts=_some_of(ADJUSTS, source, "day_adjusts", source.adjusts) if has_days else (),
        factor_markets=_markets(source, "factor_markets", of="fetch_factors"),
        action_markets=_markets(source, "action_markets", of="fetch_actions"),
        kinds=_some_of(KINDS, source, "kinds", ("stock",)),
        kind_markets=_markets(source, "kind_markets", of="symbols_of_kind"),
        own_process=bool(getattr(source, "own_process", False)),
        selects_days=has_days and callable(getattr(source, "offers_day", None)),
    )


def _limits(source: type[Source], costs: Mapping[str, int]) -> Limits:
    zone = getattr(source, "time_zone", MARKET_TIME_ZONES[source.markets[0]])
    try:
        ZoneInfo(zone)
    except (TypeError, ValueError, OSError, KeyError) as error:
        raise InvalidSource(
            f"its time_zone must be the name of a time zone whose data are installed, not {zone!r}"
        ) from error
    quotas = [_number(source, name) for name in ("per_minute", "per_hour", "daily")]
    if costs and max(costs.values()) > min(filter(None, quotas), default=math.inf):
        raise InvalidSource("its cost is larger than a quota")
    return Limits(
        rate=_number(source, "rate"),
        per_minute=int(quotas[0]),
        per_hour=int(quotas[1]),
        daily=int(quotas[2]),
        in_flight=int(_number(source, "in_flight")),
        most_workers=int(_number(source, "most_workers")),
        dearest=max(costs.values(), default=1),
        time_zone=zone,
        breaker=not getattr(source, "local", False),
    )


def _costs(source: type[Source]) -> Mapping[str, int]:
    """Returns the permits that requests take: by `CAPABILITIES`, where the class declares them so."""
    costs = getattr(source, "cost", 1)
    if callable(costs) or isinstance(costs, property):  # something else of the class's own
        costs = 1
    if isinstance(costs, int):
        costs = dict.fromkeys(CAPABILITIES, costs)
    if (
        isinstance(costs, Mapping)
        and costs.keys() <= set(CAPABILITIES)
        and all(type(cost) is int and cost > 0 for cost in costs.values())
    ):
        return costs
    raise InvalidSource(f"its cost must be a whole number, or one for some of {', '.join(CAPABILITIES)}")


def _number(source: type[Source], attribute: str) -> float:
    try:
        value = float(getattr(source, attribute, 0))
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise InvalidSource(f"its {attribute} must be a number from 0 up")
    return value


def _markets(source: type[Source], attribute: str, *, of: str) -> tuple[str, ...]:
    """Returns the markets for which the class has the method `of`; none without the method."""
    has_method = callable(getattr(source, of, None))
    return _some_of(ALL_MARKETS, source, attribute, source.markets) if has_method else ()


def _some_of(
    allowed: tuple[str, ...], source: type[Source], attribute: str, default: Collection[str]
) -> tuple[str, ...]:
    values = getattr(source, attribute, default)
    if not isinstance(values, Collection) or not set(values) <= set(allowed):
        raise InvalidSource(f"its {attribute} must be some of {', '.join(map(repr, allowed))}")
    return tuple(values)


def _time_of_day(value: Any) -> time | None:
    if value is None or (isinstance(value, time) and value.tzinfo is None):
        return value
    raise InvalidSource("its ready_at must be a datetime.time without a time zone")


def _day(source: Any, name: str) -> date | None:
    value = getattr(source, name, None)
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise InvalidSource(f"its {name} must be a datetime.date")
