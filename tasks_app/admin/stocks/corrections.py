"""The lists of corrections and of findings, the newest first."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator, capfirst
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.admin.common.columns import LONG, cell, timestamp
from tasks_app.admin.common.filters import ItemTaskFilter, task_from_query
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.stocks import data_quality
from tasks_app.admin.stocks.bars import code_cell, filter_by_code, stock_link
from tasks_app.admin.tasks import columns
from tasks_app.models import Correction, Finding


def _task(row: Any) -> Any:
    if row.item_id is None:
        return formatting.EMPTY
    return formatting.task_link(row.item.task_id) if row.item else formatting.deleted_task()


def _why(row: Finding) -> Any:
    return formatting.two_lines(Truncator(data_quality.finding_sentence(row)).chars(200), row.code)


def _source(row: Correction) -> Any:
    """Returns the source; of a replay, that the source itself has changed nothing."""
    return formatting.two_lines(row.source, _("derived again")) if row.replay_id else row.source


def _replay(row: Correction) -> Any:
    """Returns who had the bar derived again from its raw answer, and when."""
    if row.replay_id is None or row.replay is None:
        return formatting.EMPTY
    by = row.replay.user_name or row.replay.get_channel_display()
    return formatting.two_lines(by, formatting.timestamp(row.replay.at))


class _DataQualityAdmin(ReadOnlyAdmin[Any]):
    ordering = ["-id"]
    list_per_page = 100
    search_fields = ["symbol"]
    search_help_text = _("Exact code")

    of_stock = cell(_("code"), code_cell, "sc-key")
    session = cell(_("day"), lambda row: row.day and formatting.nowrap(row.day.isoformat()))
    task = cell(_("task"), _task)
    chart = cell(_("Chart"), lambda row: stock_link(row, _("Chart")))
    stock = cell(_("stock"), lambda row: stock_link(row, row.symbol))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Joins the items that still exist: of a deleted item the row has only the id."""
        return super().get_queryset(request).select_related("item")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Keeps the way back to the task whose rows are listed."""
        context = dict(extra_context or {})
        if task := task_from_query(request):
            title = capfirst(self.opts.verbose_name_plural)
            context["breadcrumbs"] = [*columns.trail(task), Breadcrumb(title)]
        return super().changelist_view(request, context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return filter_by_code(queryset, search_term), False


@admin.register(Correction)
class CorrectionAdmin(_DataQualityAdmin):
    """Ordered by id, the newest first; filtered by code with an index."""

    explanation = _("When a source later has other values for a stored bar, the change is recorded here.")
    list_display = ["of_stock", "session", "what", "origin", "at", "task", "chart"]
    labelled = ("session", "origin", "task")  # on a phone
    list_filter = [ItemTaskFilter]
    fieldsets = [
        (None, {"fields": ["stock", "market", "adjust", "session", "what", "bars"]}),
        (_("Origin"), {"fields": ["origin", "previous", "replayed", "at", "task"]}),
    ]

    what = cell(_("before and after"), data_quality.describe_correction, LONG)
    origin = cell(_("source"), _source)
    replayed = cell(_("replay"), _replay)
    previous = cell(_("source before"), lambda row: row.previous_source or _("not recorded"))
    at = timestamp(_("corrected at"), "corrected_at")


@admin.register(Finding)
class FindingAdmin(_DataQualityAdmin):
    """Ordered by id, the newest first; filtered by kind, or by code with an index."""

    explanation = _("Bars that a check refused or flagged, or on which two sources differ, are listed here.")
    list_display = ["of_stock", "session", "state", "why", "values_sent", "at", "task", "chart"]
    labelled = ("session", "task")  # on a phone
    list_filter = ["kind", ItemTaskFilter]
    fieldsets = [
        (None, {"fields": ["stock", "market", "adjust", "session", "state", "why", "values_sent"]}),
        (_("Origin"), {"fields": ["found_by", "other", "at", "task"]}),
    ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Titles the page by the stock, the day and the word of the kind."""
        row: Finding = context["original"]
        parts = (row.symbol, row.day and row.day.isoformat(), row.get_kind_display())
        title = " · ".join(str(part) for part in parts if part)
        listed = Breadcrumb(self._list_name(), formatting.admin_url("finding"))
        context |= {"title": title, "breadcrumbs": [listed, Breadcrumb(title)]}
        return super().render_change_form(request, context, *args, **kwargs)

    state = cell(_("state"), data_quality.finding_badge)
    why = cell(_("reason"), _why, LONG)
    values_sent = cell(_("values of the bar"), data_quality.describe_values)
    other = cell(_("compared with"), lambda row: row.other_source or formatting.EMPTY)
    found_by = cell(_("source"), lambda row: row.source or _("not recorded"))
    at = timestamp(_("found at"), "found_at")
