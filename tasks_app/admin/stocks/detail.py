"""What the page of a stock shows: who it is, how its bars stand, the chart's frame, the table of bars."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext as _

from tasks_app.admin.access.permissions import START_TASK, VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.paginator import page_links
from tasks_app.admin.stocks import chart_data, data_quality
from tasks_app.db import keyset
from tasks_app.models import Correction, DailyBar, Finding, Series, Stock
from tasks_app.models.quotes import Adjust, FindingKind
from tasks_app.quotes import summary as stored

ROWS = 50
FORMER = 30
ADJUSTS: list[str] = list(Adjust.values)


@dataclass(frozen=True)
class Asked:
    """Which bars: of one adjustment, of some days."""

    adjust: str
    since: date | None
    until: date | None

    @classmethod
    def read(cls, request: HttpRequest) -> "Asked | None":
        """What the address asks for; None when it makes no sense."""
        try:
            since, until = (_day(request.GET.get(name, "")) for name in ("since", "until"))
        except ValueError:
            return None
        return cls(asked_adjust(request), since, until)

    @property
    def days(self) -> dict[str, date]:
        """As filters."""
        return {k: v for k, v in {"day__gte": self.since, "day__lte": self.until}.items() if v}

    @property
    def query(self) -> dict[str, str]:
        """As parameters of an address."""
        days = {k: v.isoformat() for k, v in {"since": self.since, "until": self.until}.items() if v}
        return {"adjust": self.adjust, **days}


def asked_adjust(request: HttpRequest) -> str:
    """`?adjust=`, unadjusted when it is none of ours."""
    asked = request.GET.get("adjust", "")
    return asked if asked in ADJUSTS else Adjust.NONE


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def state(stock: Stock, summary: stored.Summary) -> SafeString:
    """How the stored bars stand, in a word."""
    if stock.delisted_on:
        return formatting.badge("plain", "block", _("delisted"))
    if not summary.bars:
        return formatting.badge("plain", "inbox", _("nothing stored"))
    if summary.is_behind:
        return formatting.badge("warn", "schedule", _("behind"))
    return formatting.badge("good", "check_circle", _("up to date"))


def about(request: HttpRequest, stock: Stock) -> dict[str, Any]:
    """The context of the page. Bounded, whatever is stored."""
    summary = stored.summarize([stock])[stock.pk]
    may = {"bars": request.user.has_perm("tasks_app.view_dailybar")}
    context = {
        "breadcrumbs": [Breadcrumb(_("Stocks"), formatting.admin_url("stock")), Breadcrumb(stock.code)],
        "stock": stock,
        "label": state(stock, summary),
        "facts": facts(stock, summary),
        "start_url": start_url(request, stock),
        "may": may,
        "stored": False,
    }
    return {**context, **_bars(request, stock)} if may["bars"] else context


def facts(stock: Stock, summary: stored.Summary) -> list[tuple[str, Any]]:
    """Pairs of a name and a value; what is not known is left out, but for what everybody looks for."""
    former = _(", ").join(_former(name) for name in stock.former_names[-FORMER:])
    pairs = [
        (_("market"), stock.get_market_display()),
        (_("exchange"), stock.exchange),
        (_("listed on"), _iso(stock.listed_on)),
        (_("delisted on"), _iso(stock.delisted_on)),
        (_("former names"), former),
        (_("bars"), formatting.number(summary.bars)),
        (
            _("first and last day"),
            summary.first and summary.last and formatting.date_range(summary.first, summary.last),
        ),
        (_("full history collected"), formatting.timestamp(stock.full_collection_date)),
    ]
    return [(name, value) for name, value in pairs if value]


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _former(name: Any) -> str:
    until = name.get("until")
    return _("%(name)s (until %(day)s)") % {"name": name.get("name"), "day": until} if until else name["name"]


def start_url(request: HttpRequest, stock: Stock) -> str:
    """To the start form with this stock filled in, for those who may start."""
    if not request.user.has_perm(START_TASK):
        return ""
    return f"{reverse('admin:start')}?{urlencode({'market': stock.market, 'codes': stock.code})}"


# ---------------------------------------------------------------- the bars


def _bars(request: HttpRequest, stock: Stock) -> dict[str, Any]:
    series = list(Series.objects.filter(market=stock.market, symbol=stock.code, bars__gt=0))
    asked = Asked.read(request) or Asked(Adjust.NONE, None, None)
    held = [row.adjust for row in series]
    if "adjust" not in request.GET and held and asked.adjust not in held:
        asked = Asked(min(held, key=ADJUSTS.index), asked.since, asked.until)
    rows = DailyBar.objects.filter(market=stock.market, symbol=stock.code, adjust=asked.adjust)
    days = list(rows.order_by("day").values_list("day", flat=True)[: chart_data.MOST_BARS])
    page = reverse("admin:tasks_app_stock_change", args=[stock.pk])
    return {
        "stored": bool(series or days),
        "asked": asked,
        "adjust": Adjust(asked.adjust),
        "adjusts": [_adjust(page, value, asked, series) for value in ADJUSTS],
        "chart": _chart(stock, asked) if days else None,
        "csv_url": reverse("admin:tasks_app_stock_csv", args=[stock.pk]),
        "table": table(request, rows.filter(**asked.days), page, asked),
        "gaps": data_quality.gap_table(chart_data.find_gaps(stock, asked.adjust, days)),
        "corrections": data_quality.corrections(stock, asked.adjust),
        "findings": data_quality.findings(stock, asked.adjust),
    }


def _adjust(page: str, value: str, asked: Asked, series: Iterable[Series]) -> dict[str, Any]:
    bars = next((row.bars for row in series if row.adjust == value), 0)
    return {
        "name": Adjust(value).label,
        "bars": formatting.number(bars),
        "url": f"{page}?{urlencode({**asked.query, 'adjust': value})}",
        "current": value == asked.adjust,
    }


def _chart(stock: Stock, asked: Asked) -> dict[str, Any]:
    """What the script needs: addresses, words, and which colour rises where the reader lives."""
    data = reverse("admin:tasks_app_stock_data", args=[stock.pk])
    chinese = (get_language() or "").startswith("zh")
    return {
        "data": f"{data}?{urlencode({'adjust': asked.adjust})}",
        "task": reverse("admin:tasks_app_collectiontask_change", args=["0" * 32]),
        "language": get_language(),
        "rising": "red" if chinese else "green",
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
            "missing": _("no bar: not asked for"),
            "suspended": _("no bar: suspended"),
            "failed": _("The chart could not be loaded. The table below has all bars."),
        },
    }


def table(request: HttpRequest, rows: Any, page: str, asked: Asked) -> dict[str, Any]:
    """One page of the bars, the newest first, in the words of its rows."""
    order = keyset.order_columns(DailyBar, ["-day"])
    try:
        at = keyset.parse_position(order, request.GET.get(keyset.AFTER), request.GET.get(keyset.BEFORE))
    except ValidationError:
        at = keyset.Position()
    found = keyset.fetch_page(rows.annotate(task_id=F("item__task_id")), order, at, ROWS)
    with_tasks = request.user.has_perm(VIEW_TASKS)
    notes = _notes(asked.adjust, found.rows)
    return {
        "rows": [_row(bar, notes, with_tasks) for bar in found.rows],
        "with_tasks": with_tasks,
        "several": bool(found.after or not found.is_first),
        "links": page_links(found, lambda **to: f"{page}?{urlencode({**asked.query, **to})}#bars"),
    }


def _notes(adjust: str, bars: list[Any]) -> dict[str, set[date | None]]:
    """The days among these bars that were corrected, and those that were flagged."""
    if not bars:
        return {"corrected": set(), "flagged": set()}
    key = {"market": bars[0].market, "symbol": bars[0].symbol, "adjust": adjust}
    within = {**key, "day__in": [bar.day for bar in bars]}
    return {
        "corrected": set(Correction.objects.filter(**within).values_list("day", flat=True)),
        "flagged": set(
            Finding.objects.filter(**within, kind=FindingKind.FLAGGED).values_list("day", flat=True)
        ),
    }


def _task(bar: Any) -> SafeString:
    return formatting.task_link(bar.task_id) if bar.task_id else formatting.deleted_task()


def _row(bar: Any, notes: dict[str, set[date | None]], with_tasks: bool) -> dict[str, Any]:
    chips = {
        "corrected": formatting.badge("info", "edit", _("corrected")),
        "flagged": formatting.badge("warn", "flag", _("flagged")),
    }
    return {
        "day": bar.day.isoformat(),
        "prices": [formatting.price(value) for value in (bar.open, bar.high, bar.low, bar.close)],
        "change": formatting.percent(bar.change_pct, signed=True),
        "volume": formatting.number(bar.volume),
        "amount": formatting.number(bar.amount),
        "source": bar.source,
        "task": _task(bar) if with_tasks and bar.item_id else formatting.EMPTY,
        "notes": [chip for name, chip in chips.items() if bar.day in notes[name]],
    }
