"""Reads the state of each source's rate limiter, for pages and API. `throttle.limiter` changes it."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_app import reasons
from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle.windows import windows_of


class LimiterState(StrEnum):
    """`OPEN`: requests pass at the rate. `PAUSED`: the circuit breaker is open. `CAPPED`: the day's requests
    are used up. `UNLIMITED`: nothing is counted."""

    OPEN = "open"
    PAUSED = "paused"
    CAPPED = "capped"
    UNLIMITED = "unlimited"


@dataclass(frozen=True)
class LimiterStatus:
    """The state of a source's limiter. `rate` is in requests per second; 0 means no limit.

    `paused_until` (aware), the `seconds` until then and `reason`, one sentence, are set while the source is
    paused or capped. `refusals` counts consecutive ones. `refusal_code` is set while a source is paused
    because it refuses every request.
    """

    source: str
    state: LimiterState
    rate: float = 0.0
    requests_today: int = 0
    refusals: int = 0
    paused_until: datetime | None = None
    seconds: float = 0.0
    reason: str = ""
    refusal_code: str = ""
    was_asked: bool = True  # whether any request was ever made; unknown, and true, where nothing is counted

    @property
    def is_blocked(self) -> bool:
        """Whether no request passes now."""
        return self.paused_until is not None


def all_statuses() -> list[LimiterStatus]:
    """Returns the state of all sources that can be used here, by name, in one query."""
    conf = settings.COLLECTOR
    rows = {row.source: row for row in SourceGate.objects.annotate(now=Now())}
    names = sorted(registry.available(conf))
    return [
        status_of_row(name, registry.limits(name, conf), rows.get(name), _cost_of_bars(name))
        for name in names
    ]


def status_of(source: str) -> LimiterStatus:
    """Returns one source's state: one query, or none without limits. An unknown source is unlimited."""
    conf = settings.COLLECTOR
    limits = registry.limits(source, conf) if source in registry.available(conf) else Limits()
    row = None if limits.unlimited else SourceGate.objects.annotate(now=Now()).filter(pk=source).first()
    return status_of_row(source, limits, row, _cost_of_bars(source))


def _cost_of_bars(source: str) -> int:
    """Returns the permits of a request for a stock, which is what a task waits for in the end."""
    return registry.traits(source, settings.COLLECTOR).cost("bars")


def quota_day(now: datetime, limits: Limits) -> date:
    """Returns the day to which a time belongs in the daily quota of a source."""
    return now.astimezone(ZoneInfo(limits.time_zone)).date()


def is_held(row: Any, holder: str = "") -> bool:
    """Returns whether another one than `holder` holds the source: see `throttle.holds`."""
    return bool(row.held_until and row.held_until > row.now and row.held_by != holder)


def status_of_row(source: str, limits: Limits, row: Any, cost: int = 1, holder: str = "") -> LimiterStatus:
    """Returns a source's state for requests that take `cost` permits.

    `row` is a SourceGate with the database's time as `now`; None before the first request.
    """
    if limits.unlimited:
        return LimiterStatus(source, LimiterState.UNLIMITED)
    if row is None:
        return LimiterStatus(source, LimiterState.OPEN, limits.rate, was_asked=False)
    today = quota_day(row.now, limits)
    requests_today = row.requests_today if row.day == today else 0
    current = LimiterStatus(source, LimiterState.OPEN, limits.rate, requests_today, row.refusals)
    if is_held(row, holder):
        state, until = LimiterState.PAUSED, row.held_until
        reason = _("The source is being checked, and its vendor allows one session at a time.")
    elif row.open_until and row.open_until > row.now:
        state, until, reason = LimiterState.PAUSED, row.open_until, reasons.translated_unreachable(row.reason)
        current = replace(current, refusal_code=row.refusal_code if row.refuses_all else "")
    elif limits.daily and requests_today + cost > limits.daily:
        midnight = datetime.combine(today + timedelta(days=1), time.min, ZoneInfo(limits.time_zone))
        state, until = LimiterState.CAPPED, midnight.astimezone(UTC)
        reason = _("The day's %(count)d requests are used up.")
        if requests_today < limits.daily:
            reason = _("What is left of the day's %(count)d requests does not suffice for the next one.")
        reason %= {"count": limits.daily}
    elif (opening := _hour_opening(row, limits, cost)) and opening[0] > row.now:
        state, (until, has_rest) = LimiterState.CAPPED, opening
        reason = _("The hour's %(count)d requests are used up.")
        if has_rest:
            reason = _("What is left of the hour's %(count)d requests does not suffice for the next one.")
        reason %= {"count": limits.per_hour}
    else:
        return current
    seconds = (until - row.now).total_seconds()
    return replace(current, state=state, paused_until=until, seconds=seconds, reason=reason)


def _hour_opening(row: Any, limits: Limits, cost: int) -> tuple[datetime, bool] | None:
    """Returns when the hour's quota has room again, and whether some of it is left; None without one.

    A minute's is waited for like a slow rate.
    """
    if not limits.per_hour:
        return None
    window, permits = windows_of(limits)[-1], row.recent.get("hour", [])
    has_rest = window.used(permits, row.now.timestamp()) < window.most
    return datetime.fromtimestamp(window.opens_at(permits, cost), UTC), has_rest
