"""The page that deletes what a source stored: it counts first, asks, deletes, and lists what was deleted."""

import time
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from tasks_app import errors, lifecycle
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import DELETE_DATA
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.deletion.forms import SelectionForm
from tasks_app.admin.tasks import actions, columns
from tasks_app.market import synthetic
from tasks_app.models import DataDeletion
from tasks_app.quotes import deletion
from tasks_app.quotes.deletion import Contents, Selection
from tasks_app.sentences import join_sentences

SECONDS = 5.0  # of deleting in one request; the next one goes on
RECORDS = 20


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("delete-data/", admin.site.admin_view(delete_view), name="delete_data")]


def delete_view(request: HttpRequest) -> HttpResponse:
    """GET shows the form, POST counts what it selects, POST with `confirmed` deletes that."""
    require_permission(request, DELETE_DATA)
    if request.method != "POST":
        return _render(request, SelectionForm(initial=request.GET.dict()))
    form = SelectionForm(request.POST)
    if not form.is_valid():
        return _render(request, form)
    selection = form.selection
    if "confirmed" in request.POST and _delete(request, selection):
        return redirect("admin:delete_data")
    return _render(request, form, deletion.count_contents(selection))


def _delete(request: HttpRequest, selection: Selection) -> bool:
    """Deletes for some seconds, and adds a message. Returns whether all is deleted."""
    until = time.monotonic() + SECONDS
    record: DataDeletion | None = None
    batches = lifecycle.delete_source_data(selection, actions.actor_for(request.user))
    try:
        while time.monotonic() < until and (batch := next(batches, None)):
            record = batch
    except errors.CollectorError as error:
        messages.error(request, str(error))
    if record is None:
        return False
    if record.ended_at:
        messages.success(request, _describe(record))
        return True
    messages.warning(request, join_sentences(_describe(record), _("There is more: continue below.")))
    return False


def _describe(record: DataDeletion) -> str:
    text = _("Deleted of the source %(source)s: bars %(bars)s, series %(series)s.")
    counts = {name: formatting.number(getattr(record, name)) for name in ("bars", "series")}
    return text % {**counts, "source": record.source}


def _render(request: HttpRequest, form: SelectionForm, contents: Contents | None = None) -> HttpResponse:
    title = _("Delete data")
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "form": form,
        "contents": contents,
        "markets": [_describe_market(each) for each in contents.markets] if contents else [],
        "rest": _describe_rest(contents) if contents else [],
        "selected": _describe_selection(form.selection) if contents else "",
        "records": [_describe_record(record) for record in _records()],
    }
    if running := lifecycle.get_running_task():
        context["running_line"] = columns.summary_line(running)
    return TemplateResponse(request, "admin/deletion/delete.html", context)


def _records() -> Any:
    return DataDeletion.objects.order_by("-pk")[:RECORDS]


def _describe_market(each: deletion.MarketContents) -> dict[str, Any]:
    return {
        "market": synthetic.mark(each.market),
        "bars": formatting.number(each.bars),
        "series": formatting.number(each.series),
        "days": formatting.date_range(each.first, each.last),
    }


def _describe_rest(contents: Contents) -> list[tuple[str, str]]:
    counts = [
        (_("corrections"), contents.corrections),
        (_("findings"), contents.findings),
        (_("tables of adjustment factors or corporate actions"), contents.adjustments),
        (_("stock lists"), contents.lists),
        (_("raw answers"), contents.raw_answers),
    ]
    return [(name, formatting.number(count)) for name, count in counts if count]


def _describe_selection(selection: Selection) -> str:
    """Returns source, market and days."""
    days = [day.isoformat() if day else "…" for day in (selection.first, selection.last)]
    return " · ".join(
        [
            selection.source,
            synthetic.mark(selection.market) if selection.market else _("all markets"),
            _("all days") if selection.has_all_days else " – ".join(days),
        ]
    )


def _describe_record(record: DataDeletion) -> dict[str, Any]:
    selection = Selection(record.source, record.market, record.first_day, record.last_day)
    return {
        "at": formatting.timestamp(record.at),
        "by": record.user_name or record.get_channel_display(),
        "what": _describe_selection(selection),
        "bars": formatting.number(record.bars),
        "series": formatting.number(record.series),
        "state": formatting.badge("good", "check_circle", _("done"))
        if record.ended_at
        else formatting.badge("warn", "pause_circle", _("not finished")),
    }
