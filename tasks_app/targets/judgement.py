"""Judges the sessions of targets. Every host's watchdog calls it, and each session is judged by one of them.

A session is met when it was complete by its deadline, late when it was complete before the next session's
deadline, missed otherwise. What counts is when it was complete, not when a watchdog came to look.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.db.functions import database_now
from tasks_app.market import calendars
from tasks_app.market.calendars import Calendar
from tasks_app.models import DataImport, Series, Target, TargetSession
from tasks_app.models.targets import TargetState
from tasks_app.quotes.market_days import MarketListing
from tasks_app.targets import contents, deadlines, incidents

logger = logging.getLogger(__name__)
BUDGET = 1.0  # seconds of a call, about
SOON = timedelta(seconds=15)  # between two looks at a session of whose market something was stored
SELDOM = timedelta(minutes=10)  # between two looks at any other that is due: stocks may have been listed
OPEN = Q(complete_at__isnull=True)

ListingOf = Callable[[str, str], MarketListing]


def judge(now: datetime | None = None) -> None:
    """Judges what can be judged at `now` (aware; default: the database's time), within about a second.

    Nothing while an import is unfinished: its series name answered days before their bars are there.
    Raises `django.db.Error` when the database is unavailable.
    """
    TargetSession.objects.filter(state=TargetState.PENDING, target__enabled=False).delete()
    now = now or database_now()
    targets = list(Target.objects.filter(enabled=True).annotate(last=Max("sessions__session")))
    if targets:
        _judge_targets(targets, now)
    incidents.report(now)


def _judge_targets(targets: Sequence[Any], now: datetime) -> None:
    calendar_of = lru_cache(calendars.load_calendar)  # read once in this call
    for target in targets:
        _begin_sessions(target, target.last, calendar_of(target.market), now)
    if DataImport.objects.filter(ended_at__isnull=True).exists():
        return
    listing_of, until = lru_cache(MarketListing), time.monotonic() + BUDGET
    for row in _open_sessions(targets, now):
        _judge_session(row, calendar_of(row.target.market), listing_of, now)
        if time.monotonic() >= until:
            break


def _begin_sessions(target: Target, last: date | None, calendar: Calendar, now: datetime) -> None:
    """Adds the sessions that have begun since the last one; a holiday that became known is not judged."""
    new = [
        TargetSession(
            target=target,
            session=day,
            deadline=deadlines.deadline_of(target, day),
            minimum=target.minimum,
        )
        for day in deadlines.begun_sessions(target, calendar, now)
        if last is None or day > last
    ]
    if new:
        TargetSession.objects.bulk_create(new, ignore_conflicts=True)
    pending = TargetSession.objects.filter(target=target, state=TargetState.PENDING)
    for row in pending:
        if calendar.is_session(row.session) is False:
            _pending(row).delete()
        else:
            _follow_target(row, target, now)


def _follow_target(row: TargetSession, target: Target, now: datetime) -> None:
    """Gives a session the target's changed deadline and minimum, while both deadlines are still ahead."""
    deadline = deadlines.deadline_of(target, row.session)
    is_changed = (deadline, target.minimum) != (row.deadline, row.minimum)
    if is_changed and now < min(deadline, row.deadline):
        _pending(row).update(deadline=deadline, minimum=target.minimum, looked_at=None)


def _open_sessions(targets: Sequence[Target], now: datetime) -> list[TargetSession]:
    """Returns what is to be judged, and missed sessions that may still become complete; newest first."""
    recent = Q(state=TargetState.PENDING) | Q(session__gte=now.date() - deadlines.LOOK_BACK)
    rows = TargetSession.objects.filter(OPEN, recent, target__in=targets)
    return list(rows.select_related("target").order_by("-session", "pk"))


def _judge_session(row: TargetSession, calendar: Calendar, listing_of: ListingOf, now: datetime) -> None:
    target, day = row.target, row.session
    if now < deadlines.final_at(target, day):
        return
    following = deadlines.next_deadline(target, calendar, day)
    found: dict[str, Any] | None = None
    if sealing := contents.sealing_of(target, day):
        found = {"bars": sealing.bars, "reasons": sealing.reasons, "missing": 0}
        complete_at = sealing.sealed_at
    elif _is_to_be_looked_at(row, following, now):
        stored = contents.read_contents(target, listing_of(target.market, target.kind), day, row.minimum)
        found = {"bars": stored.bars, "reasons": len(stored.reasons), "missing": len(stored.missing)}
        complete_at = stored.complete_at
    if found is not None:
        _record(row, complete_at, following, now, found)


def _is_to_be_looked_at(row: TargetSession, following: datetime | None, now: datetime) -> bool:
    """Whether something may have changed since the last look, or a deadline has passed."""
    if row.looked_at is None:
        return True
    if row.state == TargetState.PENDING:
        is_missed = following is not None and following <= now
        if is_missed or row.looked_at < row.deadline <= now or row.looked_at <= now - SELDOM:
            return True
    target = row.target
    series = Series.objects.filter(market=target.market, adjust=target.adjust)
    return row.looked_at <= now - SOON and series.filter(updated_at__gte=row.looked_at).exists()


def _record(
    row: TargetSession,
    complete_at: datetime | None,
    following: datetime | None,
    now: datetime,
    found: dict[str, Any],
) -> None:
    """Writes the look and the judgement, unless another host was first."""
    state = _judgement(row.deadline, complete_at, following, now)
    values = {**found, "looked_at": now, "complete_at": complete_at}
    if row.state != TargetState.PENDING:  # it was missed, and stays so
        TargetSession.objects.filter(OPEN, pk=row.pk).update(**values)
        return
    judged = {} if state == TargetState.PENDING else {"state": state, "judged_at": Now()}
    unchanged = _pending(row).filter(deadline=row.deadline, looked_at=row.looked_at)
    with transaction.atomic():
        if not unchanged.update(**values, **judged) or not judged:
            return
        row.state, row.missing = state, found["missing"]
        if state != TargetState.MET:
            ends = filter(None, (complete_at, following))
            incidents.record_past(row, min(ends))
    logger.info("session %s of the target %s: %s", row.session, row.target.name, state)


def _judgement(
    deadline: datetime, complete_at: datetime | None, following: datetime | None, now: datetime
) -> TargetState:
    end = following or datetime.max.replace(tzinfo=now.tzinfo)
    if complete_at is None:
        return TargetState.PENDING if now < end else TargetState.MISSED
    if complete_at <= deadline:
        return TargetState.MET
    return TargetState.LATE if complete_at < end else TargetState.MISSED


def _pending(row: TargetSession) -> QuerySet[TargetSession]:
    return TargetSession.objects.filter(pk=row.pk, state=TargetState.PENDING)
