"""Files of quotes that were uploaded, and what unknown columns of such files stand for."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import Adjust, Market


class UploadState(models.TextChoices):
    CHECKING = "checking", _("being checked")
    CHECKED = "checked", _("checked")
    TAKEN = "taken", _("taken over")
    DISCARDED = "discarded", _("discarded")


UPLOAD_ENDS = (UploadState.TAKEN, UploadState.DISCARDED)


class Upload(models.Model):
    """A file that waits beside the folder of the source `csv`, or what became of it.

    `report` is the JSON of `quotes.file_preview.Report`; `version` grows with each change, so that of two
    changes at once only one is made. `market` is empty where the codes tell.
    """

    name = models.CharField(_("file"), max_length=150)
    market = models.CharField(_("market"), max_length=3, choices=Market, blank=True)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    size = models.PositiveBigIntegerField(_("bytes"))
    token = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    state = models.CharField(
        _("status"), max_length=9, choices=UploadState, default=UploadState.CHECKING, editable=False
    )
    report = models.JSONField(_("report"), default=dict, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("uploaded file")
        verbose_name_plural = _("uploaded files")
        default_permissions = ()
        permissions = [("upload_files", _("Can upload files of quotes"))]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=UploadState.values), name="upload_state_is_legal"),
            models.CheckConstraint(
                condition=Q(state__in=UPLOAD_ENDS, ended_at__isnull=False)
                | (~Q(state__in=UPLOAD_ENDS) & Q(ended_at__isnull=True)),
                name="upload_has_an_end_when_final",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ColumnMapping(models.Model):
    """What the headings of one kind of file stand for, as somebody said.

    `header` has all of its headings in their order. `meanings` has some of them with one of
    `sources.csv_folder.column_mapping.MEANINGS` each. `digest` identifies the header.
    """

    digest = models.CharField(max_length=64, unique=True, editable=False)
    header = models.JSONField(_("headings"))
    meanings = models.JSONField(_("meanings"))
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    user_name = models.CharField(_("user name"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("meaning of columns")
        verbose_name_plural = _("meanings of columns")
        default_permissions = ()

    def __str__(self) -> str:
        return ", ".join(self.header)[:100]
