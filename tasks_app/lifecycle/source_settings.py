"""The stored settings of sources: edited on a page, encrypted, and read by every process within seconds.

The environment wins over them. `texts` is what `sources.registry` reads them by.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app import source_settings
from tasks_app.db import encryption
from tasks_app.errors import CollectorError
from tasks_app.models import SourceSetting
from tasks_app.source_settings import MASK, Setting
from tasks_app.sources import registry

FRESH_SECONDS = 5.0


class InvalidValue(CollectorError):
    code = "invalid_value"
    template = _("%(variable)s: %(problem)s.")


class SetByEnvironment(CollectorError):
    code = "set_by_environment"
    template = _("%(variable)s is set in the environment, which wins: change it there.")


@dataclass(frozen=True)
class SettingStatus:
    """A setting of a source as a page shows it.

    `origin` says where the value in force comes from: environment, stored, default, or missing where it is
    required. `shown` is that value, masked if it is secret. `problem` says why a value can't be used.
    """

    setting: Setting
    variable: str
    origin: str
    shown: str
    is_stored: bool = False
    changed_at: datetime | None = None
    changed_by: str = ""
    problem: str = ""


class _Snapshot:
    """The stored texts as this process knows them."""

    texts: Mapping[str, Mapping[str, str]] = {}
    read_at = float("-inf")


def texts() -> Mapping[str, Mapping[str, str]]:
    """Returns the stored texts by source and variable; they may be some seconds old."""
    if time.monotonic() - _Snapshot.read_at > FRESH_SECONDS:
        found: dict[str, dict[str, str]] = {}
        for row in SourceSetting.objects.order_by("source", "name"):
            text, problem = _decrypt(row)
            if text or problem:
                variable = source_settings.variable_of(row.source, row.name)
                found.setdefault(row.source, {})[variable] = source_settings.UNREADABLE if problem else text
        _Snapshot.texts, _Snapshot.read_at = found, time.monotonic()
    return _Snapshot.texts


def forget_texts() -> None:
    """Has the rows read again when they are next needed."""
    _Snapshot.read_at = float("-inf")


def store(source: str, name: str, text: str, user: str) -> None:
    """Stores a setting's value. Raises `InvalidValue` and `SetByEnvironment`, `KeyError` for no setting."""
    setting, variable = _find(source, name), source_settings.variable_of(source, name)
    if dict(settings.COLLECTOR.environment).get(variable):
        raise SetByEnvironment(variable=variable)
    text = text.strip()
    if setting.secret:
        source_settings.remember_secret(text)
    try:
        if not text:
            raise ValueError("the value is empty")
        value = setting.parse(text)
    except ValueError as error:
        raise InvalidValue(variable=variable, problem=str(error)) from None
    if setting.type is int and (problem := registry.quota_problem(source, name, value, settings.COLLECTOR)):
        raise InvalidValue(variable=variable, problem=problem)
    values = {"value": encryption.encrypt(text), "changed_at": Now(), "changed_by": user}
    SourceSetting.objects.update_or_create(source=source, name=name, defaults=values)
    forget_texts()


def remove(source: str, name: str) -> bool:
    """Deletes a stored value: the default counts again. Returns whether there was one."""
    deleted, _by_model = SourceSetting.objects.filter(source=source, name=name).delete()
    forget_texts()
    return bool(deleted)


def statuses(source: str) -> list[SettingStatus]:
    """Returns an available source's settings, with where each value comes from. Costs one query."""
    rows = {row.name: row for row in SourceSetting.objects.filter(source=source)}
    kind = registry.available(settings.COLLECTOR)[source]
    return [_status(source, each, rows.get(each.name)) for each in source_settings.declared(kind)]


def _status(source: str, setting: Setting, row: SourceSetting | None) -> SettingStatus:
    variable = source_settings.variable_of(source, setting.name)
    text, problem = dict(settings.COLLECTOR.environment).get(variable, "").strip(), ""
    origin = "environment"
    if not text and row:
        origin = "stored"
        text, problem = _decrypt(row)
    if not text:
        origin = "missing" if setting.required else "default"
    changes: dict[str, Any] = {"is_stored": row is not None}
    if row:
        changes |= {"changed_at": row.changed_at, "changed_by": row.changed_by}
    try:
        if text:
            setting.parse(text)
    except ValueError as error:
        problem = str(error)
    shown = text or ("" if setting.default in ("", None) else str(setting.default))
    if setting.secret and shown:
        shown = MASK
    return SettingStatus(setting, variable, origin, shown, problem=problem, **changes)


def _decrypt(row: SourceSetting) -> tuple[str, str]:
    """Returns the row's text, or "" and why it can't be read."""
    try:
        return encryption.decrypt(row.value), ""
    except encryption.Undecipherable:
        return "", str(_("The stored value was encrypted with another DJANGO_SECRET_KEY: enter it again"))


def _find(source: str, name: str) -> Setting:
    kind = registry.available(settings.COLLECTOR)[source]
    return {setting.name: setting for setting in source_settings.declared(kind)}[name]
