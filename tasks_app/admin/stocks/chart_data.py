"""A stock's bars for its chart: columns instead of rows, days as steps, bounded, with an ETag."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response

from tasks_app.models import CalendarDay, Correction, DailyBar, Finding, Series, Stock
from tasks_app.quotes import gaps

MOST_BARS = 20_000  # 80 years
MOST_NOTES = 1000
OPEN = Count("pk", filter=Q(is_session=True))
VALUES = ("open", "high", "low", "close", "volume", "amount", "change_pct")
Key = dict[str, str]


def answer(request: HttpRequest, stock: Stock, adjust: str, *, with_tasks: bool) -> HttpResponse:
    """JSON, or 304 for a browser that has it. Cached by that browser only, and asked for again each time."""
    etag = _version(stock, adjust, with_tasks)
    told = get_conditional_response(request, etag=etag)
    if told is None:
        body = json.dumps(columns(stock, adjust, with_tasks=with_tasks), separators=(",", ":"))
        told = HttpResponse(body, content_type="application/json")
    told["ETag"], told["Cache-Control"] = etag, "private, no-cache"
    return told


def columns(stock: Stock, adjust: str, *, with_tasks: bool) -> dict[str, Any]:
    """The newest 20,000 bars by rising day, the sessions without one, and what was noted of bars.

    `steps`: days since the bar before, the first since 1970-01-01; alike for the sessions between the
    bars that lack one. `by`: which of `tasks` brought the bar, -1 where that is not known.
    """
    key = _key(stock, adjust)
    rows = _rows(key)
    days = [row[0] for row in rows]
    tasks = list(dict.fromkeys(row[-1] for row in rows if row[-1])) if with_tasks else []
    place = {task: n for n, task in enumerate(tasks)}
    found = [gap for gap in find_gaps(stock, adjust, days) if gap.last < days[-1]]
    return {
        "steps": _steps(days),
        **{name: [row[n] for row in rows] for n, name in enumerate(VALUES, start=1)},
        "tasks": [str(task) for task in tasks],
        "by": [place.get(row[-1], -1) for row in rows],
        "missing": _steps(_days(found, answered=False)),
        "suspended": _steps(_days(found, answered=True)),
        "corrected": [day.isoformat() for day in _corrected(key)],
        "flagged": [day.isoformat() for day in _flagged(key)],
    }


def find_gaps(stock: Stock, adjust: str, days: Sequence[date]) -> list[gaps.Gap]:
    """The gaps between these rising days, told apart by what was asked."""
    series = Series.objects.filter(**_key(stock, adjust)).values_list("covered", flat=True)
    return gaps.find_gaps(stock, days, series.first() or ())


def _key(stock: Stock, adjust: str) -> Key:
    return {"market": stock.market, "symbol": stock.code, "adjust": adjust}


def _rows(key: Key) -> list[tuple[Any, ...]]:
    """(day, values …, task), by rising day."""
    bars = DailyBar.objects.filter(**key).order_by("-day")
    return list(bars.values_list("day", *VALUES, "item__task_id")[:MOST_BARS])[::-1]


def _corrected(key: Key) -> list[date]:
    notes = Correction.objects.filter(**key).order_by("-day")
    return sorted(set(notes.values_list("day", flat=True)[:MOST_NOTES]))


def _flagged(key: Key) -> list[date]:
    notes = Finding.objects.filter(**key, kind="flagged", day__isnull=False).order_by("-day")
    return sorted({day for day in notes.values_list("day", flat=True)[:MOST_NOTES] if day})


def _days(found: Iterable[gaps.Gap], *, answered: bool) -> list[date]:
    days = sorted(day for gap in found if gap.answered == answered for day in gap.days)
    return days[-MOST_BARS:]


def _steps(days: Sequence[date]) -> list[int]:
    numbers = [date(1970, 1, 1).toordinal(), *(day.toordinal() for day in days)]
    return [after - before for before, after in pairwise(numbers)]


def _version(stock: Stock, adjust: str, with_tasks: bool) -> str:
    """Changes whenever the answer may: from aggregates over the series, without reading its bars."""
    key = _key(stock, adjust)
    parts = [
        DailyBar.objects.filter(**key).aggregate(Count("pk"), Max("pk"), Max("collected_at")),
        Correction.objects.filter(**key).aggregate(Max("pk")),
        Finding.objects.filter(**key).aggregate(Max("pk")),
        CalendarDay.objects.filter(market=stock.market).aggregate(Count("pk"), Max("pk"), open=OPEN),
        list(Series.objects.filter(**key).values("updated_at", "covered")),
        [stock.delisted_on, date.today(), with_tasks],
    ]
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'
