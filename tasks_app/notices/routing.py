"""Decides which channels are told of what is new about an incident. Every host's watchdog may call it."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_app.models import Incident, NoticeChannel, NoticeDelivery
from tasks_app.models.notices import DeliveryKind, DeliveryState, NoticeEvent

BATCH = 50  # incidents per round
# Seconds that an incident must last before anybody is told: what passes by itself sooner is no news.
HOLDS = {NoticeEvent.SOURCE_PAUSED: 300.0, NoticeEvent.NO_WORKER: 60.0}
TOLD = (DeliveryState.PENDING, DeliveryState.SENT)


def route() -> None:
    """Makes a delivery to each channel that is to be told, for every incident with something new.

    Without any it costs one query. Raises `django.db.Error` when the database is unavailable.
    """
    news = Incident.objects.filter(routed__lt=F("revision")).annotate(now=Now()).order_by("pk")
    for incident in news[:BATCH]:
        with transaction.atomic():
            same = Incident.objects.filter(pk=incident.pk, revision=incident.revision, routed=incident.routed)
            if same.update(routed=incident.revision):  # else another host was first, or there is more news
                NoticeDelivery.objects.bulk_create(
                    [_delivery(incident, channel) for channel in _channels(incident)], ignore_conflicts=True
                )


def _channels(incident: "Incident") -> list[NoticeChannel]:
    """Returns the channels whose rules match; at an incident's end, those that were told of it."""
    if incident.silenced_until and incident.silenced_until > incident.now:  # type: ignore[attr-defined]
        return []
    channels = NoticeChannel.objects.filter(enabled=True)
    if incident.closed_at:
        told = NoticeDelivery.objects.filter(incident=incident, state__in=TOLD)
        return list(channels.filter(pk__in=told.values("channel_id")))
    matching = Q(
        rules__event__in=["", incident.event],
        rules__market__in=["", incident.market] if incident.market else [""],
        rules__severity__lte=incident.severity,
    )
    return list(channels.filter(matching).distinct())


def _delivery(incident: Incident, channel: NoticeChannel) -> NoticeDelivery:
    """Returns a delivery that waits for others of the same cause or time, which become one message."""
    kind = DeliveryKind.OPENED if incident.revision == 1 else DeliveryKind.NEWS
    hold = 0.0 if incident.closed_at else HOLDS.get(NoticeEvent(incident.event), 0.0)
    return NoticeDelivery(
        incident=incident,
        channel=channel,
        revision=incident.revision,
        kind=DeliveryKind.CLOSED if incident.closed_at else kind,
        next_at=Now() + timedelta(seconds=max(channel.grouping, hold)),
    )
