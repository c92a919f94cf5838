"""The list of stored bars."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from tasks_app import time_zones
from tasks_app.admin.access.permissions import VIEW_RAW_ANSWERS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import KeysetChangeList, ReadOnlyAdmin, without_fields
from tasks_app.admin.common.columns import NUMERIC, cell, count, percent, price, timestamp
from tasks_app.admin.common.filters import AdjustFilter, BarSourceFilter, BarTaskFilter, DayFilter
from tasks_app.admin.raw_answers import call_link
from tasks_app.admin.stocks.day_badges import day_badges
from tasks_app.market import synthetic
from tasks_app.market.codes import codes_of_any_market
from tasks_app.models import DailyBar
from tasks_app.models.quotes import Market
from tasks_app.quotes import raw_answers
from tasks_app.quotes.daily_limits import COMPUTED, DailyLimits


def code_cell(row: Any) -> Any:
    """Returns the code, with market and adjustment below."""
    return formatting.two_lines(row.symbol, f"{synthetic.mark(row.market)} · {row.get_adjust_display()}")


def stock_link(row: Any, text: Any) -> Any:
    """Returns a link to the stock's page in the row's adjustment."""
    return formatting.link(_stock_url(row), text)


def _stock_url(row: Any) -> str:
    return formatting.stock_url(row.market, row.symbol, adjust=row.adjust)


class BarChangeList(KeysetChangeList):
    """Adds the `limits` of its day to each row: two more queries for a page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        limits = DailyLimits().load([(bar.market, bar.symbol) for bar in rows])
        for bar in rows:
            bar.limits = limits.of_bar(bar)
        formatting.align_prices(rows)
        self.result_list = rows


def _price(bar: Any, value: float) -> str:
    """Returns a price with as many decimals as the others of the page."""
    if not hasattr(bar, "places"):
        formatting.align_prices([bar])
    return formatting.price(value, bar.places)


def _limits(bar: Any) -> dict[str, Any]:
    """Returns the columns of `quotes.daily_limits`; looked up for the page of a single bar."""
    return getattr(bar, "limits", None) or DailyLimits().of_bar(bar)


def _origin_title() -> str:
    """Returns the title of source and time: it names the zone once for all rows."""
    return _("source, time (%(zone)s)") % {"zone": time_zones.current_name()}


def _badges(bar: Any) -> Any:
    return format_html_join(" ", "{}", ((badge,) for badge in day_badges(_limits(bar))))


def _limit_prices(bar: Any) -> Any:
    limits = _limits(bar)
    if limits["limits_from"] is None:
        return formatting.EMPTY
    prices = " – ".join(formatting.price(limits[name]) for name in ("limit_down", "limit_up"))
    return formatting.two_lines(prices, _("computed") if limits["limits_from"] == COMPUTED else bar.source)


def _raw_answer(bar: DailyBar) -> Any:
    call = raw_answers.call_of_bar(bar)
    return call_link(call) if call else formatting.EMPTY


@admin.register(DailyBar)
class BarAdmin(ReadOnlyAdmin[DailyBar]):
    """Bars by market and code, the newest day first: the unique index has that order."""

    list_display = [
        *("code", "session", "opened", "highest", "lowest", "closed"),
        *("moved", "marks", "shares", "money", "origin"),
    ]
    labelled = ("origin",)  # on a phone
    list_display_links = ["session"]
    list_filter = ["market", AdjustFilter, BarSourceFilter, BarTaskFilter, DayFilter]
    list_per_page = 100
    ordering = ["market", "symbol", "adjust", "-day"]
    search_fields = ["symbol"]
    search_help_text = _("Exact code")
    fieldsets = [
        (None, {"fields": ["stock", "market", "adjust", "session"]}),
        (_("Prices"), {"fields": ["opened", "highest", "lowest", "closed", "previous", "moved", "swing"]}),
        (_("Price limits"), {"fields": ["limits", "marks"]}),
        (_("Trading"), {"fields": ["shares", "money", "turned_over"]}),
        (_("Origin"), {"fields": ["source", "collected", "raw_answer"]}),
    ]

    # without the class of other links: a page of 100 rows has to stay light
    code = cell(
        _("code"), lambda bar: format_html('<a href="{}">{}</a>', _stock_url(bar), code_cell(bar)), "sc-key"
    )
    stock = cell(_("code"), lambda bar: stock_link(bar, bar.symbol))
    session = cell(_("day"), lambda bar: bar.day.isoformat(), "sc-key")
    opened = cell(_("open"), lambda bar: _price(bar, bar.open), NUMERIC)
    highest = cell(_("high"), lambda bar: _price(bar, bar.high), NUMERIC)
    lowest = cell(_("low"), lambda bar: _price(bar, bar.low), NUMERIC)
    closed = cell(_("close"), lambda bar: _price(bar, bar.close), NUMERIC)
    previous = price(_("previous close"), "prev_close")
    moved = percent(_("change %"), "change_pct", signed=True)
    swing = percent(_("amplitude %"), "amplitude")
    marks = cell(_("limit, ST"), _badges)
    limits = cell(_("price limits"), _limit_prices)
    shares = count(_("volume"), "volume")
    money = count(_("amount"), "amount")
    turned_over = percent(_("turnover %"), "turnover")
    origin = cell(
        lazy(_origin_title, str)(),
        lambda bar: formatting.two_lines(
            bar.source, formatting.timestamp(bar.collected_at, seconds=False, names_zone=False)
        ),
    )
    collected = timestamp(_("collected at"), "collected_at")
    raw_answer = cell(_("raw answer"), _raw_answer)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leaves out the raw answer for users who may not view it."""
        return without_fields(super().get_fieldsets(request, obj), request, VIEW_RAW_ANSWERS, "raw_answer")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return BarChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DailyBar], search_term: str
    ) -> tuple[QuerySet[DailyBar], bool]:
        """Finds the bars of exactly this code."""
        return filter_by_code(queryset, search_term), False


def filter_by_code(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Returns the rows of this code in any spelling and market: their indexes begin with the market."""
    codes = codes_of_any_market(term)
    return rows.filter(market__in=Market.values, symbol__in=codes) if term.strip() else rows
