"""The data of a stock's chart: bars as columns, days as differences, bounded, with an ETag."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from tasks_app.http.conditional import conditional_response, etag_for
from tasks_app.models import CalendarDay, Correction, DailyBar, Finding, Series, Stock
from tasks_app.quotes import gaps
from tasks_app.quotes.adjusted_prices import Basis

MAX_BARS = 20_000  # 80 years
MAX_NOTES = 1000
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

    `steps` are the days since the previous bar, the first since 1970-01-01; `missing` and `suspended` list
    sessions between the bars in the same way. `by` is the index in `tasks` of the task that stored the bar,
    -1 if unknown.
    """
    key = _key(stock, basis.read_adjust)
    bars = DailyBar.objects.filter(**key, **basis.days).order_by("-day")
    rows = list(basis.adjust_rows(bars.values("day", *VALUES, "item__task_id")[:MAX_BARS]))[::-1]
    days = [row["day"] for row in rows]
    by = [row["item__task_id"] for row in rows]
    tasks = list(dict.fromkeys(filter(None, by))) if with_tasks else []
    index_of = {task: n for n, task in enumerate(tasks)}
    inner_gaps = [gap for gap in gaps_between(stock, basis.read_adjust, days) if gap.last < days[-1]]
    return {
        "steps": _steps(days),
        **{name: [row[name] for row in rows] for name in VALUES},
        "tasks": [str(task) for task in tasks],
        "by": [index_of.get(task, -1) for task in by],
        "missing": _steps(_days(inner_gaps, answered=False)),
        "suspended": _steps(_days(inner_gaps, answered=True)),
        "corrected": _marked_days(Correction.objects.filter(**key)),
        "flagged": _marked_days(Finding.objects.filter(**key, kind="flagged", day__isnull=False)),
    }


def gaps_between(stock: Stock, adjust: str, days: Sequence[date]) -> list[gaps.Gap]:
    """Returns the gaps between these ascending days, with whether their days were answered."""
    series = Series.objects.filter(**_key(stock, adjust)).values_list("covered", flat=True)
    return gaps.find_gaps(stock, days, series.first() or ())


def _key(stock: Stock, adjust: str) -> dict[str, str]:
    return {"market": stock.market, "symbol": stock.code, "adjust": adjust}


def _marked_days(rows: QuerySet[Any]) -> list[str]:
    days = set(rows.order_by("-day").values_list("day", flat=True)[:MAX_NOTES])
    return [day.isoformat() for day in sorted(days)]


def _days(some_gaps: Iterable[gaps.Gap], *, answered: bool) -> list[date]:
    days = sorted(day for gap in some_gaps if gap.answered == answered for day in gap.days)
    return days[-MAX_BARS:]


def _steps(days: Sequence[date]) -> list[int]:
    numbers = [date(1970, 1, 1).toordinal(), *(day.toordinal() for day in days)]
    return [after - before for before, after in pairwise(numbers)]


def _version(stock: Stock, basis: Basis, with_tasks: bool) -> str:
    """Returns a text that changes whenever the data may, from aggregates, without reading the bars."""
    key = _key(stock, basis.read_adjust)
    parts = [
        [basis.adjust, basis.source, basis.fetched_at, basis.ends_before],
        DailyBar.objects.filter(**key).aggregate(Count("pk"), Max("pk"), Max("collected_at")),
        Correction.objects.filter(**key).aggregate(Max("pk")),
        Finding.objects.filter(**key).aggregate(Max("pk")),
        CalendarDay.objects.filter(market=stock.market).aggregate(Count("pk"), Max("pk"), open=OPEN),
        list(Series.objects.filter(**key).values("updated_at", "covered")),
        [stock.delisted_on, date.today(), with_tasks],
    ]
    return repr(parts)
