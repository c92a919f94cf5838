"""The page of a target: its last sessions, and what the chosen one lacks, which is collected from here."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_TARGETS, START_TASK, VIEW_TARGETS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.targets import cells
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import calendars
from tasks_app.models import Target, TargetSession
from tasks_app.models.targets import TargetState
from tasks_app.targets import contents, deadlines, shortfall
from tasks_app.targets.shortfall import PAGE, Lack, Shortfall

NEWEST = 7  # sessions that are shown at once


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("targets/<int:target_id>/", admin.site.admin_view(target_view), name="target")]


def target_view(request: HttpRequest, target_id: int) -> HttpResponse:
    """GET shows the target; `session` chooses one of its sessions, `list` what is listed of it."""
    require_permission(request, VIEW_TARGETS)
    target = Target.objects.filter(pk=target_id).first() if target_id < 2**63 else None
    if target is None:
        raise Http404
    rows = list(target.sessions.select_related("target").order_by("-session")[: deadlines.SHOWN_SESSIONS])
    chosen = _choose(request, rows)
    described = [{**cells.describe_session(row), "is_chosen": row is chosen} for row in rows]
    trail = [Breadcrumb(_("Targets"), formatting.admin_url("target")), Breadcrumb(target.name)]
    may_change = request.user.has_perm(CHANGE_TARGETS)
    context = {
        **admin.site.each_context(request),
        "title": target.name,
        "breadcrumbs": trail,
        "target": target,
        "scope": cells.scope(target),
        "due": cells.due(target),
        "change_url": formatting.admin_url("target", "change", target.pk) if may_change else "",
        "counts": [(label, sum(row.state == value for row in rows)) for value, label in TargetState.choices],
        "newest": described[:NEWEST],
        "older": described[NEWEST:],
        "zone": MARKET_TIME_ZONES[target.market],
        "calendar_end": calendars.load_calendar(target.market).published.end,
        "chosen": _describe_chosen(request, chosen) if chosen else None,
    }
    return TemplateResponse(request, "admin/targets/target.html", context)


def _choose(request: HttpRequest, rows: list[TargetSession]) -> TargetSession | None:
    """Returns the session of the address, else the newest whose bars are final, else the newest one."""
    wanted = [row for row in rows if row.session.isoformat() == request.GET.get("session")]
    final = [row for row in rows if row.looked_at is not None]
    return next(iter([*wanted, *final, *rows]), None)


def _describe_chosen(request: HttpRequest, row: TargetSession) -> dict[str, Any]:
    """Returns what is stored of a session now, and a page of what it lacks."""
    found = shortfall.read_shortfall(row)
    lists_reasons = request.GET.get("list") == "reasons"
    codes = sorted(found.contents.reasons) if lists_reasons else list(found.contents.missing)
    after = request.GET.get("after", "")
    shown = [code for code in codes if code > after][: PAGE + 1]
    explain = shortfall.explain_reasons if lists_reasons else shortfall.explain_missing
    query = {"session": row.session.isoformat(), **({"list": "reasons"} if lists_reasons else {})}
    sealing = contents.sealing_of(row.target, row.session)
    return {
        **cells.describe_session(row),
        "is_unknown": not found.listed,
        "is_sealed_kind": row.target.is_of_sealed_days,
        "is_sealed": sealing is not None,
        "now": {
            "bars": formatting.number(found.contents.bars),
            "reasons": formatting.number(len(found.contents.reasons)),
            "missing": formatting.number(len(found.contents.missing)),
        },
        "lists_reasons": lists_reasons,
        "lacks": [_describe_lack(found, lack) for lack in explain(found, shown[:PAGE])],
        "first_page": f"?{urlencode(query)}" if after else "",
        "next_page": f"?{urlencode({**query, 'after': shown[PAGE - 1]})}" if len(shown) > PAGE else "",
        "missing_url": f"?{urlencode({'session': query['session']})}",
        "reasons_url": f"?{urlencode({'session': query['session'], 'list': 'reasons'})}",
        "collect_url": _collect_url(request, row, found),
    }


def _describe_lack(found: Shortfall, lack: Lack) -> dict[str, Any]:
    item = lack.item
    return {
        "code": formatting.link(formatting.stock_url(found.target.market, lack.code), lack.code),
        "name": lack.name,
        "why": lack.why,
        "task": formatting.task_link(item.task_id) if item else "",
    }


def _collect_url(request: HttpRequest, row: TargetSession, found: Shortfall) -> str:
    """Returns the start page filled in with what is missing; "" for nothing, and for who may not start."""
    if found.order is None or not request.user.has_perm(START_TASK):
        return ""
    query = {"target": row.target_id, "session": row.session.isoformat()}
    return f"{reverse('admin:start')}?{urlencode(query)}"
