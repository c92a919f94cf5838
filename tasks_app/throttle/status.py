"""Reads the state of each source's rate limiter, for pages and API. `throttle.limiter` changes it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Limits


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
    paused or capped. `refusals` counts consecutive ones.
    """

    source: str
    state: LimiterState
    rate: float = 0.0
    requests_today: int = 0
    refusals: int = 0
    paused_until: datetime | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def is_blocked(self) -> bool:
        """Whether no request passes now."""
        return self.paused_until is not None


def all_statuses() -> list[LimiterStatus]:
    """Returns the state of all sources that can be used here, by name, in one query."""
    conf = settings.COLLECTOR
    rows = {row.source: row for row in _rows()}
    names = sorted(registry.available(conf))
    return [_status(name, registry.limits(name, conf), rows.get(name)) for name in names]


def status_of(source: str) -> LimiterStatus:
    """Returns one source's state: one query, or none without limits. An unknown source is unlimited."""
    conf = settings.COLLECTOR
    limits = registry.limits(source, conf) if source in registry.available(conf) else Limits()
    row = None if limits.unlimited else _rows().filter(pk=source).first()
    return _status(source, limits, row)


def _rows() -> Any:
    return SourceGate.objects.annotate(now=Now())


def _status(source: str, limits: Limits, row: Any) -> LimiterStatus:
    """`row` is a SourceGate with the database's time as `now`; None before the first request."""
    if limits.unlimited:
        return LimiterStatus(source, LimiterState.UNLIMITED)
    fields: dict[str, Any] = {"source": source, "rate": limits.rate}
    if row is None:
        return LimiterStatus(state=LimiterState.OPEN, **fields)
    today = local_day(row.now, limits)
    fields |= {"requests_today": row.requests_today if row.day == today else 0, "refusals": row.refusals}
    if row.open_until and row.open_until > row.now:
        pause = _until(row.open_until, row.now)
        return LimiterStatus(state=LimiterState.PAUSED, **fields, **pause, reason=row.reason)
    if limits.daily and fields["requests_today"] >= limits.daily:
        reason = _("The day's %(count)d requests are used up.") % {"count": limits.daily}
        tomorrow = _until(_midnight_after(today, limits), row.now)
        return LimiterStatus(state=LimiterState.CAPPED, **fields, **tomorrow, reason=reason)
    return LimiterStatus(state=LimiterState.OPEN, **fields)


def _until(end: datetime, now: datetime) -> dict[str, Any]:
    return {"paused_until": end, "seconds": (end - now).total_seconds()}


def local_day(now: datetime, limits: Limits) -> date:
    """Returns the day to which the source's daily cap applies."""
    return now.astimezone(ZoneInfo(limits.time_zone)).date()


def _midnight_after(day: date, limits: Limits) -> datetime:
    next_day = day + timedelta(days=1)
    return datetime.combine(next_day, datetime.min.time(), ZoneInfo(limits.time_zone)).astimezone(UTC)
