"""Reads: how each source's gate stands. `engine.gate` is what opens and shuts them."""

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
    """`OPEN`: requests pass at the rate. `PAUSED`: the breaker is open. `CAPPED`: the day is used up.
    `UNLIMITED`: nothing is counted."""

    OPEN = "open"
    PAUSED = "paused"
    CAPPED = "capped"
    UNLIMITED = "unlimited"


@dataclass(frozen=True)
class LimiterStatus:
    """A source's gate. `rate` in requests per second, 0: no limit, as for `daily_cap`.

    `paused_until` (with its offset), `seconds` until then, and `reason`, one sentence, are set while
    it is paused or capped. `refusals` counts those in a row.
    """

    source: str
    state: LimiterState
    rate: float = 0.0
    daily_cap: int = 0
    requests_today: int = 0
    refusals: int = 0
    paused_until: datetime | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def shut(self) -> bool:
        """No request passes now."""
        return self.paused_until is not None


def all_statuses() -> list[LimiterStatus]:
    """The gates of all sources that can be used here, by name, in one query."""
    conf = settings.COLLECTOR
    rows = {row.source: row for row in _rows()}
    names = sorted(registry.available(conf))
    return [_gate(name, registry.limits(name, conf), rows.get(name)) for name in names]


def status_of(source: str) -> LimiterStatus:
    """One source's gate: a query, or none for a source without limits. An unknown one is unlimited."""
    conf = settings.COLLECTOR
    limits = registry.limits(source, conf) if source in registry.available(conf) else Limits()
    row = None if limits.unlimited else _rows().filter(pk=source).first()
    return _gate(source, limits, row)


def _rows() -> Any:
    return SourceGate.objects.annotate(now=Now())


def _gate(source: str, limits: Limits, row: Any) -> LimiterStatus:
    """`row` is a SourceGate with the database's time as `now`, or None where no request was ever made."""
    if limits.unlimited:
        return LimiterStatus(source, LimiterState.UNLIMITED)
    told: dict[str, Any] = {"source": source, "rate": limits.rate, "daily_cap": limits.daily}
    if row is None:
        return LimiterStatus(state=LimiterState.OPEN, **told)
    today = local_day(row.now, limits)
    told |= {"requests_today": row.requests_today if row.day == today else 0, "refusals": row.refusals}
    if row.open_until and row.open_until > row.now:
        return LimiterStatus(
            state=LimiterState.PAUSED, **told, **_until(row.open_until, row.now), reason=row.reason
        )
    if limits.daily and told["requests_today"] >= limits.daily:
        reason = _("The day's %(count)d requests are used up.") % {"count": limits.daily}
        tomorrow = _until(_midnight_after(today, limits), row.now)
        return LimiterStatus(state=LimiterState.CAPPED, **told, **tomorrow, reason=reason)
    return LimiterStatus(state=LimiterState.OPEN, **told)


def _until(end: datetime, now: datetime) -> dict[str, Any]:
    return {"paused_until": end, "seconds": (end - now).total_seconds()}


def local_day(now: datetime, limits: Limits) -> date:
    """The day by which the source's cap counts."""
    return now.astimezone(ZoneInfo(limits.time_zone)).date()


def _midnight_after(day: date, limits: Limits) -> datetime:
    next_day = day + timedelta(days=1)
    return datetime.combine(next_day, datetime.min.time(), ZoneInfo(limits.time_zone)).astimezone(UTC)
