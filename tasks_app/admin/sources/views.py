"""The pages of the sources: what each one has, why some can't be used, and its settings."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_noop
from django.views.decorators.debug import sensitive_post_parameters

from tasks_app import command_lines, errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_SOURCES, VIEW_RAW_ANSWERS, VIEW_SOURCES
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.paginator import CappedPaginator
from tasks_app.admin.sources import agreement, checks, descriptions, history
from tasks_app.lifecycle import audit, source_settings
from tasks_app.lifecycle.source_settings import SettingStatus
from tasks_app.models import RecordedCall
from tasks_app.models.audit import AuditVerb
from tasks_app.models.quotes import Adjust, short_name
from tasks_app.quotes import raw_answers
from tasks_app.sentences import list_words
from tasks_app.sources import registry
from tasks_app.throttle import source_list
from tasks_app.throttle.source_list import SourceEntry


def urls() -> list[URLPattern]:
    """Returns the paths of the pages, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("agreement/", wrap(agreement.agreement_view), name="agreement"),
        path("sources/", wrap(sources_view), name="sources"),
        path("sources/<str:name>/", wrap(source_view), name="source"),
        path("sources/<str:name>/check/", wrap(checks.check_view), name="source_check"),
    ]


def sources_view(request: HttpRequest) -> HttpResponse:
    """GET shows all sources, those included that can't be used here."""
    require_permission(request, VIEW_SOURCES)
    usable = registry.available(settings.COLLECTOR)
    rows = [
        {
            **_describe(entry),
            "link": reverse("admin:source", args=[entry.name]) if entry.name in usable else "",
        }
        for entry in source_list.all_sources(settings.COLLECTOR)
    ]
    context = {"rows": rows, "limits_are_off": any(row["limits_are_off"] for row in rows)}
    return _render(request, "sources", _("Sources"), context)


@sensitive_post_parameters("value")
def source_view(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows a source, its last days and its settings.

    POST stores or removes one of these, or has the source checked (`action`).
    """
    require_permission(request, VIEW_SOURCES)
    if name not in registry.available(settings.COLLECTOR):
        raise Http404
    if request.method == "POST" and request.POST.get("action") == "check":
        checks.start(request, name)
        return redirect("admin:source", name)
    if request.method == "POST":
        require_permission(request, CHANGE_SOURCES)
        _change(request, name)
        return redirect("admin:source", name)
    context = {
        "source": _describe(source_list.describe(name, settings.COLLECTOR)),
        "rows": [_setting_row(each) for each in source_settings.statuses(name)],
        "may_change": request.user.has_perm(CHANGE_SOURCES),
        **history.context_of(name),
        "check": checks.context_of(name),
        "check_form": checks.form_context(request, name),
        "raw": _describe_raw_answers(name) if request.user.has_perm(VIEW_RAW_ANSWERS) else None,
    }
    return _render(request, "source", name, context, [Breadcrumb(_("Sources"), reverse("admin:sources"))])


def _describe_raw_answers(name: str) -> dict[str, Any]:
    """Returns whether the source's raw answers are kept, and how many there are, counted up to a limit."""
    conf = settings.COLLECTOR
    calls = RecordedCall.objects.filter(source=name)
    counted = CappedPaginator(calls.order_by("pk"), 1)
    return {
        "is_kept": conf.keeps_raw_answers(name),
        "calls": counted.count_text + ("+" if counted.capped else ""),
        "has_calls": bool(counted.count),
        "since": formatting.timestamp(calls.order_by("pk").values_list("recorded_at", flat=True).first()),
        "url": formatting.admin_url("recordedcall", source=name),
        "total": filesizeformat(raw_answers.kept_bytes()),
        "megabytes": formatting.number(conf.raw_answers_mb),
        "days": formatting.number(conf.raw_answers_days),
    }


def _change(request: HttpRequest, source: str) -> None:
    """Stores or removes a value, and notes who did; the log never has the value itself."""
    name, action = request.POST.get("setting", ""), request.POST.get("action")
    try:
        if action == "store":
            user = request.user.get_username()
            source_settings.store(source, name, request.POST.get("value", ""), user)
            _log(request, source, name, AuditVerb.CHANGED, gettext_noop("Stored %(setting)s."))
            messages.success(request, _("Stored. Workers use it within seconds."))
        elif action == "remove" and source_settings.remove(source, name):
            _log(request, source, name, AuditVerb.DELETED, gettext_noop("Removed %(setting)s."))
            messages.success(request, _("Removed. The default counts again."))
    except errors.CollectorError as error:
        messages.error(request, str(error))
    except KeyError:
        raise Http404 from None


def _log(request: HttpRequest, source: str, name: str, verb: AuditVerb, message: str) -> None:
    detail = audit.sentence(message, setting=name)
    audit.record_request(
        request, verb, "sourcesetting", object_id=f"{source}/{name}", name=f"{source} {name}", detail=detail
    )


def _describe(entry: SourceEntry) -> dict[str, Any]:
    """Returns a source as both pages show it."""
    return {
        "name": entry.name,
        "markets": list_words(map(short_name, entry.markets)),
        "adjusts": list_words(Adjust(adjust).label for adjust in entry.adjusts),
        "capabilities": descriptions.capability_names(entry),
        "limits": descriptions.limits_in_force(entry) if entry.markets else "",
        "limits_are_off": bool(entry.markets) and descriptions.are_limits_off(entry.name),
        "ready_at": entry.ready_at,
        "first_day": entry.first_day and entry.first_day.isoformat(),
        "status": formatting.badge("bad", "error", _("can't be used"))
        if entry.problem
        else formatting.badge("good", "check_circle", _("ready")),
        "problem": entry.problem,
    }


def _setting_row(status: SettingStatus) -> dict[str, Any]:
    return {
        "name": status.setting.name,
        "title": descriptions.setting_title(status.setting.name),
        "help": _(status.setting.help) if status.setting.help else "",
        "variable": status.variable,
        "shown": _grouped(status.shown),
        "origin": _origin(status),
        "is_secret": status.setting.secret,
        "is_stored": status.is_stored,
        "is_fixed": status.origin == "environment",
        "changed_by": status.changed_by,
        "changed_at": formatting.timestamp(status.changed_at, seconds=False),
        "problem": status.problem,
    }


def _grouped(text: str) -> str:
    """Returns a whole number with grouped thousands, anything else as it is."""
    return formatting.number(int(text)) if text.isdecimal() and not text.startswith("0") else text


def _origin(status: SettingStatus) -> SafeString:
    """Returns a badge that says where the value in force comes from."""
    if status.origin == "environment":
        return formatting.badge("info", "terminal", _("from the environment"))
    if status.origin == "stored":
        return formatting.badge("good", "lock", _("stored here"))
    if status.origin == "missing":
        return formatting.badge("bad", "error", _("not set"))
    if not status.shown:
        return formatting.badge("plain", "tune", _("not set"))
    return formatting.badge("plain", "tune", _("default"))


def _render(
    request: HttpRequest,
    page: str,
    title: str,
    context: dict[str, Any],
    trail: list[Breadcrumb] | None = None,
) -> HttpResponse:
    shared = {**admin.site.each_context(request), "title": title, "manage": command_lines.manage()}
    breadcrumbs = [*(trail or []), Breadcrumb(title)]
    return TemplateResponse(
        request, f"admin/sources/{page}.html", {**shared, "breadcrumbs": breadcrumbs, **context}
    )
