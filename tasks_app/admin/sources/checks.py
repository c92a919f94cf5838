"""The check of a source on its page: it is asked for there, a worker makes it, and the page follows it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext as _

from tasks_app import errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, VIEW_SOURCES
from tasks_app.admin.common import formatting
from tasks_app.admin.sources.descriptions import capability_title
from tasks_app.lifecycle import source_checks
from tasks_app.models import SourceCheck
from tasks_app.models.quotes import Market
from tasks_app.sources import registry
from tasks_app.throttle import source_list


def check_view(request: HttpRequest, name: str) -> HttpResponse:
    """GET: returns the part of the page that tells how the last check went, for a page that follows it."""
    require_permission(request, VIEW_SOURCES)
    if name not in registry.available(settings.COLLECTOR):
        raise Http404
    return TemplateResponse(request, "admin/sources/check.html", {"check": context_of(name)})


def start(request: HttpRequest, name: str) -> None:
    """Queues a check, and tells the user. It sends requests, as a collection does."""
    require_permission(request, START_TASK)
    market = request.POST.get("market", "")
    if market not in registry.available(settings.COLLECTOR)[name].markets:
        raise Http404
    try:
        source_checks.start(name, market, request.user.get_username(), get_language() or "en")
    except errors.CollectorError as error:
        messages.error(request, str(error))
        return
    messages.success(request, _("The check waits for a worker. This page shows what it finds."))


def form_context(request: HttpRequest, name: str) -> dict[str, Any] | None:
    """Returns what the form says; None for users who may not start a check."""
    if not request.user.has_perm(START_TASK):
        return None
    entry = source_list.describe(name, settings.COLLECTOR)
    return {
        "markets": [(market, Market(market).label) for market in entry.markets],
        "requests": len(entry.capabilities),
    }


def context_of(name: str) -> dict[str, Any] | None:
    """Returns the last check of a source; None if it was never checked."""
    check = SourceCheck.objects.annotate(is_over=source_checks.OVER).filter(pk=name).first()
    if check is None:
        return None
    runs = not check.is_over
    return {
        "source": name,
        "market": Market(check.market).label,
        "rows": [_row(result) for result in check.results],
        "runs": runs,
        "waits": runs and check.began_at is None,
        "verdict": _verdict(check, runs),
        "at": formatting.timestamp(check.ended_at or check.began_at or check.at),
        "user": check.user_name,
    }


def _verdict(check: SourceCheck, runs: bool) -> SafeString:
    """Returns a badge for the whole check. It is good only if the source sent something to all requests."""
    failed = sum(not result["works"] for result in check.results)
    if runs:
        return formatting.badge("warn", "hourglass_empty", _("running"))
    if failed:
        text = _("%(failed)s of %(count)s failed") % {"failed": failed, "count": len(check.results)}
        return formatting.badge("bad", "error", text)
    if check.ended_at is None:
        return formatting.badge("bad", "error", _("interrupted: no worker finished it"))
    if not any(_brought_something(result) for result in check.results):
        return formatting.badge("warn", "help", _("it sent nothing"))
    return formatting.badge("good", "check_circle", _("works"))


def _brought_something(result: dict[str, Any]) -> bool:
    return result["works"] and not (result["is_skipped"] or result["is_empty"])


def _row(result: dict[str, Any]) -> dict[str, Any]:
    state: SafeString | str = formatting.EMPTY
    if not result["works"]:
        state = formatting.badge("bad", "error", _("failed"))
    elif _brought_something(result):
        state = formatting.badge("good", "check_circle", _("works"))
    return {
        "name": capability_title(result["capability"]),
        "state": state,
        "text": result["error"] or result["found"],
        "seconds": "" if result["is_skipped"] else f"{result['seconds']:.1f} s",
    }
