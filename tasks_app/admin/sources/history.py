"""The history and today's quotas of a source, as its page shows them."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.admin.tasks.throughput_chart import HEIGHT, WIDTH, bar, round_up
from tasks_app.reasons import meaning
from tasks_app.throttle import history, quotas
from tasks_app.throttle.history import DayOfSource, Kind
from tasks_app.throttle.quotas import Quota
from tasks_app.throttle.status import quota_day

DAYS = 30
NEWEST = 7  # that are shown at once
GAP = 2  # between two days of the chart


@dataclass(frozen=True)
class HistoryChart:
    """Requests by day as paths in a box of 600 × 120: those with an answer below the others."""

    good: str
    bad: str
    top: str
    first: str
    last: str


def context_of(source: str) -> dict[str, Any]:
    """Returns what the template shows of a source's last days, with the zone in which they begin."""
    budget, days = quotas.budget_of(source, settings.COLLECTOR), history.days_of(source, DAYS)
    today = quota_day(budget.now, budget.limits)
    return {
        "newest": [_row(day) for day in days[:NEWEST]],
        "older": [_row(day) for day in days[NEWEST:]],
        "day_count": DAYS,
        "chart": _chart(days, today),
        "quotas": [_quota(quota, budget.limits.time_zone) for quota in budget.quotas],
        "zone": budget.limits.time_zone,
    }


def _chart(days: list[DayOfSource], today: date) -> HistoryChart | None:
    """Returns the chart of the last days; None without a request."""
    by_day = {day.day: day for day in days if day.requests}
    if not by_day:
        return None
    top, step = round_up(max(day.requests for day in by_day.values())), WIDTH / DAYS
    first, good, bad = today - timedelta(days=DAYS - 1), [], []
    for number in range(DAYS):
        if day := by_day.get(first + timedelta(days=number)):
            lost = day.kinds[Kind.REFUSED] + day.kinds[Kind.FAILED]
            height, above = HEIGHT * (day.requests - lost) / top, HEIGHT * lost / top
            good.append(bar(number * step, step - GAP, HEIGHT, height))
            bad.append(bar(number * step, step - GAP, HEIGHT - height, above))
    ends = first.isoformat(), today.isoformat()
    return HistoryChart("".join(good), "".join(bad), formatting.number(top), *ends)


def _row(day: DayOfSource) -> dict[str, Any]:
    permits = formatting.number(day.permits)
    if day.permits is not None and day.cap:
        permits = _("%(count)s of %(most)s") % {"count": permits, "most": formatting.number(day.cap)}
    return {
        "day": day.day.isoformat(),
        "permits": permits,
        "requests": formatting.number(day.requests),
        **{kind: formatting.number(count) for kind, count in day.kinds.items()},
        "codes": [
            {"code": code, "count": formatting.number(count), "meaning": meaning(code)}
            for code, count in sorted(day.codes.items(), key=lambda pair: -pair[1])
        ],
        "median": _at_most(day.median),
        "most": _at_most(day.most),
        "longest": _seconds(day.longest),
    }


def _at_most(seconds: float | None) -> str:
    return formatting.EMPTY if seconds is None else f"≤ {_seconds(seconds)}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return formatting.EMPTY
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _quota(quota: Quota, zone: str) -> dict[str, Any]:
    count = {"count": formatting.number(quota.used), "most": formatting.number(quota.most), "zone": zone}
    text = {
        "minute": _("%(count)s of %(most)s permits in the last minute"),
        "hour": _("%(count)s of %(most)s permits in the last hour"),
        "day": _("%(count)s of %(most)s permits today; resets 00:00 %(zone)s"),
    }[quota.window]
    return {"text": text % count, "percent": min(100 * quota.used // quota.most, 100)}
