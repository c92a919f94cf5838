"""Observes what incidents are about and nobody reports: plans, sources, queue, disks, calendars.

Every watchdog looks at it every few seconds. What is observed again changes nothing, see
`notices.reconcile`. The limits are those of `deploy/prometheus/alerts.yml`.
"""

import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from tasks_app import notices, reasons
from tasks_app.conf import MARKETS
from tasks_app.db import sqlite_priority
from tasks_app.db.functions import database_now
from tasks_app.lifecycle import selectors
from tasks_app.market import calendars
from tasks_app.models import CollectionPlan, Incident, Series, SourceGate
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.notices import Cause
from tasks_app.queue import dispatch
from tasks_app.sources import registry
from tasks_app.throttle import status
from tasks_app.throttle.status import LimiterState

INTERVAL = 15.0  # seconds between two looks
DAILY_INTERVAL = 3600.0  # for what changes by the day
PLAN_LATE, PLAN_WAITS = timedelta(minutes=10), timedelta(hours=4)
BREAKER_REST = timedelta(minutes=10)  # after its pause, a source that nobody asks still counts as paused
QUEUE_STUCK = 120.0  # seconds
DISK_ROUNDING = 100  # MB: a figure that moves all the time would be news all the time
CALENDAR_DAYS = 30
_next_check = _next_daily = 0.0  # by this process's own clock


def check() -> None:
    """Looks at everything that is due. Raises `django.db.Error` when the database is unavailable."""
    global _next_check, _next_daily
    if time.monotonic() < _next_check:
        return
    _next_check = time.monotonic() + INTERVAL
    check_plans()
    check_sources()
    check_queue()
    check_disks()
    if time.monotonic() >= _next_daily:
        _next_daily = time.monotonic() + DAILY_INTERVAL
        check_calendars()


def check_plans() -> None:
    """Reconciles the plans that are late or were refused."""
    now = database_now()
    plans = CollectionPlan.objects.filter(enabled=True).exclude(next_at__gt=now - PLAN_LATE, error_code="")
    found = list(plans.only("name", "market", "next_at", "waiting_since", "error_code", "error_message"))
    notices.reconcile(NoticeEvent.PLAN_LATE, _late_plans(found, now))
    refused = [_of_plan(plan, code=plan.error_code, reason=plan.error_message) for plan in found]
    notices.reconcile(NoticeEvent.PLAN_REFUSED, [cause for cause in refused if cause.params["code"]])


def _late_plans(plans: Iterable[CollectionPlan], now: datetime) -> Iterator[Cause]:
    running = selectors.get_running_task()
    for plan in plans:
        lateness = now - plan.next_at if plan.next_at else timedelta()
        if lateness < (PLAN_WAITS if plan.waiting_since else PLAN_LATE):
            continue
        facts: dict[str, Any] = {"due_at": plan.next_at.isoformat()} if plan.next_at else {}
        if plan.waiting_since:
            facts |= {"waiting": True, "task": str(running.pk) if running else ""}
            yield _of_plan(plan, **facts)
        else:
            yield _of_plan(plan, Severity.CRITICAL, **facts)


def _of_plan(plan: CollectionPlan, severity: Severity = Severity.WARNING, **facts: Any) -> Cause:
    params = {"plan": plan.name, "plan_id": plan.pk, **facts}
    return Cause(f"plan:{plan.pk}", severity, plan.market, params)


def check_sources() -> None:
    """Reconciles the sources that the breaker pauses, and those whose quota of the day is used up."""
    since = Now() - BREAKER_REST
    paused = SourceGate.objects.filter(open_until__gt=since, refusals__gt=0).defer("recent")
    notices.reconcile(NoticeEvent.SOURCE_PAUSED, [_paused(gate) for gate in paused])
    capped = [
        each
        for each in status.all_statuses()
        if each.state == LimiterState.CAPPED and _is_day_used(each.source, each.requests_today)
    ]
    notices.reconcile(
        NoticeEvent.QUOTA_USED,
        [
            Cause(each.source, params={"source": each.source, "until_at": each.paused_until.isoformat()})
            for each in capped
            if each.paused_until
        ],
    )


def _paused(gate: SourceGate) -> Cause:
    until = gate.open_until.isoformat(timespec="minutes") if gate.open_until else ""
    code = "unreachable" if reasons.is_unreachable(gate.reason) else gate.refusal_code
    facts = {"source": gate.source, "until_at": until, "code": code, "reason": gate.reason}
    return Cause(gate.source, params=facts)


def _is_day_used(source: str, requests_today: int) -> bool:
    daily = registry.limits(source, settings.COLLECTOR).daily
    return bool(daily) and requests_today + registry.traits(source, settings.COLLECTOR).cost("bars") > daily


def check_queue() -> None:
    """Reconciles whether jobs wait in vain. Whoever calls it is a live worker machine."""
    queue = dispatch.queue_status()
    stuck = []
    if queue.oldest_seconds > QUEUE_STUCK:
        seconds = int(queue.oldest_seconds // 60 * 60)
        stuck.append(Cause("queue", Severity.CRITICAL, params={"seconds": seconds}))
    notices.reconcile(NoticeEvent.NO_WORKER, stuck)


def check_disks() -> None:
    """Reconciles the folders of this machine in which data are written and little space is left."""
    host, lowest = socket.gethostname(), settings.COLLECTOR.disk_low_mb
    found, known = [], _known_folders(host)
    for folder in {*_folders(), *known}:
        try:
            free = shutil.disk_usage(folder).free // 1_000_000
        except OSError:  # it is gone, or not mounted here
            continue
        if free < (lowest * 1.1 if folder in known else lowest):
            facts = {"host": host, "folder": folder, "free_mb": free // DISK_ROUNDING * DISK_ROUNDING}
            found.append(Cause(_disk_key(host, folder), Severity.CRITICAL, params=facts))
    keys = {_disk_key(host, folder) for folder in known}
    notices.reconcile(NoticeEvent.DISK_LOW, found, among=keys)


def _folders() -> set[str]:
    database = sqlite_priority.database_file()
    folders = {str(Path(database).resolve().parent)} if database else set()
    if settings.COLLECTOR.export_dir:
        folders.add(settings.COLLECTOR.export_dir)
    return folders or {str(settings.BASE_DIR)}


def _known_folders(host: str) -> set[str]:
    """Returns the folders of this machine that were nearly full."""
    is_ours = Q(event=NoticeEvent.DISK_LOW, closed_at__isnull=True, params__host=host)
    return set(Incident.objects.filter(is_ours).values_list("params__folder", flat=True))


def _disk_key(host: str, folder: str) -> str:
    return f"{host}:{folder}"[-150:]


def check_calendars() -> None:
    """Reconciles the markets with data or plans whose published calendar ends within a month."""
    with_plans = CollectionPlan.objects.filter(enabled=True).values_list("market", flat=True)
    with_data = {market for market in MARKETS if Series.objects.filter(market=market).exists()}
    last = (database_now() + timedelta(days=CALENDAR_DAYS)).date()
    ending = []
    for market in sorted({*with_plans, *with_data} & {*MARKETS}):
        published = calendars.load_calendar(market).published
        if published.days and published.end <= last:
            ending.append(Cause(market, market=market, params={"end": published.end.isoformat()}))
    notices.reconcile(NoticeEvent.CALENDAR_ENDS, ending)
