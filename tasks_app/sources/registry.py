"""The sources by name: the built-in ones and those of COLLECTOR_SOURCES.

A source is known by its dotted path until it is needed, so that an optional dependency that is
not installed hides its source and nothing else.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module

from tasks_app.conf import MARKET_TIME_ZONES, Conf
from tasks_app.sources.base import Limits, Source

BUILT_IN = {
    "sample": "tasks_app.sources.sample:SampleSource",
    "simulated": "tasks_app.sources.simulated:SimulatedSource",
    "akshare": "tasks_app.sources.akshare:AkshareSource",
    "baostock": "tasks_app.sources.baostock:BaostockSource",
    "csv": "tasks_app.sources.csv_folder:CsvSource",
}
MADE_UP = frozenset({"simulated"})


def load(path: str) -> type[Source]:
    """The class at `package.module:Class`. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


@cache
def available(conf: Conf) -> dict[str, type[Source]]:
    """The sources that can be used here, by name."""
    lacking = hidden(conf)
    paths = {**BUILT_IN, **dict(conf.sources)}
    return {name: load(path) for name, path in paths.items() if name not in lacking}


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
    return available(conf)[name].from_conf(conf)


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
        if name in sources and market in sources[name].markets and (name in chosen or name not in MADE_UP):
            return name
    return None
