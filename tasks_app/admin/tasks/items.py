"""The items of a task: its stocks with their results."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator
from django.utils.translation import gettext, gettext_lazy as _, ngettext

from tasks_app import reasons
from tasks_app.admin.access.permissions import VIEW_RAW_ANSWERS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import ReadOnlyAdmin, without_fields
from tasks_app.admin.common.columns import NUMERIC, cell, count, timestamp
from tasks_app.admin.common.filters import TASK_PARAMETER, ErrorCodeFilter, TaskFilter, task_from_query
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.raw_answers import call_links
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import attempts, selectors
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.market.codes import codes_of_any_market
from tasks_app.models import CollectionItem
from tasks_app.quotes.findings import MAX_FINDINGS


def _bars(item: CollectionItem) -> str:
    rows = (item.rows_collected, item.rows_corrected, item.rows_skipped, item.rows_refused)
    return " / ".join(map(formatting.number, rows))


def _bars_url(item: CollectionItem) -> str:
    return formatting.admin_url("dailybar", **{"q": item.code, TASK_PARAMETER: item.task_id})


def _error(item: CollectionItem) -> Any:
    if not item.error_code:
        return formatting.EMPTY
    sentence = reasons.translated_reason(item.error_code) or item.error_message
    return formatting.two_lines(Truncator(sentence).chars(80), item.error_code)


def _differing(item: CollectionItem) -> str:
    """Returns how many bars differ, and how many of them are listed if that is not all."""
    text = formatting.number(item.rows_differing)
    if (item.rows_differing or 0) <= MAX_FINDINGS:
        return text
    return gettext("%(count)s, of which the newest %(most)s are listed") % {
        "count": text,
        "most": MAX_FINDINGS,
    }


def _why_not_compared(item: CollectionItem) -> str:
    return reasons.translated_uncompared(item.not_compared) if item.not_compared else formatting.EMPTY


PURPOSES = {
    "": _("bars"),
    "days": _("bars, from days of the whole market"),
    "comparison": _("bars to compare"),
    "factors": _("adjustment factors"),
    "actions": _("corporate actions"),
}
RESULTS = {
    "bars": ("good", "check_circle"),
    "answered": ("good", "check_circle"),
    "empty": ("none", "inbox"),
    "error": ("bad", "error"),
}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    texts = {
        "bars": ngettext("%(count)s bar", "%(count)s bars", attempt.bars or 0)
        % {"count": formatting.number(attempt.bars)},
        "empty": gettext("no bars"),
        "answered": gettext("answered"),
        "error": gettext("failed"),
    }
    sentence = reasons.translated_reason(attempt.error_code) or attempt.error_message
    shared = gettext("for %(count)s stocks at once") % {"count": formatting.number(attempt.stocks)}
    latency = attempt.latency_ms
    return {
        "at": formatting.timestamp(datetime.fromisoformat(attempt.at)),
        "source": attempt.source or formatting.EMPTY,
        "purpose": PURPOSES.get(attempt.purpose, attempt.purpose) if attempt.source else formatting.EMPTY,
        "shared": shared if attempt.stocks > 1 else "",
        "latency": formatting.EMPTY
        if latency is None
        else gettext("%(count)s ms") % {"count": formatting.number(latency)},
        "result": formatting.badge(*RESULTS[attempt.result], texts[attempt.result]),
        "message": Truncator(sentence).chars(200),
        "worker": attempt.worker or formatting.EMPTY,
    }


def _stock(item: CollectionItem, text: Any) -> Any:
    return formatting.link(formatting.stock_url(item.task.market, item.code, adjust=item.task.adjust), text)


@admin.register(CollectionItem)
class ItemAdmin(ReadOnlyAdmin[CollectionItem]):
    """The items of one task at a time, in the task's order, which its index serves."""

    list_display = ["code", "of_task", "status", "tries", "bars", "error", "times", "chart"]
    labelled = ("of_task", "error", "times")  # on a phone
    change_form_template = "admin/tasks_app/item.html"
    list_filter = [TaskFilter, "state", ErrorCodeFilter]
    list_per_page = 100
    list_select_related = ["task"]
    list_defer = (
        "attempt_log",
        *(f"task__{name}" for name in (*selectors.HEAVY_COLUMNS, "error_message")),
    )
    ordering = ["position"]
    search_fields = ["code"]
    search_help_text = _("Stock code")
    fieldsets = [
        (None, {"fields": ["of_task", "stock", "status", "attempts"]}),
        (_("Bars"), {"fields": ["collected", "corrected", "skipped", "refused", "flagged", "stored_bars"]}),
        (_("Answer"), {"fields": ["answered", "raw_answers", "note"]}),
        (_("Comparison"), {"fields": ["compared", "differing", "why_not_compared"]}),
        (_("Failure"), {"fields": ["error_code", "error_message"]}),
        (_("Times"), {"fields": ["began", "ended"]}),
    ]

    of_task = cell(_("task"), lambda item: formatting.task_link(item.task_id))
    stock = cell(_("stock"), lambda item: _stock(item, item.code))
    chart = cell(_("Chart"), lambda item: _stock(item, _("Chart")))
    status = cell(_("state"), lambda item: formatting.status_badge(item.state, item.get_state_display()))
    tries = count(_("attempts"), "attempts")
    bars = cell(_("bars: collected / corrected / stored / refused"), _bars, NUMERIC)
    error = cell(_("error"), _error)
    times = cell(
        _("started and ended"),
        lambda item: formatting.start_and_end(item.started_at, item.finished_at),
    )
    collected = count(_("collected"), "rows_collected")
    corrected = count(_("corrected"), "rows_corrected")
    skipped = count(_("already stored"), "rows_skipped")
    refused = count(_("refused"), "rows_refused")
    flagged = count(_("flagged"), "rows_flagged")
    stored_bars = cell(_("its stored bars"), lambda item: formatting.link(_bars_url(item), _("View")))
    compared = count(_("bars compared"), "rows_compared")
    differing = cell(_("bars that differ"), _differing)
    why_not_compared = cell(_("not compared"), _why_not_compared)
    answered = cell(_("answered by"), lambda item: item.source or formatting.EMPTY)
    raw_answers = cell(_("raw answers"), lambda item: call_links(item.pk))
    began = timestamp(_("started at"), "started_at")
    ended = timestamp(_("ended at"), "finished_at")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leaves out the raw answers for users who may not view them."""
        return without_fields(super().get_fieldsets(request, obj), request, VIEW_RAW_ANSWERS, "raw_answers")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Adds the last attempts, the oldest first."""
        log = attempts.read(context["original"].attempt_log)
        item: CollectionItem = context["original"]
        breadcrumbs = [
            *columns.trail(item.task_id),
            Breadcrumb(_("Items"), formatting.admin_url("collectionitem", **{TASK_PARAMETER: item.task_id})),
            Breadcrumb(item.code),
        ]
        more = {
            "attempts": [_attempt(one) for one in log],
            "most": attempts.MOST,
            "breadcrumbs": breadcrumbs,
        }
        return super().render_change_form(request, {**context, **more}, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        task = task_from_query(request)
        tasks = [Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask"))]
        breadcrumbs = [*(columns.trail(task) if task else tasks), Breadcrumb(_("Items"))]
        return super().changelist_view(request, {"breadcrumbs": breadcrumbs, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CollectionItem], search_term: str
    ) -> tuple[QuerySet[CollectionItem], bool]:
        """Finds the items of this code in any spelling by the unique index."""
        codes = codes_of_any_market(search_term)
        return (queryset.filter(code__in=codes) if search_term.strip() else queryset), False
