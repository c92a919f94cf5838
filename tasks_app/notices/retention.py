"""Bounds what is kept of notices."""

from datetime import timedelta

from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_app.models import Incident, NoticeDelivery

KEPT = timedelta(days=90)
TASK_OPEN = timedelta(days=7)  # a task that nobody retries, or a refused order, is an incident for so long
BATCH = 500


def prune() -> int:
    """Deletes a batch of old incidents with their deliveries, and of old deliveries. Returns how many rows.

    Ends the incidents of tasks without a plan that nobody retried, and of refused orders that nobody ordered
    again, without a message: nothing has changed.
    """
    of_tasks = Q(key__startswith="task:") | Q(key__startswith="order:")
    unattended = Incident.objects.filter(of_tasks, closed_at__isnull=True, changed_at__lt=Now() - TASK_OPEN)
    unattended.update(closed_at=Now(), revision=F("revision") + 1, routed=F("revision") + 1)
    old = Incident.objects.filter(closed_at__lt=Now() - KEPT).order_by()
    deleted, _ = Incident.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    ended = NoticeDelivery.objects.filter(ended_at__lt=Now() - KEPT).order_by()
    rows = NoticeDelivery.objects.filter(pk__in=list(ended.values_list("pk", flat=True)[:BATCH]))
    return deleted + rows.delete()[0]
