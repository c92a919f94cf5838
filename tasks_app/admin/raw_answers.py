"""The raw answers that are kept: the list of calls, and of each call what was asked and what came."""

import zlib
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from tasks_app import reasons
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import VIEW_RAW_ANSWERS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.admin.common.columns import cell, timestamp
from tasks_app.admin.common.filters import SourceFilter
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.market import synthetic
from tasks_app.market.codes import codes_of_any_market
from tasks_app.models import RawAnswer, RecordedCall, RecordedStock
from tasks_app.quotes import raw_answers

SHOWN_ANSWERS = 20  # of a call
SHOWN_STOCKS = 20  # of a call
SHOWN_BYTES = 4000  # of a content
CHUNK = 1 << 16


def call_link(call: RecordedCall) -> SafeString:
    """Returns a link to the page of a call."""
    return formatting.link(formatting.admin_url("recordedcall", "change", call.pk), call.get_kind_display())


def call_links(item_id: int) -> SafeString | str:
    """Returns links to the calls that were made for an item."""
    calls = raw_answers.calls_of_item(item_id)[:SHOWN_ANSWERS]
    return format_html_join(" · ", "{}", ((call_link(call),) for call in calls)) or formatting.EMPTY


def _days(call: RecordedCall) -> Any:
    if call.first_day is None or call.last_day is None:
        return formatting.EMPTY
    return formatting.date_range(call.first_day, call.last_day)


def _result(call: RecordedCall) -> Any:
    if not call.error_code:
        return formatting.badge("good", "check_circle", _("answered"))
    return formatting.two_lines(
        formatting.badge("bad", "error", _("taken for a failure")), reasons.meaning(call.error_code)
    )


def _stocks(call: RecordedCall) -> Any:
    """Returns links to the first stocks of the call."""
    codes = list(call.stocks.order_by("pk").values_list("symbol", flat=True)[: SHOWN_STOCKS + 1])
    links = [
        (formatting.link(formatting.stock_url(call.market, code, adjust=call.adjust), code),)
        for code in codes[:SHOWN_STOCKS]
    ]
    more = [("…",)] if len(codes) > SHOWN_STOCKS else []
    return format_html_join(" ", "{}", [*links, *more]) or formatting.EMPTY


def _first_stock(call: Any) -> Any:
    """Returns the call's stock, in the list; of several the first, followed by "…"."""
    if not call.first_stock:
        return formatting.EMPTY
    text = f"{call.first_stock} …" if call.second_stock else call.first_stock
    return formatting.link(formatting.stock_url(call.market, call.first_stock, adjust=call.adjust), text)


@admin.register(RecordedCall)
class RecordedCallAdmin(ReadOnlyAdmin[RecordedCall]):
    """The newest calls first; filtered by source, or by code, each with an index."""

    explanation = _("What the sources in COLLECTOR_RAW_ANSWERS send is kept here.")
    list_display = ["at", "source", "stock", "asked", "of_market", "days", "result"]
    labelled = ("source", "asked", "days")  # on a phone
    list_filter = [SourceFilter]
    list_per_page = 100
    ordering = ["-id"]
    search_fields = ["source"]
    search_help_text = _("Exact code")
    change_form_template = "admin/tasks_app/raw_answer.html"
    fieldsets = [
        (_("Request"), {"fields": ["source", "asked", "of_market", "days", "stocks_asked"]}),
        (_("Answer"), {"fields": ["asked_at_time", "at", "result"]}),
    ]

    asked = cell(_("asked for"), lambda call: call.get_kind_display())
    of_market = cell(
        _("market"),
        lambda call: formatting.two_lines(synthetic.mark(call.market), call.get_adjust_display()),
    )
    days = cell(_("days"), _days)
    stock = cell(_("stock"), _first_stock)
    stocks_asked = cell(_("stocks"), _stocks)
    result = cell(_("result"), _result)
    asked_at_time = timestamp(_("asked at"), "asked_at")
    at = timestamp(_("recorded at"), "recorded_at")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        name = "tasks_app_recordedcall_download"
        own = [path("<int:call_id>/<int:position>/download/", wrap(download_view), name=name)]
        return [*own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RecordedCall]:
        """Adds the first two stocks of each call: it may have thousands."""
        stocks = RecordedStock.objects.filter(call_id=OuterRef("pk")).order_by("pk").values("symbol")
        return (
            super()
            .get_queryset(request)
            .annotate(first_stock=Subquery(stocks[:1]), second_stock=Subquery(stocks[1:2]))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RecordedCall], search_term: str
    ) -> tuple[QuerySet[RecordedCall], bool]:
        """Finds the calls for exactly this code, in any spelling."""
        if not search_term.strip():
            return queryset, False
        stocks = RecordedStock.objects.filter(symbol__in=codes_of_any_market(search_term))
        return queryset.filter(pk__in=stocks.values("call_id")), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {"responses": _responses(object_id), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        call: RecordedCall = context["original"]
        breadcrumbs = [
            Breadcrumb(capfirst(self.opts.verbose_name_plural), formatting.admin_url("recordedcall")),
            Breadcrumb(f"{call.source} #{call.pk}"),
        ]
        return super().render_change_form(request, {**context, "breadcrumbs": breadcrumbs}, *args, **kwargs)


def _responses(call_id: str) -> list[dict[str, Any]]:
    """Returns the first responses of a call, each with the beginning of its content as text."""
    if not call_id.isdigit():
        return []
    answers = RawAnswer.objects.filter(call_id=int(call_id)).select_related("content").order_by("position")
    return [_describe(answer) for answer in answers[:SHOWN_ANSWERS]]


def _describe(answer: RawAnswer) -> dict[str, Any]:
    data = zlib.decompressobj().decompress(bytes(answer.content.data), SHOWN_BYTES)
    place = [answer.call_id, answer.position]
    return {
        "asked": answer.asked,
        "status": answer.about.get("status", ""),
        "type": answer.about.get("content_type", ""),
        "size": filesizeformat(answer.content.size),
        "stored_size": filesizeformat(answer.content.stored_size),
        "sha256": answer.content_id,
        "text": data.decode("utf-8", "replace").replace("\0", "�"),
        "is_cut": answer.content.size > len(data),
        "download": reverse("admin:tasks_app_recordedcall_download", args=place),
        "id": f"ra-{answer.position}",
    }


def download_view(request: HttpRequest, call_id: int, position: int) -> StreamingHttpResponse:
    """Sends a content as it came. As bytes, so that no browser takes a vendor's page for one of ours."""
    require_permission(request, VIEW_RAW_ANSWERS)
    rows = RawAnswer.objects.filter(call_id=call_id, position=position).select_related("content")
    if (answer := rows.first()) is None:
        raise Http404
    response = StreamingHttpResponse(
        _chunks(bytes(answer.content.data)), content_type="application/octet-stream"
    )
    response["Content-Disposition"] = f'attachment; filename="raw-answer-{call_id}-{position}"'
    response["Content-Length"] = str(answer.content.size)
    return response


def _chunks(data: bytes) -> Iterator[bytes]:
    """Yields the content in pieces of bounded size."""
    unpacking = zlib.decompressobj()
    while data:
        yield unpacking.decompress(data, CHUNK)
        data = unpacking.unconsumed_tail
    yield unpacking.flush()
