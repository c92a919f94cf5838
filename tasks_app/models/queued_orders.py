"""Orders that wait until no task runs, and the record of who did what to them."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority


class QueuedOrderState(models.TextChoices):
    WAITING = "waiting", _("waiting")
    STARTED = "started", _("started")
    WITHDRAWN = "withdrawn", _("withdrawn")
    REFUSED = "refused", _("refused")


class QueuedOrder(models.Model):
    """An order that starts by itself once no task runs. It is no task: it becomes one when it starts.

    Only `lifecycle.order_queue` changes it. Of the waiting ones the first is that of the highest priority
    with the lowest `place`; places are never reused among the waiting ones.
    """

    state = models.CharField(
        _("state"), max_length=9, choices=QueuedOrderState, default=QueuedOrderState.WAITING
    )
    priority = models.SmallIntegerField(_("priority"), choices=Priority, default=Priority.NORMAL)
    place = models.PositiveBigIntegerField(_("place"), editable=False)
    market = models.CharField(_("market"), max_length=3)
    source = models.CharField(_("source"), max_length=32)
    # All values of the order, as it was understood when it was queued.
    order = models.JSONField(_("order"))
    queued_at = models.DateTimeField(_("queued at"), db_default=Now(), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        verbose_name=_("queued by"),
        related_name="+",
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    ended_at = models.DateTimeField(_("left the queue at"), null=True, editable=False)
    # The yielded task whose rest it is, which it holds as its unfinished items.
    continues = models.ForeignKey(
        "tasks_app.CollectionTask",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("continues"),
        related_name="+",
    )
    # No constraint: this keeps the id of a deleted task.
    task_id = models.UUIDField(_("task"), null=True, editable=False)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    idempotency_hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = _("queued order")
        verbose_name_plural = _("queued orders")
        default_permissions = ("view",)
        permissions = [
            ("reorder_queue", _("Can reorder queued orders")),
            ("withdraw_order", _("Can withdraw queued orders")),
        ]
        indexes = [
            models.Index(fields=["state", "-priority", "place"], name="queue_in_order"),
            models.Index(fields=["-id"], name="queued_orders_newest_first"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["place"],
                condition=Q(state=QueuedOrderState.WAITING),
                name="one_waiting_order_per_place",
            ),
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"], name="one_queued_order_per_idempotency_key"
            ),
            models.UniqueConstraint(fields=["task_id"], name="one_queued_order_per_task"),
            models.UniqueConstraint(fields=["continues"], name="one_queued_continuation_per_task"),
            models.CheckConstraint(
                condition=Q(state__in=QueuedOrderState.values), name="queued_order_state_is_legal"
            ),
            models.CheckConstraint(
                condition=Q(priority__gte=Priority.LOW, priority__lte=Priority.HIGH),
                name="queued_order_priority_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state=QueuedOrderState.WAITING, ended_at__isnull=True)
                | (~Q(state=QueuedOrderState.WAITING) & Q(ended_at__isnull=False)),
                name="queued_order_has_an_end_when_it_left",
            ),
            models.CheckConstraint(
                condition=Q(state=QueuedOrderState.STARTED, task_id__isnull=False)
                | (~Q(state=QueuedOrderState.STARTED) & Q(task_id__isnull=True)),
                name="queued_order_has_a_task_when_started",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def priority_name(self) -> str:
        """Its priority as the API writes it."""
        return Priority.name_of(self.priority)

    @property
    def values(self) -> dict[str, Any]:
        """The values of the order, by name; dates are ISO texts."""
        return dict(self.order)


class QueueEventKind(models.TextChoices):
    QUEUED = "queued", _("queued")
    MOVED = "moved", _("moved")
    STARTED = "started", _("started")
    WITHDRAWN = "withdrawn", _("withdrawn")
    REFUSED = "refused", _("refused")


class QueueEvent(models.Model):
    """Who did what to a queued order, when and through which channel."""

    order = models.ForeignKey(
        QueuedOrder, models.CASCADE, related_name="events", verbose_name=_("queued order")
    )
    kind = models.CharField(_("event"), max_length=9, choices=QueueEventKind)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    params = models.JSONField(_("parameters"), default=dict, blank=True)

    class Meta:
        verbose_name = _("event of a queued order")
        verbose_name_plural = _("events of queued orders")
        default_permissions = ()
        ordering = ["id"]
        indexes = [models.Index(fields=["-at", "-id"], name="queue_events_by_time")]

    def __str__(self) -> str:
        return self.kind
