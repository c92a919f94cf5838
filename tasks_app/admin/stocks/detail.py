"""The page of a stock: its data, the state of its bars, the chart's frame, the table of bars."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext as _, ngettext, pgettext

from tasks_app import reasons
from tasks_app.admin.access.permissions import START_TASK, VIEW_RAW_ANSWERS, VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.paginator import page_links
from tasks_app.admin.stocks import adjustments, chart_data, data_quality
from tasks_app.admin.stocks.day_badges import day_badges, is_not_told
from tasks_app.db import keyset
from tasks_app.lifecycle import selectors
from tasks_app.market import benchmarks, code_changes
from tasks_app.models import Correction, DailyBar, Finding, Stock
from tasks_app.models.quotes import Adjust, FindingKind, InstrumentKind
from tasks_app.models.states import ItemState
from tasks_app.quotes import raw_answers, summary as stored
from tasks_app.quotes.adjusted_prices import BASES, Basis, StockPrices, basis_bars
from tasks_app.quotes.daily_limits import DailyLimits

ROWS_PER_PAGE = 50
MAX_FORMER_NAMES = 30
ADJUSTS: list[str] = list(Adjust.values)


@dataclass(frozen=True)
class BarQuery:
    """Which bars are shown: an adjustment, a range of days, and the basis of its prices if one is wanted."""

    adjust: str
    since: date | None
    until: date | None
    wanted: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> "BarQuery | None":
        """Returns the query of the address, or None if it is malformed."""
        try:
            texts = (request.GET.get(name) for name in ("since", "until"))
            since, until = (date.fromisoformat(text) if text else None for text in texts)
        except ValueError:
            return None
        return cls(adjust_from_request(request), since, until, wanted_basis(request))

    def basis_of(self, stock: Stock) -> Basis:
        """Returns where the prices of this query come from."""
        return _find_basis(StockPrices(stock.market, stock.code), self.adjust, self.wanted)

    @property
    def days(self) -> dict[str, date]:
        """The days as queryset filters."""
        return {k: v for k, v in {"day__gte": self.since, "day__lte": self.until}.items() if v}

    @property
    def query(self) -> dict[str, str]:
        """The query as URL parameters."""
        days = {k: v.isoformat() for k, v in {"since": self.since, "until": self.until}.items() if v}
        return {"adjust": self.adjust, **({"basis": self.wanted} if self.wanted else {}), **days}


def adjust_from_request(request: HttpRequest) -> str:
    """Returns `?adjust=`, or unadjusted if it is unknown."""
    adjust = request.GET.get("adjust", "")
    return adjust if adjust in ADJUSTS else Adjust.NONE


def wanted_basis(request: HttpRequest) -> str:
    """Returns `?basis=` (stored or computed), "" if it is unknown."""
    wanted = request.GET.get("basis", "")
    return wanted if wanted in BASES else ""


def basis_from_request(request: HttpRequest, stock: Stock) -> Basis:
    """Returns where the prices of the request's adjustment come from."""
    prices = StockPrices(stock.market, stock.code)
    return _find_basis(prices, adjust_from_request(request), wanted_basis(request))


def _find_basis(prices: StockPrices, adjust: str, wanted: str) -> Basis:
    """Returns the wanted basis; a stored one if it does not exist (any more)."""
    return prices.basis(adjust, wanted) or Basis(adjust)


def state_badge(stock: Stock, summary: stored.Summary) -> SafeString:
    """Returns the state of the stored bars as a badge."""
    if stock.delisted_on:
        return formatting.badge("plain", "block", _("delisted"))
    if summary.new_code:
        text = _("now %(code)s") % {"code": summary.new_code}
        return formatting.badge("plain", "arrow_forward", text)
    if not summary.bars:
        return formatting.badge("none", "inbox", _("nothing stored"))
    if summary.behind:
        text = ngettext(
            "behind: %(count)s session not requested",
            "behind: %(count)s sessions not requested",
            summary.behind,
        )
        return formatting.badge("warn", "history", text % {"count": formatting.number(summary.behind)})
    return formatting.badge("good", "check_circle", _("up to date"))


def state_cell(stock: Stock, summary: stored.Summary) -> SafeString:
    """Returns the state for a list: how far the stock is behind stands below the badge."""
    if stock.delisted_on or summary.new_code or not (summary.bars and summary.behind):
        return state_badge(stock, summary)
    text = ngettext("%(count)s session not requested", "%(count)s sessions not requested", summary.behind)
    return formatting.two_lines(
        formatting.badge("warn", "history", _("behind")), text % {"count": formatting.number(summary.behind)}
    )


def build_detail_context(request: HttpRequest, stock: Stock) -> dict[str, Any]:
    """Returns the template context. It is bounded, however much is stored."""
    summary = stored.summarize([stock])[stock.pk]
    may = {"bars": request.user.has_perm("tasks_app.view_dailybar")}
    context = {
        "breadcrumbs": [Breadcrumb(_("Stocks"), formatting.admin_url("stock")), Breadcrumb(stock.code)],
        "stock": stock,
        "label": state_badge(stock, summary),
        "synthetic": formatting.synthetic_badge(stock.market),
        "facts": facts(stock, summary),
        "start_url": start_url(request, stock),
        "may": may,
        "stored": False,
    }
    if not may["bars"]:
        return context
    context |= _bars(request, stock)
    if not context["stored"] and request.user.has_perm(VIEW_TASKS):
        context["failed_item"] = _newest_failure(stock)
    return context


def _newest_failure(stock: Stock) -> dict[str, Any] | None:
    """Returns what became of the stock in the newest task that asked for it, if it failed there."""
    item = selectors.newest_item(stock.market, stock.code)
    if item is None or item.state != ItemState.FAILED:
        return None
    return {
        "url": formatting.admin_url("collectionitem", "change", item.pk),
        "task": formatting.task_link(item.task_id),
        "at": formatting.timestamp(item.finished_at, seconds=False),
        "reason": reasons.explain(item.error_code, item.error_message),
    }


def facts(stock: Stock, summary: stored.Summary) -> list[tuple[str, Any]]:
    """Returns (name, value) pairs; unknown values are left out."""
    former = _(", ").join(_former(name) for name in stock.former_names[-MAX_FORMER_NAMES:])
    pairs = [
        (_("market"), stock.get_market_display()),
        (_("kind"), stock.get_kind_display() if stock.kind != InstrumentKind.STOCK else ""),
        (_("exchange"), stock.exchange),
        (_("benchmark"), _benchmark(stock)),
        (_("listed on"), stock.listed_on and stock.listed_on.isoformat()),
        (_("delisted on"), stock.delisted_on and stock.delisted_on.isoformat()),
        (_("former names"), former),
        *_other_codes(stock),
        (_("bars"), formatting.number(summary.bars)),
        (
            _("first and last day"),
            summary.first and summary.last and formatting.date_range(summary.first, summary.last),
        ),
        (
            _("full history"),
            full_history(stock),
        ),
    ]
    return [(name, value) for name, value in pairs if value]


def full_history(stock: Stock) -> SafeString | str:
    """Returns whether the whole history was collected once, and when."""
    if not stock.full_collection_date:
        return pgettext("full history", "incomplete")
    at = formatting.timestamp(stock.full_collection_date)
    return formatting.two_lines(pgettext("full history", "complete"), at)


def _benchmark(stock: Stock) -> SafeString | str:
    """Returns the index of the stock's board as a link; of an index, its name if it is well known."""
    if own := benchmarks.find(stock.market, stock.code):
        return benchmarks.display_name(own)
    board = benchmarks.of_stock(stock.market, stock.code) if stock.kind == InstrumentKind.STOCK else None
    if board is None:
        return ""
    url = formatting.stock_url(stock.market, board.code)
    return formatting.link(url, f"{benchmarks.display_name(board)} {board.code}")


def _former(name: Any) -> str:
    until = name.get("until")
    return _("%(name)s (until %(day)s)") % {"name": name.get("name"), "day": until} if until else name["name"]


def _other_codes(stock: Stock) -> list[tuple[str, Any]]:
    """Returns the codes that the security had before and has now, as links to their pages."""

    def link(code: str, text: str, day: date) -> SafeString:
        label = text % {"code": code, "day": day.isoformat()}
        return formatting.link(formatting.stock_url(stock.market, code), label)

    earlier = [
        (link(one.code, _("%(code)s (until %(day)s)"), one.until - timedelta(days=1)),)
        for one in code_changes.predecessors(stock.market, stock.code)
    ]
    change = code_changes.successor(stock.market, stock.code)
    now = change and link(change.new_code, _("%(code)s (since %(day)s)"), change.changed_on)
    return [(_("earlier codes"), format_html_join(_(", "), "{}", earlier)), (_("code now"), now)]


def start_url(request: HttpRequest, stock: Stock) -> str:
    """Returns the address of the start form with this stock; "" for users who may not start."""
    if not request.user.has_perm(START_TASK):
        return ""
    return f"{reverse('admin:start')}?{urlencode({'market': stock.market, 'codes': stock.code})}"


def _bars(request: HttpRequest, stock: Stock) -> dict[str, Any]:
    prices = StockPrices(stock.market, stock.code)
    series = prices.series
    query = BarQuery.from_request(request) or BarQuery(Adjust.NONE, None, None)
    stored_adjusts = list(series)
    if "adjust" not in request.GET and stored_adjusts and query.adjust not in stored_adjusts:
        query = replace(query, adjust=min(stored_adjusts, key=ADJUSTS.index))
    basis = _find_basis(prices, query.adjust, query.wanted)
    rows = basis_bars(stock.market, stock.code, basis)
    days = list(rows.order_by("day").values_list("day", flat=True)[: chart_data.MAX_BARS])
    page = reverse("admin:tasks_app_stock_change", args=[stock.pk])
    return {
        "stored": bool(series or days),
        "query": query,
        "adjust": Adjust(query.adjust),
        "adjusts": [_adjust(prices, page, value, query) for value in ADJUSTS],
        "basis": adjustments.describe_basis(prices, page, query.query, basis),
        "actions": adjustments.action_rows(stock),
        "chart": _chart(stock, query) if days else None,
        "csv_url": reverse("admin:tasks_app_stock_csv", args=[stock.pk]),
        "table": table(request, stock, rows.filter(**query.days), query, basis),
        "gaps": data_quality.build_gap_table(stock.market, chart_data.find_gaps(stock, basis, days)),
        "calendar_url": f"{reverse('admin:calendar')}?{urlencode({'market': stock.market})}",
        "corrections": data_quality.recent_corrections(stock, basis.read_adjust),
        "findings": data_quality.recent_findings(stock, basis.read_adjust),
    }


def _adjust(prices: StockPrices, page: str, value: str, query: BarQuery) -> dict[str, Any]:
    basis = _find_basis(prices, value, query.wanted if value == query.adjust else "")
    row = prices.series.get(basis.read_adjust)
    bars = row.bars if row else 0
    others = {name: text for name, text in query.query.items() if name != "basis"}
    return {
        "name": Adjust(value).label,
        "bars": adjustments.describe_size(basis, bars),
        "url": f"{page}?{urlencode({**others, 'adjust': value})}",
        "current": value == query.adjust,
    }


def _chart(stock: Stock, query: BarQuery) -> dict[str, Any]:
    """Returns what the script needs: addresses, texts, and the colour of rising prices for the reader."""
    data = reverse("admin:tasks_app_stock_data", args=[stock.pk])
    is_chinese = (get_language() or "").startswith("zh")
    return {
        "data": f"{data}?{urlencode({'adjust': query.adjust, 'basis': query.wanted})}",
        "task": reverse("admin:tasks_app_collectiontask_change", args=["0" * 32]),
        "language": get_language(),
        "rising": "red" if is_chinese else "green",
        "words": {
            "open": _("open"),
            "high": _("high"),
            "low": _("low"),
            "close": _("close"),
            "change_pct": _("change %"),
            "volume": _("volume"),
            "amount": _("amount"),
            "task": _("task"),
            "corrected": _("corrected"),
            "flagged": _("flagged"),
            "none": _("no bar:"),
            "loading": _("Loading the chart…"),
            "failed": _("The chart could not be loaded. The table below has all bars."),
        },
    }


def table(request: HttpRequest, stock: Stock, rows: Any, query: BarQuery, basis: Basis) -> dict[str, Any]:
    """Returns one page of the stock's bars, the newest first."""
    page = reverse("admin:tasks_app_stock_change", args=[stock.pk])
    order = keyset.order_columns(DailyBar, ["-day"])
    try:
        at = keyset.parse_position(order, request.GET.get(keyset.AFTER), request.GET.get(keyset.BEFORE))
    except ValidationError:
        at = keyset.Position()
    bars = keyset.fetch_page(rows.annotate(task_id=F("item__task_id")), order, at, ROWS_PER_PAGE)
    with_tasks = request.user.has_perm(VIEW_TASKS)
    may_view = request.user.has_perm(VIEW_RAW_ANSWERS)
    calls = raw_answers.calls_of_bars(bars.rows) if may_view else {}
    notes = _notes(basis.read_adjust, bars.rows)
    limits = DailyLimits()
    of_days = {bar.day: limits.of_bar(bar) for bar in bars.rows}
    for bar in bars.rows:
        basis.adjust_bar(bar)
        bar.call_id = calls.get(bar.pk)
    formatting.align_prices(bars.rows)
    return {
        "rows": [_row(bar, notes, day_badges(of_days[bar.day]), stock.code, with_tasks) for bar in bars.rows],
        "with_tasks": with_tasks,
        "has_computed": any(map(is_not_told, of_days.values())),
        "several": bool(bars.after or not bars.is_first),
        "links": page_links(bars, lambda **to: f"{page}?{urlencode({**query.query, **to})}#bars"),
    }


def _notes(adjust: str, bars: list[Any]) -> dict[str, set[tuple[str, date | None]]]:
    """Returns the codes and days of these bars that were corrected, and those that were flagged."""
    if not bars:
        return {"corrected": set(), "flagged": set()}
    key = {"market": bars[0].market, "symbol__in": {bar.symbol for bar in bars}, "adjust": adjust}
    within = {**key, "day__in": [bar.day for bar in bars]}
    flagged = Finding.objects.filter(**within, kind=FindingKind.FLAGGED)
    return {
        "corrected": set(Correction.objects.filter(**within).values_list("symbol", "day")),
        "flagged": set(flagged.values_list("symbol", "day")),
    }


def _source(bar: Any) -> SafeString | str:
    """Returns the source's name, as a link to the raw answer that the bar came from, where that is kept."""
    if bar.call_id is None:
        return str(bar.source)
    title = _("the raw answer that the bar came from")
    url = formatting.admin_url("recordedcall", "change", bar.call_id)
    return format_html('<a href="{}" class="sc-link" title="{}">{}</a>', url, title, bar.source)


def _row(
    bar: Any,
    notes: dict[str, set[tuple[str, date | None]]],
    of_day: list[SafeString],
    code: str,
    with_tasks: bool,
) -> dict[str, Any]:
    task = formatting.task_link(bar.task_id) if bar.task_id else formatting.deleted_task()
    badges = {
        "corrected": formatting.badge("info", "edit", _("corrected")),
        "flagged": formatting.badge("warn", "flag", _("flagged")),
    }
    marks = [badge for name, badge in badges.items() if (bar.symbol, bar.day) in notes[name]]
    if bar.symbol != code:
        marks.append(formatting.badge("plain", "history", _("as %(code)s") % {"code": bar.symbol}))
    return {
        "day": bar.day.isoformat(),
        "prices": [formatting.price(value, bar.places) for value in (bar.open, bar.high, bar.low, bar.close)],
        "change": formatting.percent(bar.change_pct, signed=True),
        "volume": formatting.number(bar.volume),
        "amount": formatting.number(bar.amount),
        "source": _source(bar),
        "task": task if with_tasks and bar.item_id else formatting.EMPTY,
        "notes": [*of_day, *marks],
    }
