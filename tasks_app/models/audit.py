"""The record of who did what beside tasks and plans, which have records of their own."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel


class AuditVerb(models.TextChoices):
    CREATED = "created", _("created")
    CHANGED = "changed", _("changed")
    DELETED = "deleted", _("deleted")
    SIGNED_IN = "signed_in", _("signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
    LOCKED_OUT = "locked_out", _("locked out")
    SIGNED_OUT = "signed_out", _("signed out")
    CANCELLED = "cancelled", _("cancelled")
    ENDED = "ended", _("session ended")


SESSION = "session"  # the subject of a sign-in


class AuditEvent(models.Model):
    """Who did what to which object, when, through which channel, from which address.

    The database refuses to change an event, and to delete one that is younger than a month. `subject` is
    what the object is: the name of its model, or `SESSION`. A failed sign-in has the name of the user that
    somebody claimed to be, "" if there is no such user: people type passwords into the wrong field.
    """

    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    subject = models.CharField(_("what"), max_length=40)
    verb = models.CharField(_("event"), max_length=14, choices=AuditVerb)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        verbose_name=_("user"),
        related_name="+",
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    address = models.CharField(_("address"), max_length=45, blank=True)
    object_id = models.CharField(_("object"), max_length=255, blank=True)
    object_name = models.CharField(_("name"), max_length=200, blank=True)
    detail = models.TextField(_("detail"), blank=True)  # read by lifecycle.audit.translated

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        default_permissions = ("view",)
        permissions = [("export_audit", _("Can export the audit record"))]
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_by_time"),
            models.Index(fields=["user_name", "-at", "-id"], name="audit_by_user"),
            models.Index(fields=["subject", "-at", "-id"], name="audit_by_subject"),
            models.Index(fields=["subject", "user_name", "-at", "-id"], name="audit_by_subject_and_user"),
            models.Index(fields=["verb", "-at", "-id"], name="audit_by_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.verb}"
