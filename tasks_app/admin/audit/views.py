"""The page *Audit*: who did what, when and from where, over everything; and the same as a file."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from tasks_app import reasons
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import EXPORT_AUDIT, VIEW_AUDIT
from tasks_app.admin.audit import objects
from tasks_app.admin.audit.forms import FilterForm
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.paginator import page_links
from tasks_app.admin.tasks import events
from tasks_app.db import keyset
from tasks_app.lifecycle import audit, audit_log
from tasks_app.lifecycle.audit_log import QUEUED_ORDER, TASK, Entry, Filters
from tasks_app.models.audit import AuditVerb
from tasks_app.models.events import EventKind
from tasks_app.models.queued_orders import QueueEventKind
from tasks_app.quotes.csv_export import stream_response

SIZE = 50
SHOWN_CHARACTERS = 300
CSV_COLUMNS = ("at", "user_name", "channel", "address", "subject", "verb", "object_id", "name", "detail")
STYLES: dict[str, tuple[str, str]] = {
    **{kind.value: style for kind, style in events.EVENT_STYLES.items()},
    QueueEventKind.QUEUED: ("info", "schedule"),
    QueueEventKind.MOVED: ("info", "swap_vert"),
    QueueEventKind.WITHDRAWN: ("plain", "block"),
    QueueEventKind.REFUSED: ("bad", "error"),
    AuditVerb.CREATED: ("good", "add"),
    AuditVerb.CHANGED: ("info", "edit"),
    AuditVerb.DELETED: ("plain", "delete"),
    AuditVerb.SIGNED_IN: ("good", "login"),
    AuditVerb.SIGN_IN_FAILED: ("bad", "warning"),
    AuditVerb.LOCKED_OUT: ("bad", "lock"),
    AuditVerb.SIGNED_OUT: ("plain", "logout"),
    AuditVerb.ENDED: ("plain", "logout"),
}


def urls() -> list[URLPattern]:
    """Returns the paths of the page, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("audit/", wrap(audit_view), name="audit"),
        path("audit/csv/", wrap(csv_view), name="audit_csv"),
    ]


def audit_view(request: HttpRequest) -> HttpResponse:
    """Shows a page of the record. An invalid position leads to the first page, invalid filters show why."""
    require_permission(request, VIEW_AUDIT)
    form = FilterForm(request.GET)
    is_valid, query = (
        form.is_valid(),
        {name: request.GET[name] for name in form.fields if name in request.GET},
    )
    try:
        position = audit_log.parse_position(request.GET.get(keyset.AFTER), request.GET.get(keyset.BEFORE))
    except ValidationError:
        return redirect(_address(query))
    page = audit_log.page(form.filters, position, SIZE) if is_valid else None
    context = {
        **admin.site.each_context(request),
        "title": _("Audit"),
        "breadcrumbs": [Breadcrumb(_("Audit"))],
        **(_about_object(request, form.filters, query) if is_valid and form.filters.object_id else {}),
        "form": form,
        "rows": [describe(entry) for entry in page.rows] if page else [],
        "links": page_links(page, lambda **place: _address({**query, **place}))
        if page and (page.after or not page.is_first)
        else [],
        "is_filtered": any(query.values()),
        "csv_url": f"{reverse('admin:audit_csv')}?{urlencode(query)}"
        if is_valid and request.user.has_perm(EXPORT_AUDIT)
        else "",
    }
    return TemplateResponse(request, "admin/audit/audit.html", context)


def _about_object(request: HttpRequest, wanted: Filters, query: dict[str, Any]) -> dict[str, Any]:
    """Returns the title, the trail and the filter of a page about one object, and why it may be empty."""
    rest = {name: value for name, value in query.items() if name != "object"}
    if not wanted.subject:
        return {"chip": wanted.object_id, "without_chip": _address(rest)}
    about = objects.find(request, wanted.subject, wanted.object_id)
    named = {"kind": about.kind, "name": about.name}
    title = _("History of %(kind)s “%(name)s”") % named
    is_all = not any(value for name, value in rest.items() if name != "subject")
    trail = about.list_crumb or Breadcrumb(_("Audit"), reverse("admin:audit")), Breadcrumb(title)
    nothing = _("No change of this %(kind)s has been recorded.") % {"kind": about.kind}
    return {
        "title": title,
        "breadcrumbs": trail,
        "chip": capfirst(_("%(kind)s “%(name)s”") % named),
        "without_chip": _address(rest),
        "about": about,
        "nothing": nothing if is_all else "",
    }


def csv_view(request: HttpRequest) -> HttpResponseBase:
    """Returns all that the filters want as a file, in constant memory."""
    require_permission(request, VIEW_AUDIT)
    require_permission(request, EXPORT_AUDIT)
    form = FilterForm(request.GET)
    if not form.is_valid():
        return redirect(_address(request.GET.dict()))
    name = f"audit-{timezone.now():%Y%m%dT%H%M%SZ}.csv"
    return stream_response(CSV_COLUMNS, _csv_rows(form.filters), name)


def describe(entry: Entry) -> dict[str, Any]:
    """Returns an entry for a page."""
    tone, icon = STYLES.get(entry.verb, ("plain", "help"))
    return {
        "at": formatting.timestamp(entry.at),
        "user": events.who_did(entry.user_name, entry.channel, entry.detail),
        "channel": events.channel_name(entry.user_name, entry.channel, entry.detail),
        "address": entry.address,
        "what": audit_log.subject_label(entry.subject),
        "name": _name(entry),
        "verb": formatting.badge(tone, icon, audit_log.VERBS.get(entry.verb, entry.verb)),
        "params": _params(entry),
    }


def _name(entry: Entry) -> Any:
    """Returns the name of the object; of a task and of a queued order with a link to its page."""
    if entry.subject == TASK:
        return formatting.task_link(UUID(entry.object_id))
    if entry.subject == QUEUED_ORDER:
        return formatting.link(formatting.admin_url("queuedorder", "change", entry.object_id), entry.name)
    return entry.name


def _params(entry: Entry) -> list[tuple[str, Any]]:
    """Returns (name, value) of what is known beyond the verb, each value bounded."""
    if isinstance(entry.detail, dict):
        is_warning = entry.subject == TASK and entry.verb == EventKind.WARNED
        warning = reasons.translated_warning(entry.detail) if is_warning else ""
        pairs = [("", warning)] if warning else events.named_parameters(entry.detail)
        return [(name, _shorten(value) if isinstance(value, str) else value) for name, value in pairs]
    text = audit.translated(entry.detail)
    return [("", _shorten(text))] if text else []


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _csv_rows(wanted: Filters) -> Iterator[tuple[Any, ...]]:
    for entry in audit_log.entries(wanted):
        if isinstance(entry.detail, str):
            detail = audit.translated(entry.detail)
        else:
            detail = json.dumps(entry.detail, ensure_ascii=False, default=str)
        yield tuple(detail if name == "detail" else getattr(entry, name) for name in CSV_COLUMNS)


def _address(query: dict[str, Any]) -> str:
    filled = {name: value for name, value in query.items() if value}
    return f"{reverse('admin:audit')}?{urlencode(filled)}" if filled else reverse("admin:audit")
