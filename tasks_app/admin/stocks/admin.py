"""Stocks: their list, the page of one with its chart, its bars as JSON and as a file."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import KeysetChangeList, ReadOnlyAdmin, Sorting
from tasks_app.admin.common.columns import NUMERIC, TIME, cell
from tasks_app.admin.common.filters import ListingFilter, StoredFilter
from tasks_app.admin.stocks import chart_data, detail
from tasks_app.conf import SYNTHETIC_MARKET
from tasks_app.market import codes
from tasks_app.models import Stock
from tasks_app.quotes import csv_export, summary

BARS = "tasks_app.view_dailybar"


class StockChangeList(KeysetChangeList):
    """Adds a `summary` of the stored bars to each row.

    Made-up stocks are listed where their market is named, or where there are no others.
    """

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        stocks = super().get_queryset(request, *args, **kwargs)
        real = stocks.exclude(market=SYNTHETIC_MARKET)
        is_named = any(name.startswith("market") for name in request.GET)
        return stocks if is_named or not Stock.objects.exclude(market=SYNTHETIC_MARKET).exists() else real

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        summaries = summary.summarize(self.result_list)
        for stock in self.result_list:
            stock.summary = summaries[stock.pk]


def _days(stock: Any) -> Any:
    first, last = stock.summary.first, stock.summary.last
    return formatting.date_range(first, last) if first and last else formatting.EMPTY


@admin.register(Stock)
class StockAdmin(ReadOnlyAdmin[Stock]):
    """A market has some thousands of stocks, so a search or a filter by stored bars may read them all.

    Stocks without bars have the fewest; sorted by their last day they are the last in either direction.
    """

    list_display = ["code", "name", "market", "kind", "exchange", "state", "stored", "days", "full_history"]
    labelled = ("kind", "exchange", "days")  # on a phone
    list_filter = ["market", "kind", StoredFilter, ListingFilter, "full_collection_completed"]
    list_per_page = 100
    ordering = ["market", "code"]
    sortings = {
        "code": Sorting(["market", "code"], _("By market and code")),
        "stored": Sorting(["bars", "market", "code"], _("Fewest bars first"), _("Most bars first")),
        "days": Sorting(
            ["last_day", "market", "code"], _("Earliest last day first"), _("Latest last day first")
        ),
    }
    search_fields = ["code__istartswith", "name__icontains"]
    search_help_text = _("Code or name")
    change_form_template = "admin/tasks_app/stock.html"
    fieldsets = [(None, {"fields": ["code"]})]

    full_history = cell(_("full history"), detail.full_history, TIME)
    state = cell(_("state"), lambda stock: detail.state_cell(stock, stock.summary))
    stored = cell(_("bars"), lambda stock: formatting.number(stock.summary.bars), NUMERIC)
    days = cell(_("first and last day"), _days)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return StockChangeList

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("of/<str:market>/<str:code>/", wrap(self.by_code_view), name="tasks_app_stock_of"),
            path(
                "<int:stock_id>/bars.json", wrap(self.data_view, cacheable=True), name="tasks_app_stock_data"
            ),
            path("<int:stock_id>/bars.csv", wrap(self.csv_view), name="tasks_app_stock_csv"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context |= detail.build_detail_context(request, context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def by_code_view(self, request: HttpRequest, market: str, code: str) -> HttpResponse:
        """Redirects to the page of the stock with this code, or to a search for it if it is unknown."""
        require_permission(request, "tasks_app.view_stock")
        stored = codes.find_stored(market, code)
        stock_id = Stock.objects.filter(market=market, code=stored).values_list("pk", flat=True).first()
        query = request.GET.dict()
        if stock_id is None:
            return redirect(formatting.admin_url("stock", market__exact=market, q=code))
        return redirect(formatting.admin_url("stock", "change", stock_id, **query))

    def data_view(self, request: HttpRequest, stock_id: int) -> HttpResponse:
        """Returns the bars of one adjustment for the chart; 304 while nothing has changed."""
        stock = self._stock(request, stock_id)
        with_tasks = request.user.has_perm(VIEW_TASKS)
        basis = detail.basis_from_request(request, stock)
        return chart_data.respond(request, stock, basis, with_tasks=with_tasks)

    def csv_view(self, request: HttpRequest, stock_id: int) -> HttpResponseBase:
        """Returns the bars of one adjustment and a range of days as a CSV file for spreadsheets."""
        stock = self._stock(request, stock_id)
        query = detail.BarQuery.from_request(request)
        if query is None:
            return redirect(formatting.admin_url("stock", "change", stock.pk))
        basis = query.basis_of(stock)
        rows = csv_export.bar_rows(stock.market, stock.code, basis).filter(**query.days)
        name = "-".join(filter(None, [stock.market, stock.code, query.adjust]))
        return csv_export.download_response(rows, f"{name}.csv", basis)

    def _stock(self, request: HttpRequest, stock_id: int) -> Stock:
        require_permission(request, BARS)
        return get_object_or_404(Stock, pk=stock_id)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Stock], search_term: str
    ) -> tuple[QuerySet[Stock], bool]:
        stocks, _duplicates = super().get_search_results(request, queryset, search_term)
        if search_term.strip():  # 600519.SH and sh600519 are found, too
            stocks |= queryset.filter(code__in=codes.codes_of_any_market(search_term))
        return stocks, False
