"""The sources by name: the built-in ones and those of COLLECTOR_SOURCES.

A source is known by its dotted path until it is needed, so that an optional dependency that is
not installed hides its source and nothing else; so does what is wrong with a source of somebody's own,
which stops the commands at their start.

A source's name is the one that it is registered by, whatever its class says.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from tasks_app.conf import ADJUSTS, MARKET_TIME_ZONES, MARKETS, Conf
from tasks_app.sources.base import Limits, Source

BUILT_IN = {
    "sample": "tasks_app.sources.sample:SampleSource",
    "simulated": "tasks_app.sources.simulated.source:SimulatedSource",
    "akshare": "tasks_app.sources.akshare.source:AkshareSource",
    "baostock": "tasks_app.sources.baostock.source:BaostockSource",
    "csv": "tasks_app.sources.csv_folder.source:CsvSource",
}
SYNTHETIC = frozenset({"simulated"})
METHODS = ("from_conf", "symbols", "fetch")


class NoSource(Exception):
    """What a path leads to is no source; the message says what it lacks."""


def load(path: str) -> type[Source]:
    """The class at `package.module:Class`. Raises `NoSource`, and whatever its module raises."""
    module, _, name = path.partition(":")
    found = getattr(import_module(module), name)
    if lacking := _lacks(found):
        raise NoSource(f"{path} is no source: it lacks {', '.join(lacking)}")
    return found  # type: ignore[no-any-return]


def _lacks(found: Any) -> list[str]:
    """What a source must have and this has not."""
    if not isinstance(found, type):
        return ["a class"]
    lists = {"markets": MARKETS, "adjusts": ADJUSTS}
    lacking = [] if isinstance(getattr(found, "name", None), str) else ["name"]
    lacking += [
        f"{name} (some of {', '.join(map(repr, known))})"
        for name, known in lists.items()
        if not _is_some_of(getattr(found, name, None), known)
    ]
    return lacking + [f"{name}()" for name in METHODS if not callable(getattr(found, name, None))]


def _is_some_of(values: Any, known: tuple[str, ...]) -> bool:
    return isinstance(values, tuple | list) and bool(values) and all(value in known for value in values)


@cache
def available(conf: Conf) -> dict[str, type[Source]]:
    """The sources that can be used here, by name."""
    paths = {**BUILT_IN, **dict(conf.sources)}
    unfit = hidden(conf).keys() | broken(conf).keys()
    return {name: _named(name, load(path)) for name, path in paths.items() if name not in unfit}


def _named(name: str, source: type[Source]) -> type[Source]:
    """The class under this name: a class that is registered twice makes two sources."""
    return source if source.name == name else type(source.__name__, (source,), {"name": name})


@cache
def broken(conf: Conf) -> dict[str, str]:
    """The sources of COLLECTOR_SOURCES that can't be used, each with what is wrong with it."""
    faults = {name: _fault(path) for name, path in conf.sources}
    return {name: fault for name, fault in faults.items() if fault}


def _fault(path: str) -> str:
    try:
        load(path)
    except NoSource as error:
        return str(error)
    except Exception as error:  # a module of somebody's own may raise anything
        return f"{path} can't be loaded: {type(error).__name__}: {error}"
    return ""


@cache
def hidden(conf: Conf) -> dict[str, str]:
    """The built-in sources that can't be used here, each with the setting it needs.

    "" for one whose optional dependency is not installed.
    """
    paths = {name: path for name, path in BUILT_IN.items() if name not in dict(conf.sources)}
    lacking = {name: _lacking(path, conf) for name, path in paths.items()}
    return {name: what for name, what in lacking.items() if what is not None}


def _lacking(path: str, conf: Conf) -> str | None:
    """A source names the field of `Conf` that it can't do without as `needs`."""
    try:
        source = load(path)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tasks_app"):  # a fault of ours, not a missing dependency
            raise
        return ""
    needs: str = getattr(source, "needs", "")
    return f"COLLECTOR_{needs.upper()}" if needs and not getattr(conf, needs) else None


@cache
def make(name: str, conf: Conf) -> Source:
    """The source, made once per process. Raises KeyError for a name that is not available."""
    made = available(conf)[name].from_conf(conf)
    if made.name != name:  # its from_conf does not ask for the class that it is called on
        made.name = name  # type: ignore[misc]
    return made


@cache
def limits(name: str, conf: Conf) -> Limits:
    """How the source wants to be treated, by its own word and, above that, the settings."""
    source = available(conf)[name]
    rate, daily = getattr(source, "rate", 0.0), getattr(source, "daily", 0)
    if name == "simulated":
        rate, daily = conf.simulated.rate, conf.simulated.daily
    rate, daily = getattr(conf, f"{name}_rate", rate), getattr(conf, f"{name}_daily", daily)
    rate, daily = dict(conf.rates).get(name, rate), dict(conf.daily_caps).get(name, daily)
    return Limits(
        rate=0.0 if conf.no_throttle else float(rate),
        daily=0 if conf.no_throttle else int(daily),
        in_flight=getattr(source, "in_flight", 0),
        most_workers=getattr(source, "most_workers", 0),
        time_zone=getattr(source, "time_zone", MARKET_TIME_ZONES[source.markets[0]]),
        breaker=not (conf.no_throttle or getattr(source, "local", False)),
    )


def lanes(names: Sequence[str], conf: Conf) -> int:
    """How many workers may ask these sources at once for one task."""
    sources = [limits(name, conf) for name in names if name in available(conf)]
    return min([conf.fan_out, *(limit.most_workers for limit in sources if limit.most_workers)])


def after(source: str, market: str, conf: Conf) -> tuple[str, ...]:
    """The sources that follow this one in the market's chain of COLLECTOR_FALLBACKS and can be used here."""
    chain = dict(conf.fallbacks).get(market, ())
    sources = available(conf)
    rest = chain[chain.index(source) + 1 :] if source in chain else ()
    return tuple(name for name in rest if name in sources and market in sources[name].markets)


def serving(market: str, conf: Conf) -> str | None:
    """The source for a market when none is named: its chain's first, the default one, the first real one."""
    sources = available(conf)
    chosen = (*dict(conf.fallbacks).get(market, ()), conf.default_source)
    for name in (*chosen, *sources):
        if name in sources and market in sources[name].markets and (name in chosen or name not in SYNTHETIC):
            return name
    return None
