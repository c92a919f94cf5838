"""What is used and left of each of a source's quotas now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models.functions import Now
from django.utils import timezone

from tasks_app.conf import Conf
from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle.status import quota_day, status_of_row
from tasks_app.throttle.windows import windows_of


@dataclass(frozen=True)
class Quota:
    """A quota of permits per minute, hour or day (`window`): how many of the `most` are `used`.

    `resets_at` is when none of them is used any more, aware: the next midnight in the zone of a daily quota,
    and of the others, whose windows slide, a minute or hour after the last request; None if none is used.
    """

    window: str
    most: int
    used: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        """The permits that are left, by which a lowered quota may be over: never below 0."""
        return max(self.most - self.used, 0)


@dataclass(frozen=True)
class Budget:
    """A source's limits, its quotas and until when no request passes (None: now), at the database's `now`."""

    limits: Limits
    quotas: Sequence[Quota]
    now: datetime
    paused_until: datetime | None = None

    def quota(self, window: str) -> Quota | None:
        """Returns the quota of this window; None if the source has none."""
        return next((each for each in self.quotas if each.window == window), None)


def budget_of(source: str, conf: Conf) -> Budget:
    """Returns what the source may be asked for now, in one query. An unknown source has no limits."""
    limits = registry.limits(source, conf) if source in registry.available(conf) else Limits()
    row = None if limits.unlimited else SourceGate.objects.annotate(now=Now()).filter(pk=source).first()
    now: datetime = row.now if row else timezone.now()
    quotas = []
    for window in windows_of(limits):
        permits = row.recent.get(window.name, []) if row else []
        used = window.used(permits, now.timestamp())
        at = datetime.fromtimestamp(permits[-1][0] + window.seconds, UTC) if used else None
        quotas.append(Quota(window.name, window.most, used, at))
    if limits.daily:
        today, zone = quota_day(now, limits), ZoneInfo(limits.time_zone)
        midnight = datetime.combine(today + timedelta(days=1), time.min, zone)
        used = row.requests_today if row and row.day == today else 0
        quotas.append(Quota("day", limits.daily, used, midnight))
    cost = registry.traits(source, conf).cost("bars")
    return Budget(limits, quotas, now, status_of_row(source, limits, row, cost).paused_until)
