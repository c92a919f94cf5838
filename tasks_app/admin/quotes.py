"""The stored stocks and bars."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks_app.admin import show
from tasks_app.admin.base import ReadOnlyAdmin
from tasks_app.admin.cells import cell, count, moment, percent, price
from tasks_app.admin.filters import AdjustFilter
from tasks_app.models import DailyBar, Stock
from tasks_app.models.quotes import Market


def _bars_link(stock: Stock) -> Any:
    return show.link(show.url("dailybar", market__exact=stock.market, q=stock.code), _("Show bars"))


def _code(bar: DailyBar) -> Any:
    return show.two_lines(bar.symbol, f"{bar.market} · {bar.get_adjust_display()}")


@admin.register(Stock)
class StockAdmin(ReadOnlyAdmin[Stock]):
    """A market has some thousands of stocks: a search may read them all."""

    list_display = ["code", "name", "market", "exchange", "full_history", "bars"]
    list_filter = ["market", "full_collection_completed"]
    list_per_page = 100
    ordering = ["market", "code"]
    search_fields = ["code__istartswith", "name__icontains"]
    search_help_text = _("Code or name")
    fieldsets = [
        (None, {"fields": ["code", "name", "market", "exchange", "bars"]}),
        (_("Times"), {"fields": ["listed_on", "delisted_on", "full_history", "known_since"]}),
    ]

    full_history = moment(_("full history collected"), "full_collection_date")
    known_since = moment(_("known since"), "created_at")
    bars = cell(_("daily bars"), _bars_link)


@admin.register(DailyBar)
class BarAdmin(ReadOnlyAdmin[DailyBar]):
    """Bars by market and code, the newest day first: the unique index delivers them in that order."""

    list_display = [
        *("code", "session", "opened", "highest", "lowest", "closed"),
        *("moved", "shares", "money", "origin"),
    ]
    list_filter = ["market", AdjustFilter]
    list_per_page = 100
    ordering = ["market", "symbol", "adjust", "-day"]
    search_fields = ["symbol"]
    search_help_text = _("Exact code")
    fieldsets = [
        (None, {"fields": ["symbol", "market", "adjust", "session"]}),
        (_("Prices"), {"fields": ["opened", "highest", "lowest", "closed", "previous", "moved", "swing"]}),
        (_("Trade"), {"fields": ["shares", "money", "turned_over"]}),
        (_("Origin"), {"fields": ["source", "collected"]}),
    ]

    code = cell(_("code"), _code)
    session = cell(_("day"), lambda bar: show.unbroken(bar.day.isoformat()))
    opened = price(_("open"), "open")
    highest = price(_("high"), "high")
    lowest = price(_("low"), "low")
    closed = price(_("close"), "close")
    previous = price(_("previous close"), "prev_close")
    moved = percent(_("change %"), "change_pct", signed=True)
    swing = percent(_("amplitude %"), "amplitude")
    shares = count(_("volume"), "volume")
    money = count(_("amount"), "amount")
    turned_over = percent(_("turnover %"), "turnover")
    origin = cell(_("source"), lambda bar: show.two_lines(bar.source, show.moment(bar.collected_at)))
    collected = moment(_("collected at"), "collected_at")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DailyBar], search_term: str
    ) -> tuple[QuerySet[DailyBar], bool]:
        """Bars of exactly this code. The index begins with the market, so all markets are named."""
        code = search_term.strip().upper()
        return (queryset.filter(market__in=Market.values, symbol=code) if code else queryset), False
