"""All settings with their effective values, and where these come from; secrets are masked."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings

from tasks_app.conf import Conf, Simulated
from tasks_app.lifecycle import source_settings as stored_settings
from tasks_app.source_settings import MASK, PREFIX, mask
from tasks_app.sources import registry

DEFAULT, ENVIRONMENT = "default", "environment"
SECRET = re.compile("TOKEN|KEY|SECRET|PASS|COOKIE", re.IGNORECASE)
SITE = {  # variables of the site by the setting that they make
    "DJANGO_DEBUG": "IS_LOCAL",
    "DJANGO_SECRET_KEY": "SECRET_KEY",
    "DJANGO_ALLOWED_HOSTS": "ALLOWED_HOSTS",
    "DJANGO_CSRF_TRUSTED_ORIGINS": "CSRF_TRUSTED_ORIGINS",
    "REDIS_URL": "REDIS_URL",
    "DJANGO_LOG_LEVEL": "LOG_LEVEL",
    "DJANGO_TIME_ZONE": "TIME_ZONE",
    "DJANGO_HTTPS": "HTTPS",
    "DJANGO_HSTS_SECONDS": "HSTS_SECONDS",
    "DJANGO_PROXIES": "PROXIES",
}


@dataclass(frozen=True)
class SettingValue:
    """A setting: its variable, the value in force, and its origin: default, environment, stored
    or missing."""

    variable: str
    value: str
    origin: str

    @property
    def is_set(self) -> bool:
        return self.origin != DEFAULT


def installation_values() -> Iterator[SettingValue]:
    """Yields the settings of the site and of the program, in the README's order. Takes no query."""
    database = os.environ.get("DATABASE_URL", "")
    default = f"sqlite:///{settings.DATABASES['default']['NAME']}"
    yield SettingValue("DATABASE_URL", masked_url(database) or default, ENVIRONMENT if database else DEFAULT)
    for variable, name in SITE.items():
        yield _value(variable, getattr(settings, name))
    yield from _of_class(settings.COLLECTOR, PREFIX)


def source_values() -> Iterator[SettingValue]:
    """Yields the settings that the usable sources declare. Takes a query per source."""
    for name in sorted(registry.available(settings.COLLECTOR)):
        for status in stored_settings.statuses(name):
            yield SettingValue(status.variable, mask(status.shown), status.origin)


def masked_url(text: str) -> str:
    """Returns an address without its password, and without secrets in its query."""
    try:
        url = urlsplit(text)
        query = [(name, MASK if SECRET.search(name) else value) for name, value in parse_qsl(url.query)]
    except ValueError:
        return MASK
    user, _at, _host = url.netloc.rpartition("@")
    if ":" in user:  # urlunsplit would lose the slashes of sqlite:///
        text = text.replace(f"{user}@", f"{user.partition(':')[0]}:{MASK}@", 1)
    if url.query:
        text = text.replace(f"?{url.query}", f"?{urlencode(query, safe='*/')}", 1)
    return mask(text)


def _of_class(values: Conf | Simulated, prefix: str) -> Iterator[SettingValue]:
    for setting in fields(values):
        value, variable = getattr(values, setting.name), f"{prefix}{setting.name.upper()}"
        if isinstance(value, Simulated):
            yield from _of_class(value, f"{variable}_")
        elif "internal" not in setting.metadata:
            yield _value(variable, value)


def _value(variable: str, value: Any) -> SettingValue:
    """An environment's value is shown as it was written there."""
    text = os.environ.get(variable)
    shown = text if text is not None else _written(value)
    if SECRET.search(variable) and shown:
        shown = MASK
    elif variable.endswith("_URL"):
        shown = masked_url(shown)
    return SettingValue(variable, mask(shown), DEFAULT if text is None else ENVIRONMENT)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"
