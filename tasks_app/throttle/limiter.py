"""The rate limiter of a source: its rate, quotas and circuit breaker for all workers and hosts.

All of its state is in one row. A slice locks it and reserves the times of its next requests, by the
database's clock, and its threads wait for them as *durations*, so that no host's clock matters. Times are
spaced a little wider than the rate allows (`SPARE`): a request may begin that much after its time and no
later (`Permit.until`), so the rate holds in every second (for slower rates: in every interval), and the
quotas in every minute and hour (`throttle.windows`). A day's quota counts by the vendor's days.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Greatest

from tasks_app.conf import Conf
from tasks_app.db.functions import Clock
from tasks_app.models import SourceGate
from tasks_app.reasons import sanitize_message
from tasks_app.sources import registry
from tasks_app.sources.base import Limits, Permanent, SourceError, SourceRefusal, Transient
from tasks_app.sources.shared_process.handle import NO_TURN
from tasks_app.throttle import history, status
from tasks_app.throttle.windows import Permits, Window, spare_seconds, step_seconds, windows_of

JITTER = 0.005
AHEAD_SECONDS = 1.0
CLOCK_GRAIN = 0.002  # SQLite's clock has milliseconds
# Errors that may concern a single stock. Every other refusal concerns the source as a whole.
STOCK_ERRORS = frozenset({"timeout", "empty_answer", "history_cut", "source_error"})
# Errors that no retry helps, and that concern every stock of the source: for certain, or very likely.
CERTAIN_ERRORS = frozenset({"login_refused", "client_outdated"})
LIKELY_ERRORS = frozenset({"columns_changed", "units_changed"})
NO_PERMIT = "no_permit"  # the rest of a call's requests was not permitted
OWN_ERRORS = frozenset({NO_PERMIT, NO_TURN})  # not the source's answers, but ours
FEW_REFUSALS = 3  # identical ones in a row: a single one may be an accident, unless it is certain
MANY_FACTOR = 2  # of COLLECTOR_BREAKER_AFTER: where a few may be odd stocks that follow each other


@dataclass(frozen=True)
class Permit:
    """Permission to begin one request between `since` and `until`, both in this host's monotonic seconds."""

    since: float = 0.0
    until: float = float("inf")
    is_probe: bool = False
    after_refusals: bool = False


@dataclass(frozen=True)
class Blocked:
    """No request may be reserved for `seconds`. `reason` is empty when others are merely ahead in line.

    `refusal_code` is set when the source refuses every request, so that it is no use to wait.
    """

    seconds: float
    reason: str = ""
    refusal_code: str = ""


class NoLimit:
    """The limiter of a source that needs none. It costs nothing."""

    def reserve(self, count: int, cost: int = 1, after: Permit | None = None) -> list[Permit] | Blocked:
        """Returns permits for the next requests, `count` or fewer, or why there are none now.

        Each request counts `cost` in the quotas. `after` is the permit of the call that they belong to: those
        of a probe may be made although the source is paused.
        """
        return [Permit()] * count

    def blocked(self) -> Blocked | None:
        """Returns why no request is permitted now, without reserving one. A waiting line is not a reason."""
        return None

    def wait_ahead(self, cost: int = 1) -> Blocked | None:
        """Returns what `reserve` would return if it permitted no request; None if it would permit one."""
        return None

    def cancel(self, permit: Permit) -> None:
        """Records that the permitted request was not made."""

    def record_success(self, permit: Permit) -> None:
        """Records a response, "unknown stock" included."""

    def record_failure(self, permit: Permit, error: Transient) -> bool:
        """Records a refusal. Returns True when it concerns the whole source rather than the stock."""
        return False

    def record_refusal(self, permit: Permit, error: Permanent, has_delivered: Callable[[], bool]) -> bool:
        """Records an error that no retry will help. Returns True when the source refuses every request.

        A single one that says so itself (`SourceRefusal`) shows it, else identical errors in a row: a few
        that are likely to concern the source, many of any other, and the latter only if the source has not
        had bars for the task (`has_delivered`).
        """
        return False


class SourceLimiter(NoLimit):
    """The limiter of a source that a vendor serves, with its rate and quotas if there are any."""

    def __init__(self, source: str, limits: Limits, conf: Conf, holder: str = "") -> None:
        """`holder` may send requests while it holds the source, see `throttle.holds`."""
        self.source, self.limits, self.conf, self.holder = source, limits, conf, holder
        self.row = SourceGate.objects.filter(pk=source)
        self.interval = 1 / limits.rate if limits.rate else 0.0
        self.step = timedelta(seconds=step_seconds(limits))
        self.spare = spare_seconds(limits)
        self.windows = windows_of(limits)
        self._in_line_since: float | None = None  # since when a request waits that could not be reserved
        if not self.row.exists():
            SourceGate.objects.bulk_create([SourceGate(source=source)], ignore_conflicts=True)

    def reserve(self, count: int, cost: int = 1, after: Permit | None = None) -> list[Permit] | Blocked:
        if cost > self.limits.dearest:
            raise ValueError(
                f"a request of {self.source} costs at most {self.limits.dearest}, as it declares"
            )
        with transaction.atomic():
            sent = time.monotonic()
            row = self._lock()
            received = time.monotonic()
            if status.is_held(row, self.holder):
                return self._why_blocked(row, cost)
            continues_probe = bool(after and after.is_probe)
            if row.open_until and row.open_until > row.now and not continues_probe:
                return self._why_blocked(row, cost)
            is_probe = continues_probe or row.open_until is not None
            times = self._reserve_in_row(row, 1 if is_probe else count, cost)
            if not times:
                return self._why_blocked(row, cost)
            if is_probe:  # for all others, until the probe has ended
                self._pause(self.conf.fetch_timeout + AHEAD_SECONDS)
            if is_probe and not continues_probe:
                self.row.update(refuses_all=False)
        # The database's "now" lay between `sent` and `received`, so no request begins before its time.
        spare = self.spare - CLOCK_GRAIN
        spare -= min(received - sent, spare / 2)  # a slow database connection must not void every permit
        permits = []
        for at in times:
            begin = received + (at - row.now).total_seconds()
            jitter = random.uniform(0.0, JITTER * self.interval)  # noqa: S311
            permits.append(Permit(begin + jitter, begin + spare, is_probe, after_refusals=row.refusals > 0))
        return permits

    def blocked(self) -> Blocked | None:
        current = status.status_of(self.source)
        return Blocked(current.seconds, current.reason, current.refusal_code) if current.is_blocked else None

    def wait_ahead(self, cost: int = 1) -> Blocked | None:
        blocked = self._why_blocked(self._read(), cost)
        return blocked if blocked.reason or blocked.seconds else None

    def cancel(self, permit: Permit) -> None:
        if permit.is_probe:
            self._pause(0.0)  # another worker may probe

    def record_success(self, permit: Permit) -> None:
        if permit.is_probe or permit.after_refusals:
            self._counting_row(permit).update(
                refusals=0, open_until=None, reason="", refusal_code="", refuses_all=False
            )

    def record_failure(self, permit: Permit, error: Transient) -> bool:
        if error.code in OWN_ERRORS:
            self.cancel(permit)
            return True
        with transaction.atomic():
            self._count_refusal(permit, error, same=Q(refusal_code=""), refusal_code="")
            if error.retry_after:
                until = Clock() + timedelta(seconds=error.retry_after)
                self.row.update(next_at=Greatest(Coalesce("next_at", until), until))
            is_paused = self._open_breaker(permit, error)
        return is_paused and error.code not in STOCK_ERRORS

    def record_refusal(self, permit: Permit, error: Permanent, has_delivered: Callable[[], bool]) -> bool:
        code, is_unclear = error.code[:40], not (_is_certain(error) or error.code in LIKELY_ERRORS)
        same = Q(refusal_code=code)
        if is_unclear:  # a sentence that names its stock differs from stock to stock
            same &= Q(reason=sanitize_message(str(error)))
            if permit.is_probe and (has_delivered() or not self.row.filter(same).exists()):
                self.record_success(permit)  # the source has answered
                return False
        with transaction.atomic():
            self._count_refusal(permit, error, same=same, refusal_code=code)
            row = self._read()
            if row.open_until and not permit.is_probe:
                return bool(row.refuses_all)
            surplus = -1.0
            if _is_certain(error) or row.refusals >= FEW_REFUSALS:
                surplus = row.refusals - self._refusals_needed(error, has_delivered)
            if surplus < 0 and not permit.is_probe:
                return False
            self.row.update(refuses_all=surplus >= 0)
            self._pause(self._pause_seconds(surplus))
        return True

    def _refusals_needed(self, error: Permanent, has_delivered: Callable[[], bool]) -> float:
        """Returns how many identical refusals in a row show that the source refuses every request."""
        many = max(FEW_REFUSALS, MANY_FACTOR * self.conf.breaker_after)
        if _is_certain(error):
            return 1
        if error.code in LIKELY_ERRORS:
            return many if has_delivered() else FEW_REFUSALS
        return math.inf if has_delivered() else many

    def _counting_row(self, permit: Permit) -> QuerySet[SourceGate]:
        """While the source is paused only the probe counts: other requests had begun before."""
        return self.row if permit.is_probe else self.row.filter(open_until__isnull=True)

    def _count_refusal(self, permit: Permit, error: SourceError, *, same: Q, refusal_code: str) -> None:
        """Counts a refusal with the ones before it if they are the `same`, else anew."""
        refusals = Case(When(same, then=F("refusals") + 1), default=Value(1))
        self._counting_row(permit).update(
            refusals=refusals, reason=sanitize_message(str(error)), refusal_code=refusal_code
        )

    def _reserve_in_row(self, row: Any, count: int, cost: int) -> list[datetime]:
        """Reserves up to `count` requests in the locked row. Returns when they begin.

        The first begins at most a second ahead, the others within a second after it.
        """
        today = status.quota_day(row.now, self.limits)
        used = row.requests_today if row.day == today else 0
        recent: dict[str, Permits] = {window.name: row.recent.get(window.name, []) for window in self.windows}
        times: list[datetime] = []
        next_at = max(row.next_at or row.now, row.now)
        while len(times) < count and not (self.limits.daily and used + cost > self.limits.daily):
            begin = max(next_at, *(_opening(window, recent, cost) for window in self.windows), row.now)
            if begin > (times[0] if times else row.now) + timedelta(seconds=AHEAD_SECONDS):
                break
            for window in self.windows:
                recent[window.name] = window.add(recent[window.name], begin.timestamp(), cost)
            times.append(begin)
            next_at, used = begin + self.step, used + cost
        if times:
            if row.day and row.day != today:
                history.keep_day(row)
            counted = {"day": today, "requests_today": used, "daily_cap": self.limits.daily}
            self.row.update(
                next_at=next_at,
                recent=recent,
                permits=F("permits") + cost * len(times),
                waited=F("waited") + self._waited(row.now, times),
                **counted,
            )
        return times

    def _waited(self, now: datetime, times: list[datetime]) -> float:
        """Returns the seconds from when the requests were first asked for until they begin, in sum."""
        in_line = 0.0 if self._in_line_since is None else time.monotonic() - self._in_line_since
        self._in_line_since = None
        return sum(in_line + (at - now).total_seconds() for at in times)

    def _lock(self) -> Any:
        return self.row.select_for_update(no_key=True).annotate(now=Clock()).get()

    def _read(self) -> Any:
        return self.row.annotate(now=Clock()).get()

    def _why_blocked(self, row: Any, cost: int) -> Blocked:
        """Returns why the row permits no request now, and for how long: the line is too long to join."""
        current = status.status_of_row(self.source, self.limits, row, cost, self.holder)
        if current.is_blocked:
            self._in_line_since = None  # a pause is no wait for a turn
            return Blocked(current.seconds, current.reason, current.refusal_code)
        if self._in_line_since is None:
            self._in_line_since = time.monotonic()
        openings = (_opening(window, row.recent, cost) for window in self.windows)
        begin = max(row.next_at or row.now, *openings, row.now)
        return Blocked(max((begin - row.now).total_seconds() - AHEAD_SECONDS, 0.0))

    def _open_breaker(self, permit: Permit, error: Transient) -> bool:
        """Pauses the source after too many consecutive refusals. Returns whether it is paused now."""
        row, conf = self._read(), self.conf
        if row.open_until and not permit.is_probe:
            return True
        requested = error.retry_after or 0.0
        surplus = row.refusals - conf.breaker_after
        if surplus < 0 and requested < conf.breaker_pause and not permit.is_probe:
            return False
        self._pause(self._pause_seconds(surplus, requested))
        self.row.filter(refusals__lt=conf.breaker_after).update(refusals=conf.breaker_after)
        return True

    def _pause_seconds(self, surplus: float, requested: float = 0.0) -> float:
        """Returns the pause, with jitter: it doubles with each refusal beyond the number that opens it."""
        pause = min(self.conf.breaker_pause * 2 ** min(max(surplus, 0), 20), self.conf.breaker_pause_max)
        return max(requested, pause) * random.uniform(1.0, 1.1)  # noqa: S311

    def _pause(self, seconds: float) -> None:
        self.row.update(open_until=Clock() + timedelta(seconds=seconds))


def _opening(window: Window, recent: Mapping[str, Permits], cost: int) -> datetime:
    """Returns from when on a window has room for a request; long ago if it has now."""
    return datetime.fromtimestamp(window.opens_at(recent.get(window.name, []), cost), UTC)


def _is_certain(error: Permanent) -> bool:
    """Returns whether the error says itself that it concerns every stock."""
    return isinstance(error, SourceRefusal) or error.code in CERTAIN_ERRORS


def let_probe(sources: Iterable[str]) -> None:
    """Ends the pauses of sources that refuse every request, so that a new task asks each of them once.

    What was refused may have been mended: a token set, the client updated.
    """
    SourceGate.objects.filter(pk__in=list(sources), refuses_all=True).update(open_until=Clock())


def limiter_for(source: str, conf: Conf, holder: str = "") -> NoLimit:
    """Returns the limiter of a source by its name, for the one that holds it or for everybody."""
    limits = registry.limits(source, conf)
    return NoLimit() if limits.unlimited else SourceLimiter(source, limits, conf, holder)
