"""System checks: contradictory settings stop the program at its start."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.checks import check_admin_app
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.urls import get_resolver

from tasks_app.source_settings import InvalidSetting
from tasks_app.sources import registry


@register
def check_times(**_: Any) -> list[CheckMessage]:
    """Checks that a lease outlives several heartbeats: otherwise healthy workers would lose their claims."""
    conf = settings.COLLECTOR
    if conf.lease >= 3 * conf.heartbeat:
        return []
    return [Error("COLLECTOR_LEASE must be at least three times COLLECTOR_HEARTBEAT.", id="collector.E001")]


@register
def check_chains(**_: Any) -> list[CheckMessage]:
    """Checks that every source named by a setting exists, here or where its dependency is installed."""
    conf = settings.COLLECTOR
    names_by_setting = {
        "COLLECTOR_FALLBACKS": {name for _, chain in conf.fallbacks for name in chain},
        "COLLECTOR_RATES": {name for name, _ in conf.rates},
        "COLLECTOR_DAILY_CAPS": {name for name, _ in conf.daily_caps},
    }
    known = registry.paths(conf).keys()
    return [
        Error(f"{setting}: there is no source “{name}” in {', '.join(sorted(known))}.", id="collector.E004")
        for setting, names in names_by_setting.items()
        for name in sorted(names - known)
    ]


@register
def check_source_settings(**_: Any) -> list[CheckMessage]:
    """Checks that the settings of the sources' own are well-formed where the environment sets them.

    So must be their quotas: one below what a request takes would let none through.
    """
    errors: list[CheckMessage] = []
    for name, source in registry.available(settings.COLLECTOR).items():
        try:
            settings.COLLECTOR.source_settings(source)
            registry.check_quotas(name, settings.COLLECTOR)
        except InvalidSetting as error:
            errors.append(Error(str(error), id="collector.E005"))
    return errors


@register
def check_sources(**_: Any) -> list[CheckMessage]:
    """Checks that every source of COLLECTOR_SOURCES loads as a source, and that the default source exists.

    Any other source that can't be used is a warning: nobody may have asked for it.
    """
    conf = settings.COLLECTOR
    broken, named = registry.broken(conf), dict(conf.sources)
    if errors := {name: why for name, why in broken.items() if name in named}:
        return [
            Error(f"COLLECTOR_SOURCES: {name}: {why}.", id="collector.E002") for name, why in errors.items()
        ]
    left_out = {**registry.clashes(conf), **broken}
    warnings: list[CheckMessage] = [
        Warning(f"The source “{name}” is not used: {why}.", id="collector.W001")
        for name, why in left_out.items()
    ]
    sources = registry.available(conf)
    if conf.default_source in sources:
        return warnings
    message = f"COLLECTOR_DEFAULT_SOURCE: there is no source “{conf.default_source}” in {', '.join(sources)}."
    if setting := registry.hidden(conf).get(conf.default_source):
        message += f" It needs {setting}."
    return [*warnings, Error(message, id="collector.E003")]


@register(Tags.admin)
def check_admin_pages(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Checks the admin's pages, which only the URLs register: Django's own check may run before them."""
    get_resolver().url_patterns  # noqa: B018  imports them
    return list(check_admin_app(app_configs))
