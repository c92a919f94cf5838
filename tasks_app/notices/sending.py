"""Sends what is due to a channel: one worker at a time, by the database's clock, tried again with back-off.

A job is queued for one generation of its channel, and its beginning is a conditional update: of two copies of
a job one sends. An attempt is counted before it is made. A message is sent twice only if a worker dies
between the service's answer and its commit.
"""

import logging
import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from tasks_app.db.functions import database_now
from tasks_app.models import NoticeChannel, NoticeDelivery
from tasks_app.models.notices import DeliveryKind, DeliveryState, Severity
from tasks_app.notices import messages, transport
from tasks_app.queue import dispatch

QUEUE_SECONDS = 60.0  # within which a worker takes a job; otherwise the watchdog sends by itself
SEND_SECONDS = 90.0  # longer than any attempt takes
BACKOFF, BACKOFF_MAX = 15.0, 3600.0  # seconds
MAX_ATTEMPTS = 20  # about twelve hours
MAX_INCIDENTS = 10  # per message: services limit their length
PENDING = DeliveryState.PENDING
logger = logging.getLogger(__name__)


def supply(*, is_queued: bool = True) -> list[tuple[int, int]]:
    """Queues a job for each channel that has something due and no job.

    Returns the channels, with their new generations, whose last job no worker took in time: the caller is to
    send to them itself. So it is to all of them if nothing `is_queued`, because no worker is alive. Without
    anything due it costs one query.
    """
    due = NoticeDelivery.objects.filter(state=PENDING, next_at__lte=Now())
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
    untaken = []
    for channel in NoticeChannel.objects.filter(free, enabled=True, pk__in=due.values("channel_id")):
        with transaction.atomic():
            same = NoticeChannel.objects.filter(free, pk=channel.pk, generation=channel.generation)
            lease = Now() + timedelta(seconds=QUEUE_SECONDS)
            if not same.update(generation=F("generation") + 1, begun=False, lease_until=lease):
                continue
            if not is_queued or (channel.lease_until and not channel.begun):
                untaken.append((channel.pk, channel.generation + 1))
            else:
                dispatch.queue_notices(channel.pk, channel.generation + 1)
    return untaken


def send_due(channel_id: int, generation: int) -> bool:
    """Sends what is due as one message. Returns whether an attempt was made; never twice per generation."""
    queued = NoticeChannel.objects.filter(pk=channel_id, generation=generation, begun=False, enabled=True)
    if not queued.update(begun=True, lease_until=Now() + timedelta(seconds=SEND_SECONDS)):
        return False
    channel = NoticeChannel.objects.get(pk=channel_id)
    if deliveries := _take(channel):
        error = transport.send(channel.url, messages.compose(channel, deliveries))
        _record(channel, deliveries, error)
    _own(channel).update(lease_until=None)
    return bool(deliveries)


def _take(channel: NoticeChannel) -> list[NoticeDelivery]:
    """Returns what is to be told now, the newest of each incident, with the attempt counted.

    What waits only for others goes with them.
    """
    now = database_now()
    soon = Now() + timedelta(seconds=channel.grouping)
    is_due = Q(next_at__lte=Now()) | Q(attempts=0, next_at__lte=soon)
    due = NoticeDelivery.objects.filter(is_due, channel=channel, state=PENDING)
    with transaction.atomic():
        if not _own(channel).update(begun=True):
            return []
        _skip_needless(channel)
        if quiet_end := end_of_quiet(channel, now):
            held = Q() if not channel.critical_always else ~Q(incident__severity=Severity.CRITICAL)
            waiting = due.exclude(kind=DeliveryKind.TEST).filter(held)
            NoticeDelivery.objects.filter(pk__in=list(waiting.values_list("pk", flat=True))).update(
                next_at=quiet_end
            )
        if due.filter(kind=DeliveryKind.TEST).exists():  # somebody waits to see it, by itself
            due = due.filter(kind=DeliveryKind.TEST)
        taken = list(due.select_related("incident").order_by("pk")[:MAX_INCIDENTS])
        for delivery in taken:
            delivery.attempts += 1
            delivery.next_at = now + timedelta(seconds=_pause(delivery.attempts))
        NoticeDelivery.objects.bulk_update(taken, ["attempts", "next_at"])
    return taken


def _skip_needless(channel: NoticeChannel) -> None:
    """Skips what a later delivery says as well, and the end of what nobody was told of."""
    pending = NoticeDelivery.objects.filter(channel=channel, state=PENDING, incident__isnull=False)
    rows = list(pending.values_list("pk", "incident_id", "revision", "kind"))
    newest = {incident: revision for _, incident, revision, _ in sorted(rows, key=lambda row: row[2])}
    sent = NoticeDelivery.objects.filter(channel=channel, state=DeliveryState.SENT, incident__in=list(newest))
    told = set(sent.values_list("incident_id", flat=True))
    needless = [
        pk
        for pk, incident, revision, kind in rows
        if revision < newest[incident] or (kind == DeliveryKind.CLOSED and incident not in told)
    ]
    NoticeDelivery.objects.filter(pk__in=needless).update(state=DeliveryState.SKIPPED, ended_at=Now())


def _record(channel: NoticeChannel, deliveries: list[NoticeDelivery], error: str) -> None:
    """Records how the attempt ended. A test is not tried again: somebody waits for its result."""
    rows = NoticeDelivery.objects.filter(pk__in=[each.pk for each in deliveries], state=PENDING)
    with transaction.atomic():
        if not error:
            rows.update(state=DeliveryState.SENT, ended_at=Now(), error="")
            _row(channel).update(failures=0, failing_since=None, error="", last_sent_at=Now())
            return
        logger.warning("notices to %s failed: %s", channel.name, error)
        rows.update(error=error)
        rows.filter(Q(attempts__gte=MAX_ATTEMPTS) | Q(kind=DeliveryKind.TEST)).update(
            state=DeliveryState.FAILED, ended_at=Now()
        )
        since = Coalesce("failing_since", Now())
        _row(channel).update(failures=F("failures") + 1, failing_since=since, error=error)


def end_of_quiet(channel: NoticeChannel, now: datetime) -> datetime | None:
    """Returns when the channel's quiet hours end, aware; None outside them.

    They are hours of the day in the channel's time zone, and may cross midnight.
    """
    begin, end = channel.quiet_from, channel.quiet_until
    if begin is None or end is None or begin == end:
        return None
    zone = ZoneInfo(channel.time_zone)
    local = now.astimezone(zone)
    clock = local.time()
    is_quiet = begin <= clock < end if begin < end else (clock >= begin or clock < end)
    if not is_quiet:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return _at(day, end, zone)


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _pause(attempts: int) -> float:
    """Returns the seconds until the next attempt if this one fails, with jitter."""
    pause = min(BACKOFF * 2.0 ** (attempts - 1), BACKOFF_MAX)
    return pause * random.uniform(1.0, 1.2)  # noqa: S311


def _row(channel: NoticeChannel) -> QuerySet[NoticeChannel]:
    return NoticeChannel.objects.filter(pk=channel.pk)


def _own(channel: NoticeChannel) -> QuerySet[NoticeChannel]:
    return _row(channel).filter(generation=channel.generation)
