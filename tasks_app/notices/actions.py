"""What users do about incidents and channels: silence, close, test."""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from tasks_app.db import sqlite_priority
from tasks_app.models import Incident, NoticeChannel, NoticeDelivery
from tasks_app.models.notices import DeliveryKind, DeliveryState
from tasks_app.notices import incidents, links


def silence(incident_id: int, user_name: str) -> bool:
    """Has nobody told of an open incident for a day, its end included. Returns whether it is open."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        until = Now() + timedelta(hours=links.SILENCE_HOURS)
        row = Incident.objects.filter(pk=incident_id, closed_at__isnull=True)
        if not row.update(silenced_until=until, silenced_by=user_name):
            return False
        waiting = NoticeDelivery.objects.filter(incident=incident_id, state=DeliveryState.PENDING)
        waiting.update(state=DeliveryState.SKIPPED, ended_at=Now())
        return True


def close(incident_id: int, user_name: str) -> bool:
    """Ends an incident; it is opened anew if its cause is observed again. Returns whether it was open."""
    with sqlite_priority.interactive_write():
        return incidents.close_by_id(incident_id, user_name)


def test(channel: NoticeChannel, user_name: str) -> NoticeDelivery:
    """Sends a test message by the same way as notices. Returns its delivery, which says how that went."""
    return NoticeDelivery.objects.create(channel=channel, kind=DeliveryKind.TEST, user_name=user_name)


def drop_waiting(channel: NoticeChannel) -> None:
    """Drops what waits for a channel that was switched off: it would be old when it is on again."""
    waiting = NoticeDelivery.objects.filter(channel=channel, state=DeliveryState.PENDING)
    waiting.update(state=DeliveryState.SKIPPED, ended_at=Now())
