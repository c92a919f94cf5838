"""The sources by name: the built-in ones and those of COLLECTOR_SOURCES.

A source is known by its dotted path until it is needed, so that an optional dependency that is
not installed hides its source and nothing else.
"""

from functools import cache
from importlib import import_module

from tasks_app.conf import Conf
from tasks_app.sources.base import Source

BUILT_IN = {
    "sample": "tasks_app.sources.sample:SampleSource",
    "simulated": "tasks_app.sources.simulated:SimulatedSource",
}
MADE_UP = frozenset({"simulated"})


def load(path: str) -> type[Source]:
    """The class at `package.module:Class`. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


@cache
def available(conf: Conf) -> dict[str, type[Source]]:
    """The sources that can be used here, by name."""
    return {name: load(path) for name, path in {**BUILT_IN, **dict(conf.sources)}.items()}


@cache
def make(name: str, conf: Conf) -> Source:
    """The source, made once per process. Raises KeyError for a name that is not available."""
    return available(conf)[name].from_conf(conf)


def serving(market: str, conf: Conf) -> str | None:
    """The source for a market when none is named: the default one, else the first real one."""
    sources = available(conf)
    for name in (conf.default_source, *sources):
        if (
            name in sources
            and market in sources[name].markets
            and (name == conf.default_source or name not in MADE_UP)
        ):
            return name
    return None
