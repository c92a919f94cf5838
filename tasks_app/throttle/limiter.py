"""A source's gate: one rate, one daily cap and one breaker for all workers and hosts, in one row.

A slice reserves the times of its next requests in one update, by the database's clock, and its
threads wait for them as *durations*, so that no host's clock matters. Times are spaced a little
wider than the rate allows (`SPARE`): a request may begin that much after its time and no later
(`Pass.until`), so the rate holds in every second (for slower rates: in every interval).
"""

import random
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Case, Expression, F, PositiveIntegerField, Q, Value, When
from django.db.models.functions import Coalesce, Greatest, TruncDate

from tasks_app.conf import Conf
from tasks_app.db.functions import Clock
from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Limits, Transient
from tasks_app.throttle import status

SPARE = 0.025
JITTER = 0.005
AHEAD_SECONDS = 1.0
CLOCK_GRAIN = 0.002  # SQLite tells milliseconds
# What may well be one stock's own trouble. Every other refusal speaks of the source as a whole.
DOUBTFUL = frozenset({"timeout", "empty_answer", "source_error"})


@dataclass(frozen=True)
class Permit:
    """The right to begin one request between `since` and `until`, both monotonic seconds of this host."""

    since: float = 0.0
    until: float = float("inf")
    probe: bool = False
    after_refusals: bool = False


@dataclass(frozen=True)
class Blocked:
    """No request may be reserved for `seconds`. `why` is empty when others are merely ahead in the queue."""

    seconds: float
    why: str = ""


class NoLimit:
    """The gate of a source that needs none: it costs nothing."""

    def reserve(self, count: int) -> list[Permit] | Blocked:
        """Passes for the next requests, `count` or fewer; or why there are none now."""
        return [Permit()] * count

    def look(self) -> Blocked | None:
        """Why no request would pass now, without reserving one; a queue is no reason."""
        return None

    def missed(self, passed: Permit) -> None:
        """The request was not made after all."""

    def answered(self, passed: Permit) -> None:
        """The source has answered, be it that it knows no such stock."""

    def refused(self, passed: Permit, error: Transient) -> bool:
        """The source has refused; True when that is the source's trouble and not the stock's."""
        return False


class SourceLimiter(NoLimit):
    """The gate of a source that somebody else serves, with its rate and daily cap if there are any."""

    def __init__(self, source: str, limits: Limits, conf: Conf) -> None:
        self.source, self.limits, self.conf = source, limits, conf
        self.row = SourceGate.objects.filter(pk=source)
        self.interval = 1 / limits.rate if limits.rate else 0.0
        self.step = timedelta(seconds=self.interval * (1 + SPARE))
        if not self.row.exists():
            SourceGate.objects.bulk_create([SourceGate(source=source)], ignore_conflicts=True)

    def reserve(self, count: int) -> list[Permit] | Blocked:
        with transaction.atomic():
            taken, probe = self._take_some(count)
            if not taken:
                return self.look() or Blocked(self._queue_seconds())
            asked = time.monotonic()
            row = self._read()
            heard = time.monotonic()
        given = Permit(probe=probe, after_refusals=row.refusals > 0)
        wait = (row.next_at - row.now - taken * self.step).total_seconds()
        return [self._pass(given, asked, heard, wait + n * self.step.total_seconds()) for n in range(taken)]

    def look(self) -> Blocked | None:
        gate = status.status_of(self.source)
        return Blocked(gate.seconds, gate.reason) if gate.shut else None

    def missed(self, passed: Permit) -> None:
        if passed.probe:
            self._pause(0.0)  # somebody else may probe

    def answered(self, passed: Permit) -> None:
        if passed.probe or passed.after_refusals:
            row = self.row if passed.probe else self.row.filter(open_until__isnull=True)
            row.update(refusals=0, open_until=None, reason="")

    def refused(self, passed: Permit, error: Transient) -> bool:
        with transaction.atomic():
            # While it is paused, only the probe counts: the others had begun before.
            row = self.row if passed.probe else self.row.filter(open_until__isnull=True)
            row.update(refusals=F("refusals") + 1, reason=str(error).replace("\0", "")[:500])
            if error.retry_after:
                self._delay(error.retry_after)
            paused = self._open_breaker(passed, error)
        return paused and error.code not in DOUBTFUL

    def _take_some(self, count: int) -> tuple[int, bool]:
        """How many requests were reserved, and whether it is one that probes a paused source."""
        many = min(count, max(1, int(AHEAD_SECONDS / self.interval))) if self.interval else count
        for number in dict.fromkeys((many, 1)):  # what is left of the day may be less than many
            if self._take(number, open_until__isnull=True):
                return number, False
        if self._take(1, open_until__lte=Clock()):
            self._pause(self.conf.fetch_timeout + AHEAD_SECONDS)  # nobody else, until it is answered
            return 1, True
        return 0, False

    def _take(self, count: int, **condition: Any) -> int:
        """Move the row on by `count` requests; 0 when the condition, the queue or the cap forbids it."""
        today = TruncDate(Clock(), tzinfo=ZoneInfo(self.limits.time_zone))
        used: Expression = Case(
            When(day=today, then=F("requests_today")), default=Value(0), output_field=PositiveIntegerField()
        )
        row = self.row.filter(**condition).annotate(used=used)
        row = row.filter(Q(next_at__isnull=True) | Q(next_at__lte=Clock() + timedelta(seconds=AHEAD_SECONDS)))
        if self.limits.daily:
            row = row.filter(used__lte=self.limits.daily - count)
        next_at = Greatest(Coalesce("next_at", Clock()), Clock()) + count * self.step
        return row.update(next_at=next_at, day=today, requests_today=used + count)

    def _read(self) -> Any:
        return self.row.annotate(now=Clock()).get()

    def _pass(self, given: Permit, asked: float, heard: float, wait: float) -> Permit:
        """The database's "now" lay between `asked` and `heard`, so nobody begins before its time."""
        late = SPARE * max(self.interval, 1.0) - CLOCK_GRAIN if self.interval else float("inf")
        jitter = random.uniform(0.0, JITTER * self.interval)  # noqa: S311
        unsure = min(heard - asked, late / 2)  # a slow line to the database must not void every pass
        return replace(given, since=heard + wait + jitter, until=heard + wait + late - unsure)

    def _queue_seconds(self) -> float:
        """Until the queue is short enough to stand in."""
        row = self._read()
        return max((row.next_at - row.now).total_seconds() - AHEAD_SECONDS, 0.0) if row.next_at else 0.0

    def _open_breaker(self, passed: Permit, error: Transient) -> bool:
        """Pause the source after too many refusals in a row; whether it is paused now."""
        row, conf = self._read(), self.conf
        if row.open_until and not passed.probe:
            return True
        asked = error.retry_after or 0.0
        surplus = row.refusals - conf.breaker_after
        if surplus < 0 and asked < conf.breaker_pause:
            return False
        pause = min(conf.breaker_pause * 2 ** min(max(surplus, 0), 20), conf.breaker_pause_max)
        self._pause(max(asked, pause) * random.uniform(1.0, 1.1))  # noqa: S311
        self.row.filter(refusals__lt=conf.breaker_after).update(refusals=conf.breaker_after)
        return True

    def _pause(self, seconds: float) -> None:
        self.row.update(open_until=Clock() + timedelta(seconds=seconds))

    def _delay(self, seconds: float) -> None:
        until = Clock() + timedelta(seconds=seconds)
        self.row.update(next_at=Greatest(Coalesce("next_at", until), until))


def limiter_for(source: str, conf: Conf) -> NoLimit:
    """The gate of a source."""
    limits = registry.limits(source, conf)
    return NoLimit() if limits.unlimited else SourceLimiter(source, limits, conf)
