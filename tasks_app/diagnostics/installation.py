"""The installation: variables that nothing reads, and the time zone data."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

from tasks_app import source_settings
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.diagnostics import versions
from tasks_app.diagnostics.findings import Finding, fault, ok, warning
from tasks_app.diagnostics.texts import gettext_lazy as _, join
from tasks_app.sources import registry

VERSION = ok("version", _("Version %(version)s, code %(code)s, Python %(python)s, Django %(django)s"))
VARIABLE_UNKNOWN = warning(
    "variable_unknown",
    _("Nothing reads these variables of the environment: %(names)s"),
    _("Correct their names: the README's table has all settings."),
)
ZONES = ok("time_zones_present", _("The data of all time zones in use are installed."))
ZONE_MISSING = fault(
    "time_zone_data_missing",
    _("The data of time zones are missing: %(names)s"),
    _("Install the system's package tzdata, or run %(python)s -m pip install tzdata."),
)


def examine() -> Iterator[Finding]:
    """Takes no query."""
    found = versions.versions()
    yield VERSION(version=found["collector"], **{name: found[name] for name in ("code", "python", "django")})
    missing = [
        zone for zone in sorted({*MARKET_TIME_ZONES.values(), settings.TIME_ZONE}) if not _is_known(zone)
    ]
    yield ZONE_MISSING(names=join(missing)) if missing else ZONES()
    if unknown := unknown_variables():
        yield VARIABLE_UNKNOWN(names=join(unknown))


def unknown_variables() -> list[str]:
    """Returns the COLLECTOR_ variables that are no setting of ours or of any source, installed or not."""
    conf = settings.COLLECTOR
    available = registry.available(conf)
    declared = {
        source_settings.variable_of(name, setting.name)
        for name, source in available.items()
        for setting in source_settings.declared(source)
    }
    # What a source declares that can't be loaded here is unknown: any variable with its name may be its own.
    others = tuple(
        source_settings.variable_of(name, "") for name in registry.paths(conf) if name not in available
    )
    return [name for name, _text in conf.environment if name not in declared and not name.startswith(others)]


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except ZoneInfoNotFoundError:
        return False
    return True
