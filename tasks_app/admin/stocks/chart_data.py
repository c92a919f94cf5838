"""The data of a stock's chart: bars as columns, days as differences, bounded, with an ETag."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language, gettext as _

from tasks_app.http.conditional import conditional_response, etag_for
from tasks_app.market import code_changes
from tasks_app.models import CalendarDay, Correction, DailyBar, Finding, Series, SilentAnswer, Stock
from tasks_app.quotes import gaps
from tasks_app.quotes.adjusted_prices import Basis, basis_bars

MAX_BARS = 20_000  # 80 years
MAX_NOTES, MAX_GAPS = 1000, 2000
OPEN = Count("pk", filter=Q(is_session=True))
VALUES = ("open", "high", "low", "close", "volume", "amount", "change_pct")


def respond(request: HttpRequest, stock: Stock, basis: Basis, *, with_tasks: bool) -> HttpResponse:
    """Returns the chart's data as JSON, or 304 for a browser that has them."""

    def build() -> HttpResponse:
        body = json.dumps(chart_columns(stock, basis, with_tasks=with_tasks), separators=(",", ":"))
        return HttpResponse(body, content_type="application/json")

    return conditional_response(request, etag_for(_version(stock, basis, with_tasks)), build)


def chart_columns(stock: Stock, basis: Basis, *, with_tasks: bool) -> dict[str, Any]:
    """Returns the newest 20,000 bars in ascending date order, the sessions without a bar, and marked days.

    `steps` are the days since the previous bar, the first since 1970-01-01. `gaps` are the sessions without a
    bar between the bars, by reason, each with `steps` in the same way, the sentence `why`, and `open` if they
    were never requested. `by` is the index in `tasks` of the task that stored the bar, -1 if unknown.
    `codes` are the first days under another code, each with a sentence on the bars before.
    """
    marked = _codes_key(stock, basis)
    bars = basis_bars(stock.market, stock.code, basis).order_by("-day")
    rows = list(basis.adjust_rows(bars.values("day", "symbol", *VALUES, "item__task_id")[:MAX_BARS]))[::-1]
    days = [row["day"] for row in rows]
    by = [row["item__task_id"] for row in rows]
    tasks = list(dict.fromkeys(filter(None, by))) if with_tasks else []
    index_of = {task: n for n, task in enumerate(tasks)}
    all_gaps = find_gaps(stock, basis, days)
    inner_gaps = [gap for gap in all_gaps if days[0] < gap.first and gap.last < days[-1]]
    return {
        "steps": _steps(days),
        **{name: [row[name] for row in rows] for name in VALUES},
        "tasks": [str(task) for task in tasks],
        "by": [index_of.get(task, -1) for task in by],
        "codes": _code_changes(rows),
        "gaps": _gaps(stock.market, inner_gaps),
        "corrected": _marked_days(Correction.objects.filter(**marked)),
        "flagged": _marked_days(Finding.objects.filter(**marked, kind="flagged", day__isnull=False)),
    }


def find_gaps(stock: Stock, basis: Basis, days: Sequence[date]) -> list[gaps.Gap]:
    """Returns the sessions without a bar beside these ascending days with one, by reason, newest first."""
    return gaps.find_gaps(stock, basis.read_adjust, days, joined=not basis.adjust)


def _codes_key(stock: Stock, basis: Basis) -> dict[str, Any]:
    """Returns the filter of what is stored of the bars of this basis, under all codes of the security."""
    earlier = [] if basis.adjust else code_changes.predecessors(stock.market, stock.code)
    codes = [stock.code, *(one.code for one in earlier)]
    return {"market": stock.market, "symbol__in": codes, "adjust": basis.read_adjust}


def _code_changes(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (
            day := row["day"].isoformat(),
            _("before %(day)s as %(code)s") % {"day": day, "code": before["symbol"]},
        )
        for before, row in pairwise(rows)
        if before["symbol"] != row["symbol"]
    ]


def _marked_days(rows: QuerySet[Any]) -> list[str]:
    days = set(rows.order_by("-day").values_list("day", flat=True)[:MAX_NOTES])
    return [day.isoformat() for day in sorted(days)]


def _gaps(market: str, some_gaps: Iterable[gaps.Gap]) -> list[dict[str, Any]]:
    """Returns the newest days without a bar, by reason."""
    days: dict[gaps.Reason, list[date]] = {}
    for gap in list(some_gaps)[:MAX_GAPS][::-1]:
        days.setdefault(gap.reason, []).extend(gap.days)
    return [
        {"open": reason.is_open, "why": reason.describe(market), "steps": _steps(on)}
        for reason, on in days.items()
    ]


def _steps(days: Sequence[date]) -> list[int]:
    numbers = [date(1970, 1, 1).toordinal(), *(day.toordinal() for day in days)]
    return [after - before for before, after in pairwise(numbers)]


def _version(stock: Stock, basis: Basis, with_tasks: bool) -> str:
    """Returns a text that changes whenever the data may, from aggregates, without reading the bars."""
    key = _codes_key(stock, basis)
    parts = [
        get_language(),
        [basis.adjust, basis.source, basis.fetched_at, basis.ends_before],
        DailyBar.objects.filter(**key).aggregate(Count("pk"), Max("pk"), Max("collected_at")),
        Correction.objects.filter(**key).aggregate(Max("pk")),
        Finding.objects.filter(**key).aggregate(Max("pk")),
        CalendarDay.objects.filter(market=stock.market).aggregate(Count("pk"), Max("pk"), open=OPEN),
        list(Series.objects.filter(**key).values("updated_at", "covered", "absences")),
        SilentAnswer.objects.filter(market=stock.market).aggregate(Count("pk"), Max("asked_at")),
        [stock.delisted_on, date.today(), with_tasks],
    ]
    return repr(parts)
