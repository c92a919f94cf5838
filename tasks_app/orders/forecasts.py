"""Forecasts of an order before it is started: whether today's allowance suffices, and when it could end.

All figures are bounds. The lower ones count the requests that are made in any case, the upper ones all that
may be needed; retries, further pages and log-ins come on top of either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _

from tasks_app import time_zones
from tasks_app.conf import Conf
from tasks_app.orders.estimates import Estimate, estimate
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle import quotas
from tasks_app.throttle.quotas import Budget, Quota

DAY = timedelta(days=1)
LATEST = 36_500  # days: a later end is no forecast


@dataclass(frozen=True)
class Work:
    """A number of requests, and of the permits that they take together."""

    requests: int = 0
    permits: int = 0


@dataclass(frozen=True)
class Forecast:
    """A forecast; None means unknown, since the source's stock list is not stored yet.

    The order needs from `least` to `most`. `fits_today` says whether that is left of the day's quota: None
    also where it suffices for the least only. `earliest_end` is when the least could have been made at full
    rate, `earliest_end_of_all` the most (aware); None where no limit tells, or after a century.
    """

    source: str
    estimate: Estimate
    budget: Budget
    least: Work | None = None
    most: Work | None = None
    fits_today: bool | None = None
    earliest_end: datetime | None = None
    earliest_end_of_all: datetime | None = None

    @property
    def quotas(self) -> Sequence[Quota]:
        """The source's quotas, the shortest window first."""
        return self.budget.quotas


def forecast(order: Order, conf: Conf) -> Forecast:
    """Returns the forecast of a resolved order. It sends nothing. Raises `OrderError`."""
    estimated, budget = estimate(order, conf), quotas.budget_of(order.source, conf)
    if estimated.requests is None:
        return Forecast(order.source, estimated, budget)
    least, most = _work(estimated, order.source, conf)
    day = budget.quota("day")
    fits: bool | None = True
    if day and most.permits > day.left:
        fits = False if least.permits > day.left else None
    ends = (earliest_end(each, budget) for each in (least, most))
    return Forecast(order.source, estimated, budget, least, most, fits, *ends)


def _work(estimated: Estimate, source: str, conf: Conf) -> tuple[Work, Work]:
    """Returns what is needed in any case, and at most."""
    traits = registry.traits(source, conf)
    stocks, requests = estimated.stocks or 0, estimated.requests or 0
    lists, adjustments = requests - stocks - estimated.adjustments, estimated.adjustments
    cheapest = min(map(traits.cost, ("bars", "batch", "day")))
    for_adjustments = adjustments * max(traits.cost("factors"), traits.cost("actions"))
    least = Work(estimated.needed, (estimated.needed - adjustments) * cheapest + adjustments)
    permits = stocks * traits.cost("bars") + lists * traits.cost("list") + for_adjustments
    by_day = estimated.by_day
    return least, Work(requests + by_day, permits + by_day * traits.cost("day"))


def earliest_end(work: Work, budget: Budget) -> datetime | None:
    """Returns when so many requests can have been made at the earliest, by rate, quotas and pause; aware.

    None without any of them, and for an end that is more than a century away.
    """
    limits = budget.limits
    quota = budget.quota("day")
    if not (limits.rate or limits.per_minute or limits.per_hour or quota or budget.paused_until):
        return None
    begin = max(budget.paused_until or budget.now, budget.now)
    if not work.requests:
        return budget.now
    pace = _Pace(limits, work.permits / work.requests)
    if quota is None:
        return begin + timedelta(seconds=pace.seconds_of(work.permits))
    zone = ZoneInfo(limits.time_zone)
    today = begin.astimezone(zone).date()
    left = quota.left if today == budget.now.astimezone(zone).date() else quota.most
    midnight = _midnight(today + DAY, zone)
    done = min(left, pace.permits_in((midnight - begin).total_seconds()))
    if work.permits <= done:
        return begin + timedelta(seconds=pace.seconds_of(work.permits))
    rest, a_day = work.permits - done, min(quota.most, pace.permits_in(DAY.total_seconds()))
    days = math.ceil(rest / a_day) - 1  # full ones after today
    if days > LATEST:
        return None
    last = _midnight(today + DAY * (1 + days), zone)
    return last + timedelta(seconds=pace.seconds_of(rest - days * a_day))


@dataclass(frozen=True)
class _Pace:
    """How fast a source's rate and its quotas per minute and hour let permits pass; `cost` of a request."""

    limits: Limits
    cost: float

    def seconds_of(self, permits: float) -> float:
        """Returns the seconds from the first to the last request, at least."""
        quotas = ((self.limits.per_minute, 60.0), (self.limits.per_hour, 3600.0))
        waits = [(math.ceil(permits) - 1) // most * seconds for most, seconds in quotas if most]
        if self.limits.rate:
            waits.append((permits / self.cost - 1) / self.limits.rate)
        return max([0.0, *waits])

    def permits_in(self, seconds: float) -> float:
        """Returns how many permits there are in so many seconds, at most."""
        quotas = ((self.limits.per_minute, 60.0), (self.limits.per_hour, 3600.0))
        counts = [most * (1 + seconds // length) for most, length in quotas if most]
        if self.limits.rate:
            counts.append((1 + seconds * self.limits.rate) * self.cost)
        return min([math.inf, *counts])


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)


def describe(forecast: Forecast) -> list[str]:
    """Returns the forecast in sentences, times in the site's zone; of a source without limits few or none."""
    sentences = _describe_comparison(forecast.estimate)
    if forecast.least and forecast.most and (day := forecast.budget.quota("day")):
        figures = {"least": forecast.least.permits, "most": forecast.most.permits, "left": day.left}
        text = _("It fits today's allowance: it takes at most %(most)s permits, and %(left)s are left.")
        if forecast.fits_today is None:
            text = _(
                "It may not fit today's allowance: it takes at least %(least)s and at most %(most)s permits,"
                " and %(left)s are left."
            )
        elif not forecast.fits_today:
            text = _(
                "It does not fit today's allowance: it takes at least %(least)s permits,"
                " and %(left)s are left."
            )
        sentences.append(text % {name: f"{number:,}" for name, number in figures.items()})
    first, last = forecast.earliest_end, forecast.earliest_end_of_all
    now = forecast.budget.now
    if first and forecast.least and forecast.least.requests:
        sentences.append(_("It ends at the earliest %(time)s.") % {"time": _describe_time(first, now)})
    if last and (not first or last - first >= timedelta(minutes=1)):
        text = _("If all requests are needed, it ends at the earliest %(time)s.")
        sentences.append(text % {"time": _describe_time(last, now)})
    return sentences


def _describe_comparison(estimated: Estimate) -> list[str]:
    """Returns what a comparison costs, which no other figure counts; none without a second source."""
    if not estimated.compared_with:
        return []
    names = {"source": estimated.compared_with}
    if estimated.compared is None:
        return [_("The requests to %(source)s for the comparison are not counted here.") % names]
    text = _("The comparison takes about %(count)s requests to %(source)s, which are not counted here.")
    return [text % {**names, "count": f"{estimated.compared:,}"}]


def _describe_time(at: datetime, now: datetime) -> str:
    """Returns a time to the minute, with the day's name if it is near."""
    local = timezone.localtime(at)
    days = (local.date() - timezone.localtime(now).date()).days
    names = {0: _("today"), 1: _("tomorrow"), 2: _("the day after tomorrow")}
    moment = time_zones.write(at)
    if days not in names:
        return moment
    return _("%(time)s (%(day)s)") % {"time": moment, "day": names[days]}
