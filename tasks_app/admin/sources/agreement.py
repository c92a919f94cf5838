"""The page of the ledger of agreement: which sources differ, in which fields, and in which months."""

import math
from datetime import date
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import VIEW_SOURCES
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.models import Finding
from tasks_app.models.agreement import ComparedField
from tasks_app.models.quotes import Adjust, FindingKind, short_name
from tasks_app.quotes import source_agreement
from tasks_app.quotes.source_agreement import Agreement, Pair
from tasks_app.quotes.source_comparison import FieldCount

MONTHS = 24  # on a page


def agreement_view(request: HttpRequest) -> HttpResponse:
    """GET shows all pairs of sources (of one source: `of`), or the months of the pair of the query."""
    require_permission(request, VIEW_SOURCES)
    trail = [Breadcrumb(_("Sources"), reverse("admin:sources"))]
    if "other_source" not in request.GET:
        of = request.GET.get("of", "")
        rows = [{"address": _address(row.pair), **_row(row)} for row in source_agreement.totals(of)]
        return _render(request, _("Agreement of sources"), {"rows": rows, "of": of}, trail)
    pair = Pair(*(request.GET.get(name, "") for name in Pair._fields))
    found = source_agreement.months(pair, _before(request), MONTHS + 1)
    if not found:
        raise Http404
    context: dict[str, Any] = {"rows": [_row(row) for row in found[:MONTHS]], "pair": pair}
    if len(found) > MONTHS:
        context["earlier"] = _address(pair, before=found[MONTHS - 1].month)
    trail.append(Breadcrumb(_("Agreement of sources"), _address()))
    return _render(request, f"{pair.source} / {pair.other_source}", context, trail)


def _before(request: HttpRequest) -> date | None:
    text = request.GET.get("before", "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Http404 from None


def _address(pair: Pair | None = None, **query: Any) -> str:
    values = {**(pair._asdict() if pair else {}), **query}
    return reverse("admin:agreement") + (f"?{urlencode(values)}" if values else "")


def _row(agreement: Agreement) -> dict[str, Any]:
    pair, counts = agreement.pair, agreement.counts
    return {
        "source": pair.source,
        "other": pair.other_source,
        "market": short_name(pair.market),
        "adjust": Adjust(pair.adjust).label,
        "month": agreement.month and f"{agreement.month:%Y-%m}",
        "cells": [(field.label, _count(counts.get(field.value))) for field in ComparedField],
    }


def _count(count: FieldCount | None) -> SafeString | str:
    """Returns how many values differ, by how much at most, and how many were compared."""
    if count is None:
        return formatting.EMPTY
    text = formatting.number(count.differing)
    if count.worst:
        text = _("%(count)s (max. %(difference)s)") % {"count": text, "difference": _percent(count.worst)}
    compared = _("of %(count)s") % {"count": formatting.number(count.compared)}
    return formatting.two_lines(text, compared)


def _percent(share: float) -> str:
    """Returns a share as a percentage of two decimals, rounded up."""
    return formatting.percent(math.ceil(round(share * 10_000, 6)) / 100)


def _render(
    request: HttpRequest, title: str, context: dict[str, Any], trail: list[Breadcrumb]
) -> HttpResponse:
    may_list = request.user.has_perm("tasks_app.view_finding")
    has_findings = may_list and Finding.objects.filter(kind=FindingKind.DIFFERS).exists()
    shared = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [*trail, Breadcrumb(title)],
        "fields": [field.label for field in ComparedField],
        "findings": formatting.admin_url("finding", kind__exact=FindingKind.DIFFERS.value)
        if has_findings
        else "",
    }
    return TemplateResponse(request, "admin/sources/agreement.html", {**shared, **context})
