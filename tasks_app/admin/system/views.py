"""The System page: what `manage.py doctor` finds from this web server; versions, machines and settings."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext, pgettext
from django.views.decorators.http import require_safe

from tasks_app import command_lines
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import INSPECT_SYSTEM
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.diagnostics import clocks, report, settings_values, versions
from tasks_app.diagnostics.findings import Finding, Severity
from tasks_app.diagnostics.report import AreaReport, Report
from tasks_app.diagnostics.settings_values import SettingValue
from tasks_app.models import WorkerMachine
from tasks_app.sentences import list_words

TONES = {
    Severity.OK: ("good", "check_circle"),
    Severity.WARNING: ("warn", "warning"),
    Severity.FAULT: ("bad", "error"),
}


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("system/", admin.site.admin_view(system_view), name="system")]


@require_safe
def system_view(request: HttpRequest) -> HttpResponse:
    """GET shows all findings, the worst first. Its queries, some forty, read no bar and no item."""
    require_permission(request, INSPECT_SYSTEM)
    found, title = report.examine(), pgettext("page", "System")
    values = [*settings_values.installation_values(), *settings_values.source_values()]
    problems = [each for each in found.findings if each.severity is not Severity.OK]
    problems.sort(key=lambda finding: -report.ORDER.index(finding.severity))
    context = {
        **admin.site.each_context(request),
        "manage": command_lines.manage(),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "verdict": _verdict(found),
        "problems": [_describe(finding) for finding in problems],
        "areas": [_describe_area(area) for area in found.areas],
        "versions": versions.versions(),
        "machines": [_describe_machine(machine) for machine in clocks.live_machines()],
        "set_values": [_describe_setting(value) for value in values if value.is_set],
        "default_values": [_describe_setting(value) for value in values if not value.is_set],
    }
    return TemplateResponse(request, "admin/system/system.html", context)


def _verdict(found: Report) -> SafeString:
    faults, warnings = found.count(Severity.FAULT), found.count(Severity.WARNING)
    if found.worst is Severity.OK:
        return formatting.badge(*TONES[Severity.OK], _("All is well."))
    counts = [
        ngettext("%(count)s fault", "%(count)s faults", faults) % {"count": formatting.number(faults)},
        ngettext("%(count)s warning", "%(count)s warnings", warnings)
        % {"count": formatting.number(warnings)},
    ]
    return formatting.badge(*TONES[found.worst], list_words(counts, clauses=True))


def _describe_area(area: AreaReport) -> dict[str, Any]:
    """Returns the area with what is as it should be, and how many findings are not."""
    well = [finding.found for finding in area.findings if finding.severity is Severity.OK]
    others = [_describe(finding) for finding in area.findings if finding.severity is not Severity.OK]
    return {"title": area.title, "well": well, "others": others, "is_skipped": area.is_skipped}


def _describe(finding: Finding) -> dict[str, Any]:
    names = {Severity.OK: _("ok"), Severity.WARNING: _("warning"), Severity.FAULT: _("fault")}
    return {
        "code": finding.code,
        "badge": formatting.badge(*TONES[finding.severity], names[finding.severity]),
        "found": finding.found,
        "advice": finding.advice,
        "see": finding.see,
    }


def _describe_machine(machine: WorkerMachine) -> dict[str, Any]:
    return {
        "host": machine.host,
        "pid": machine.pid,
        "workers": machine.workers,
        "version": machine.versions.get("collector", ""),
        "code": machine.versions.get(versions.CODE, ""),
        "clock": _offset(machine.clock_offset),
        "seen": formatting.timestamp(machine.seen_at),
    }


def _offset(seconds: float) -> str:
    """Returns by how much a clock is ahead, "+1.5 s", or behind, "-1.5 s"; "0.0 s" for neither."""
    rounded = round(seconds, 1)
    return _("%(n)s s") % {"n": f"{rounded:+,.1f}" if rounded else "0.0"}


def _describe_setting(value: SettingValue) -> dict[str, Any]:
    badges = {
        "environment": ("info", "terminal", _("from the environment")),
        "stored": ("good", "lock", _("stored on its page")),
        "missing": ("plain", "remove", _("not set")),
        "default": ("plain", "tune", _("default")),
    }
    return {
        "variable": value.variable,
        "value": value.value or formatting.EMPTY,
        "origin": formatting.badge(*badges[value.origin]),
    }
