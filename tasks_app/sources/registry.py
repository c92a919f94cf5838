"""The sources by name: the built-in ones, those of installed packages, and those of COLLECTOR_SOURCES.

An installed package offers its sources as entry points of the group `collector.sources`.

A source is imported from its dotted path when it is first needed. So a built-in source whose optional
dependency is not installed is hidden, and the others work. A third party's source that can't be used is
left out, too; one that COLLECTOR_SOURCES names stops the commands at their start (`tasks_app.checks`).

A source's name is the one under which it is registered, whatever its class says.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from tasks_app import source_settings
from tasks_app.conf import Conf
from tasks_app.source_settings import LIMIT_SETTINGS, InvalidSetting, MissingSetting
from tasks_app.sources.base import Limits, Source, SourceError, SourceRefusal
from tasks_app.sources.shared_process import handle
from tasks_app.sources.shared_process.remote_source import make_remote
from tasks_app.sources.traits import InvalidSource, SourceTraits, check_source, read_traits

ENTRY_POINTS = "collector.sources"
QUOTAS = ("per_minute", "per_hour", "daily")
BUILT_IN = {
    "sample": "tasks_app.sources.sample:SampleSource",
    "simulated": "tasks_app.sources.simulated.source:SimulatedSource",
    "akshare": "tasks_app.sources.akshare.source:AkshareSource",
    "baostock": "tasks_app.sources.baostock.source:BaostockSource",
    "tencent": "tasks_app.sources.akshare.tencent:TencentSource",
    "sina": "tasks_app.sources.akshare.sina:SinaSource",
    "yfinance": "tasks_app.sources.yfinance.source:YahooSource",
    "tushare": "tasks_app.sources.tushare.source:TushareSource",
    "tiingo": "tasks_app.sources.tiingo:TiingoSource",
    "csv": "tasks_app.sources.csv_folder.source:CsvSource",
}


def load(path: str) -> type[Source]:
    """Returns the class at `package.module:Class`.

    Raises `InvalidSource` when it is not a source, and whatever its module raises when imported.
    """
    module, _, name = path.partition(":")
    source: type[Source] = getattr(import_module(module), name)
    try:
        check_source(source)
        read_traits(source)
    except InvalidSource as error:
        raise InvalidSource(f"{path} is not a source: {error}") from error
    return source


@cache
def available(conf: Conf) -> dict[str, type[Source]]:
    """Returns the sources that can be used here, by name."""
    unusable = hidden(conf).keys() | broken(conf).keys()
    sources = {name: load(path) for name, path in paths(conf).items() if name not in unusable}
    # A class that is registered under another name gets a subclass: registered twice, it makes two sources.
    return {
        name: source if source.name == name else type(source.__name__, (source,), {"name": name})
        for name, source in sources.items()
    }


@cache
def paths(conf: Conf) -> dict[str, str]:
    """Returns where each source's class is, by the source's name. COLLECTOR_SOURCES decides."""
    installed = {name: points[0].value for name, points in installed_sources().items()}
    return {**installed, **BUILT_IN, **dict(conf.sources)}


@cache
def installed_sources() -> dict[str, tuple[EntryPoint, ...]]:
    """Returns the entry points of installed packages, by the source's name: one, unless names clash."""
    points: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


def _clash(name: str, points: Sequence[EntryPoint]) -> str:
    """Returns why an installed source can't be known by its name; "" if it can."""
    packages = [f"{point.value} of {point.dist.name if point.dist else '?'}" for point in points]
    if name in BUILT_IN:
        return f"{packages[0]} has the name of a built-in source: name it in COLLECTOR_SOURCES"
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", name):
        return f"{packages[0]} has a name other than 1 to 32 letters, digits, dots, dashes and underscores"
    if len(packages) > 1:
        return f"several packages have it: {', '.join(packages)}. Name one in COLLECTOR_SOURCES"
    return ""


@cache
def broken(conf: Conf) -> dict[str, str]:
    """Returns what is wrong with each source that can't be used, by name; built-in ones may lack a time zone.

    An installed source with the name of a built-in one is left out; see `clashes`.
    """
    problems = {}
    for name, path in paths(conf).items():
        is_built_in = BUILT_IN.get(name) == path
        is_installed = not is_built_in and name not in dict(conf.sources)
        if is_installed and (clash := _clash(name, installed_sources()[name])):
            problems[name] = clash
            continue
        try:
            load(path)
        except InvalidSource as error:
            problems[name] = str(error)
        except Exception as error:  # a third party's module may raise anything
            if not is_built_in:
                problems[name] = f"{path} can't be loaded: {type(error).__name__}: {error}"
    return problems


@cache
def hidden(conf: Conf) -> dict[str, str]:
    """Returns the built-in sources that can't be used here, each with the setting that it needs.

    The setting is "" where an optional dependency is not installed.
    """
    settings = {}
    for name, path in BUILT_IN.items():
        if paths(conf)[name] != path:
            continue
        try:
            needs = read_traits(load(path)).required_setting
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("tasks_app"):  # our own fault, not a missing dependency
                raise
            settings[name] = ""
        except InvalidSource:
            continue  # it is broken
        else:
            if needs and not getattr(conf, needs):
                settings[name] = f"COLLECTOR_{needs.upper()}"
    return settings


def requirements(name: str) -> str:
    """Returns the file that lists a built-in source's optional dependency; it has the name of its module."""
    module = BUILT_IN[name].removeprefix(f"{__package__}.")
    return f"requirements-{re.split('[.:]', module)[0]}.txt"


@cache
def traits(name: str, conf: Conf) -> SourceTraits:
    """Returns what the source declares about itself; the defaults for a source that is not available here."""
    source = available(conf).get(name)
    return read_traits(source) if source else SourceTraits(Limits())


def with_stored_settings(conf: Conf, name: str) -> Conf:
    """Returns the settings with the texts that are stored for this source's own ones."""
    stored = _stored_settings().get(name)
    return replace(conf, stored=tuple(sorted(stored.items()))) if stored else conf


def use_stored_settings(read: Callable[[], Mapping[str, Mapping[str, str]]]) -> None:
    """Sets what returns the stored texts by source and variable: this package knows no database."""
    global _stored_settings
    _stored_settings = read


_stored_settings: Callable[[], Mapping[str, Mapping[str, str]]] = dict


def get_source(name: str, conf: Conf) -> Source:
    """Returns the source, made once per process and again when one of its settings has changed.

    One with `own_process` makes its requests in another process.

    Raises `KeyError` for a name that is not available, and `SourceError` if it can't be made.
    """
    return _make_source(name, with_stored_settings(conf, name))


@lru_cache(maxsize=64)
def _make_source(name: str, conf: Conf) -> Source:
    kind = available(replace(conf, stored=()))[name]
    return _make(kind, name, conf, own_process=read_traits(kind).own_process and handle.IS_SUPPORTED)


def _make(kind: type[Source], name: str, conf: Conf, *, own_process: bool) -> Source:
    try:
        source_settings.read(kind, dict(conf.environment), dict(conf.stored), needs_all=True)
        check_quotas(name, conf)
        source = make_remote(kind, conf) if own_process else kind.from_conf(conf)
    except SourceError:
        raise
    except InvalidSetting as error:
        raise SourceRefusal(str(error), code="setting_missing") from error
    except (Exception, SystemExit) as error:  # a third party's code may raise anything
        text = source_settings.mask(f"{type(error).__name__}: {error}")
        raise SourceRefusal(text, code="source_unusable") from error
    if source.name != name:  # its from_conf ignores the class that it is called on
        source.name = name  # type: ignore[misc]
    return source


def make_here(name: str, conf: Conf) -> Source:
    """Returns a new source that makes its requests in this process, whatever it declares.

    Raises as `get_source` does.
    """
    return _make(available(conf)[name], name, with_stored_settings(conf, name), own_process=False)


def forget_sources() -> None:
    """Has every source made again when it is next needed."""
    _make_source.cache_clear()


def why_unusable(name: str, conf: Conf) -> str:
    """Returns why an available source can't be made here, such as a missing token; "" if it can."""
    try:
        get_source(name, conf)
    except SourceError as error:
        return source_settings.mask(str(error)) or error.code
    return ""


def missing_setting(name: str, conf: Conf) -> str:
    """Returns the variable of the setting without which an available source can't be made; "" for none."""
    problem = _setting_problem(name, conf)
    return problem.variable if isinstance(problem, MissingSetting) else ""


def lacks_setting(name: str, conf: Conf) -> bool:
    """Whether an available source lacks a setting that it requires, or has a malformed one."""
    return _setting_problem(name, conf) is not None


def _setting_problem(name: str, conf: Conf) -> InvalidSetting | None:
    own = with_stored_settings(conf, name)
    try:
        source_settings.read(available(conf)[name], dict(own.environment), dict(own.stored), needs_all=True)
    except InvalidSetting as error:
        return error
    return None


def check_quotas(name: str, conf: Conf) -> None:
    """Raises `InvalidSetting` for a quota of an available source that is less than one request takes.

    Stored settings count only where `conf` has them.
    """
    in_force = _limits(name, conf)
    for setting in QUOTAS:
        if problem := quota_problem(name, setting, getattr(in_force, setting), conf):
            is_cap = setting == "daily" and name in dict(conf.daily_caps)
            variable = "COLLECTOR_DAILY_CAPS" if is_cap else source_settings.variable_of(name, setting)
            raise InvalidSetting(f"{variable}: {problem}.")


def quota_problem(name: str, setting: str, quota: float, conf: Conf) -> str:
    """Returns why a source can't have this quota, as in "per_hour"; "" if it can, and for other settings."""
    dearest = traits(name, replace(conf, stored=())).limits.dearest
    if setting not in QUOTAS or not 0 < quota < dearest:
        return ""
    return (
        f"a quota of {quota} lets no request of {name} through that takes {dearest} permits:"
        f" give at least {dearest}, or 0 for no limit"
    )


def limits(name: str, conf: Conf) -> Limits:
    """Returns the limits of the source's requests: those that it declares, overridden by the settings.

    Raises `KeyError` for a name that is not available.
    """
    if name not in available(conf):
        raise KeyError(name)
    return _limits(name, conf if conf.no_throttle else with_stored_settings(conf, name))


def _limits(name: str, conf: Conf) -> Limits:
    plain = replace(conf, stored=()) if conf.stored else conf  # what is cached is cached by the settings
    declared = traits(name, plain).limits
    if conf.no_throttle:
        return replace(declared, rate=0.0, per_minute=0, per_hour=0, daily=0, breaker=False)
    try:
        own = conf.source_settings(available(plain)[name])
        values = {each.name: own[each.name] for each in LIMIT_SETTINGS}
    except InvalidSetting:  # so that it can't be made, which is shown
        return declared
    values["rate"] = dict(conf.rates).get(name, values["rate"])
    values["daily"] = dict(conf.daily_caps).get(name, values["daily"])
    return replace(declared, **values)


def lane_count(names: Sequence[str], conf: Conf) -> int:
    """Returns how many workers may request from these sources at once for one task."""
    declared = (traits(name, conf).limits.most_workers for name in names)
    return min([conf.fan_out, *filter(None, declared)])


def fallbacks_after(source: str, market: str, conf: Conf) -> tuple[str, ...]:
    """Returns the usable sources that follow this one in the market's chain of COLLECTOR_FALLBACKS."""
    chain = dict(conf.fallbacks).get(market, ())
    sources = available(conf)
    rest = chain[chain.index(source) + 1 :] if source in chain else ()
    return tuple(name for name in rest if name in sources and market in sources[name].markets)


def clashes(conf: Conf) -> dict[str, str]:
    """Returns why installed sources are not used that have the name of a built-in one, by name."""
    named = dict(conf.sources)
    taken = {name: points for name, points in installed_sources().items() if name in BUILT_IN}
    return {name: _clash(name, points) for name, points in taken.items() if name not in named}


def choose_source(market: str, conf: Conf) -> str | None:
    """Returns the source for a market where none is named; None when no source serves it.

    It is the first of the market's fallback chain, then the default source, then any source that serves it
    and has its settings.
    Made-up quotes are served in the synthetic market only, so no other market ever gets their source.
    """
    sources = available(conf)
    preferred = (*dict(conf.fallbacks).get(market, ()), conf.default_source)
    for name in (*preferred, *sources):
        is_served = name in sources and market in sources[name].markets
        if is_served and (name in preferred or not lacks_setting(name, conf)):
            return name
    return None
