"""System checks: settings that contradict each other stop the program at its start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from tasks_app.sources import registry


@register
def check_times(**_: Any) -> list[CheckMessage]:
    """A lease must outlive several heartbeats, or healthy workers lose their work."""
    conf = settings.COLLECTOR
    if conf.lease >= 3 * conf.heartbeat:
        return []
    return [Error("COLLECTOR_LEASE must be at least three times COLLECTOR_HEARTBEAT.", id="collector.E001")]


@register
def check_chains(**_: Any) -> list[CheckMessage]:
    """Every source that a setting names exists, here or where its dependency is installed."""
    conf = settings.COLLECTOR
    named = {
        "COLLECTOR_FALLBACKS": {name for _, chain in conf.fallbacks for name in chain},
        "COLLECTOR_RATES": {name for name, _ in conf.rates},
        "COLLECTOR_DAILY_CAPS": {name for name, _ in conf.daily_caps},
    }
    known = {*registry.BUILT_IN, *dict(conf.sources)}
    return [
        Error(f"{setting}: there is no source “{name}” in {', '.join(sorted(known))}.", id="collector.E004")
        for setting, names in named.items()
        for name in sorted(names - known)
    ]


@register
def check_sources(**_: Any) -> list[CheckMessage]:
    """Every source loads, keeps the contract's shape, and the default one exists."""
    conf = settings.COLLECTOR
    faults = registry.broken(conf)
    if faults:
        return [
            Error(f"COLLECTOR_SOURCES: {name}: {what}.", id="collector.E002") for name, what in faults.items()
        ]
    sources = registry.available(conf)
    if conf.default_source in sources:
        return []
    known, setting = ", ".join(sources), registry.hidden(conf).get(conf.default_source)
    hint = f" It needs {setting}." if setting else ""
    return [
        Error(
            f"COLLECTOR_DEFAULT_SOURCE: there is no source “{conf.default_source}” in {known}.{hint}",
            id="collector.E003",
        )
    ]
