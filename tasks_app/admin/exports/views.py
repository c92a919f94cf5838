"""The page of exports: starts and cancels them, and shows how far they are and how they ended."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import command_lines
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import EXPORT_DATA, VIEW_EXPORTS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.exports.forms import ExportForm
from tasks_app.admin.tasks import actions
from tasks_app.errors import CollectorError
from tasks_app.exports import errors, jobs, run
from tasks_app.http.conditional import conditional_response, etag_for
from tasks_app.lifecycle import durations
from tasks_app.models import Export
from tasks_app.models.quotes import Adjust
from tasks_app.models.transfers import ExportState

SHOWN = 20


def urls() -> list[URLPattern]:
    """Returns the paths of the page, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("exports/", wrap(exports_view), name="exports"),
        path("exports/rows/", wrap(rows_view), name="exports_rows"),
    ]


def exports_view(request: HttpRequest) -> HttpResponse:
    """GET shows the page. POST starts an export, or with `cancel` cancels the one of this id."""
    require_permission(request, VIEW_EXPORTS)
    if request.method != "POST":
        return _render(request, ExportForm())
    require_permission(request, EXPORT_DATA)
    if (export_id := request.POST.get("cancel", "")).isdecimal():
        _cancel(request, int(export_id))
        return redirect("admin:exports")
    form = ExportForm(request.POST)
    if form.is_valid():
        try:
            jobs.start(form.folder, form.selection, actions.actor_for(request.user))
        except CollectorError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("Started. The workers export as soon as one is free."))
            return redirect("admin:exports")
    return _render(request, form)


def rows_view(request: HttpRequest) -> HttpResponse:
    """Returns the list as HTML in JSON, or 304 while the browser shows this version."""
    require_permission(request, VIEW_EXPORTS)
    html = _rows(request)
    return conditional_response(request, etag_for(html), lambda: JsonResponse({"html": html}))


def _cancel(request: HttpRequest, export_id: int) -> None:
    try:
        jobs.cancel(export_id, actions.actor_for(request.user))
    except CollectorError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Cancelled. The files of the last complete export stay as they are."))


def _render(request: HttpRequest, form: ExportForm) -> HttpResponse:
    title, html = _("Exports"), _rows(request)
    context = {
        **admin.site.each_context(request),
        "manage": command_lines.manage(),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "form": form,
        "root": settings.COLLECTOR.export_dir,
        "may_start": request.user.has_perm(EXPORT_DATA),
        "rows_html": html,
        "etag": etag_for(html),
    }
    return TemplateResponse(request, "admin/exports/exports.html", context)


def _rows(request: HttpRequest) -> SafeString:
    newest = Export.objects.order_by("-pk")[:SHOWN]
    context = {
        "rows": [_describe(export) for export in newest],
        "may_start": request.user.has_perm(EXPORT_DATA),
    }
    return render_to_string("admin/exports/rows.html", context, request)


def _describe(export: Export) -> dict[str, Any]:
    is_running = export.state == ExportState.RUNNING
    return {
        "id": export.pk,
        "folder": _short(export.folder),
        "what": _what(export),
        "at": formatting.timestamp(export.at),
        "by": export.user_name or export.get_channel_display(),
        "state": _badge(export),
        "is_running": is_running,
        "percent": int(100 * export.done / export.total) if export.total else 0,
        "progress": _progress(export) if is_running else "",
        "result": _result(export),
        "warning": _("Parts are of different moments: data were stored meanwhile.")
        if export.is_consistent is False
        else "",
    }


def _badge(export: Export) -> SafeString:
    if export.state == ExportState.COMPLETED:
        return formatting.badge("good", "check_circle", export.get_state_display())
    return formatting.status_badge(export.state, export.get_state_display())


def _short(folder: str) -> str:
    """Returns the folder below COLLECTOR_EXPORT_DIR, or its whole path elsewhere."""
    root = settings.COLLECTOR.export_dir
    return Path(folder).name if root and Path(folder).parent == Path(root) else folder


def _what(export: Export) -> str:
    selection = export.selection
    parts = [export.get_layout_display(), selection["market"] or _("all markets")]
    if selection["adjust"] is not None:
        parts.append(str(Adjust(selection["adjust"]).label))
    if selection["codes"]:
        count = len(selection["codes"])
        parts.append(
            ngettext("%(count)s code", "%(count)s codes", count) % {"count": formatting.number(count)}
        )
    if selection["first"] or selection["last"]:
        parts.append(f"{selection['first'] or '…'} – {selection['last'] or '…'}")
    return " · ".join(parts)


def _progress(export: Export) -> str:
    if not export.phase:
        return _("waits for a worker")
    if export.phase == run.SCANNING:
        return _("looking for changes")
    if export.phase == run.PUBLISHING:
        return _("putting the files in place")
    counts = {"done": export.done, "total": export.total, "rows": formatting.number(export.rows)}
    return _("%(done)d/%(total)d parts  %(rows)s rows") % counts


def _result(export: Export) -> str:
    if export.state == ExportState.FAILED:
        return errors.describe(export.error)
    if export.state != ExportState.COMPLETED or export.ended_at is None:
        return ""
    text = _("rows: %(rows)s; parts: %(parts)s, of which written anew: %(written)s; in %(duration)s")
    counts = {name: formatting.number(getattr(export, name)) for name in ("rows", "parts", "written")}
    return text % {**counts, "duration": durations.format_duration(export.ended_at - export.at)}
