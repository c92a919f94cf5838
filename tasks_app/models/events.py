"""Who did what to a task, and through which channel people and workers act."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.tasks import CollectionTask


class Channel(models.TextChoices):
    API = "api", _("API")
    ADMIN = "admin", _("admin")
    COMMAND = "command", _("command")
    SCHEDULE = "schedule", _("schedule")
    WORKER = "worker", _("worker")


class EventKind(models.TextChoices):
    STARTED = "started", _("started")
    PLANNED = "planned", _("planned")
    PAUSED = "paused", _("paused")
    RESUMED = "resumed", _("resumed")
    CANCELLED = "cancelled", _("cancelled")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    RESCUED = "rescued", _("rescued")
    RETRIED = "retried", _("retried")
    YIELDING = "yielding", _("asked to yield")
    YIELDED = "yielded", _("yielded")
    CONTINUED = "continued", _("continued")
    WARNED = "warned", _("warned")


class TaskEvent(models.Model):
    """Who did what to a task, when, through which channel and with which parameters."""

    task = models.ForeignKey(CollectionTask, models.CASCADE, related_name="events", verbose_name=_("task"))
    kind = models.CharField(_("event"), max_length=10, choices=EventKind)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    # By which the log's lines of the request are found. Those of the task's slices have that of its start.
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)
        ordering = ["id"]
        indexes = [
            models.Index(fields=["-at", "-id"], name="events_by_time"),
            models.Index(fields=["kind", "-at", "-id"], name="events_by_kind"),
            models.Index(fields=["user_name", "-at", "-id"], name="events_by_user"),
        ]

    def __str__(self) -> str:
        return self.kind
