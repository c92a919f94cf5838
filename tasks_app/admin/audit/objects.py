"""The object that a page of the audit record is about: what it is called, and where its pages are."""

from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from tasks_app.admin.common.formatting import Breadcrumb, short_id
from tasks_app.admin.common.keys import is_possible
from tasks_app.db.keyset import Position
from tasks_app.lifecycle import audit_log
from tasks_app.lifecycle.audit_log import TASK, Filters
from tasks_app.models import CollectionTask


class RecordedObject(NamedTuple):
    """An object: its kind, its name, and links to its list and its page, as far as the user may see them."""

    kind: Any
    name: str
    list_crumb: Breadcrumb | None
    url: str


def find(request: HttpRequest, subject: str, key: str) -> RecordedObject:
    """Returns the object that a subject and a key name, also one that was deleted, or has never existed."""
    model_admin = _admin_of(subject)
    row, listed, url = None, None, ""
    if model_admin and model_admin.has_view_or_change_permission(request):
        address = f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}"
        listed = Breadcrumb(_list_name(model_admin), reverse(f"{address}_changelist"))
        row = _row(model_admin.model, key)
        url = reverse(f"{address}_change", args=[row.pk]) if row is not None else ""
    name = _name(subject, row) or _recorded_name(subject, key) or f"#{key}"
    return RecordedObject(audit_log.subject_label(subject), name, listed, url)


def _admin_of(subject: str) -> Any:
    """Returns the pages of the subject's model, None if it has none."""
    if subject == TASK:
        return admin.site._registry.get(CollectionTask)
    for model, model_admin in admin.site._registry.items():
        if subject == (getattr(model_admin, "history_subject", "") or model._meta.model_name):
            return model_admin
    return None


def _row(model: Any, key: str) -> Any:
    if not is_possible(model, key):
        return None
    try:
        return model._default_manager.filter(pk=key).first()
    except (ValueError, ValidationError):
        return None


def _name(subject: str, row: Any) -> str:
    if row is None:
        return ""
    if subject == TASK:
        return short_id(row.pk)
    if subject == audit_log.QUEUED_ORDER:
        return f"#{row.pk}"
    return str(row.get_username() if isinstance(row, AbstractBaseUser) else row)


def _recorded_name(subject: str, key: str) -> str:
    """Returns the name that the newest entry has, "" without one."""
    newest = audit_log.page(Filters(subject=subject, object_id=key), Position(), 1).rows
    return newest[0].name if newest else ""


def _list_name(model_admin: Any) -> Any:
    names = getattr(model_admin, "verbose_names", None)
    title = getattr(model_admin, "list_title", "")
    return title or capfirst(str(names[1] if names else model_admin.opts.verbose_name_plural))
