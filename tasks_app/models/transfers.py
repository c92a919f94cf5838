"""Exports into folders, and imports of whole exports."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel


class ExportState(models.TextChoices):
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class ExportLayout(models.TextChoices):
    PARQUET = "parquet", "Parquet"
    QLIB = "qlib", "qlib"
    VNPY = "csv-vnpy", "CSV (VeighNa, vn.py)"
    BACKTRADER = "csv-backtrader", "CSV (backtrader)"
    ZIPLINE = "csv-zipline", "CSV (zipline)"


class Export(models.Model):
    """An export into a folder, as a job of the queue or by a command (`is_queued` is false).

    Only the slice that began `generation` may write. `phase`, `done` and `total` are those of its last
    heartbeat, `rows` what was written so far; at the end `rows` is what the export holds. `error` has the
    code of an error and what its sentence is made of. `host` is where it began: the folder must be the same
    one on all worker machines.
    """

    folder = models.CharField(_("folder"), max_length=500)
    layout = models.CharField(_("format"), max_length=16, choices=ExportLayout)
    selection = models.JSONField(_("selection"))
    state = models.CharField(_("status"), max_length=9, choices=ExportState, default=ExportState.RUNNING)
    phase = models.CharField(_("phase"), max_length=10, blank=True, default="")
    done = models.PositiveIntegerField(_("done"), default=0)
    total = models.PositiveIntegerField(_("total"), default=0)
    rows = models.PositiveBigIntegerField(_("rows"), default=0)
    parts = models.PositiveIntegerField(_("parts"), default=0)
    written = models.PositiveIntegerField(_("parts written"), default=0)
    checksum = models.CharField(_("checksum"), max_length=64, blank=True, default="")
    is_consistent = models.BooleanField(_("of one moment"), null=True)
    error = models.JSONField(_("error"), null=True)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    is_queued = models.BooleanField(default=True, editable=False)
    generation = models.PositiveIntegerField(default=0, editable=False)
    begun = models.BooleanField(default=False, editable=False)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), db_default=Now(), editable=False)
    losses = models.PositiveSmallIntegerField(_("lost workers"), default=0, editable=False)
    host = models.CharField(_("host"), max_length=100, blank=True, default="")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        default_permissions = ("view",)
        permissions = [("export_data", _("Can export data"))]
        indexes = [models.Index(fields=["state", "ended_at"], name="exports_by_state")]
        constraints = [
            models.UniqueConstraint(
                fields=["folder"],
                condition=Q(state=ExportState.RUNNING),
                name="one_running_export_per_folder",
            ),
            models.CheckConstraint(condition=Q(state__in=ExportState.values), name="export_state_is_legal"),
            models.CheckConstraint(
                condition=Q(state=ExportState.RUNNING, ended_at__isnull=True)
                | (~Q(state=ExportState.RUNNING) & Q(ended_at__isnull=False)),
                name="export_has_an_end_when_final",
            ),
            models.CheckConstraint(
                condition=~Q(state=ExportState.FAILED) | Q(error__isnull=False),
                name="failed_export_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.folder


class DataImport(models.Model):
    """An import of a whole export into this database, written by the transactions that import its files.

    `done` has the paths of the files that are in the database. `ended_at` is null until all of them are: then
    the same import goes on with the others, and no other one begins. One that is discarded ends when all of
    its rows are deleted again.
    """

    folder = models.CharField(_("folder"), max_length=500)
    checksum = models.CharField(_("checksum"), max_length=64)
    exported_at = models.CharField(_("exported at"), max_length=40)
    done = models.JSONField(_("files"), default=list)
    rows = models.PositiveBigIntegerField(_("rows"), default=0)
    is_discarded = models.BooleanField(_("discarded"), default=False, db_default=False)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)

    class Meta:
        verbose_name = _("import of an export")
        verbose_name_plural = _("imports of exports")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                models.Case(models.When(ended_at__isnull=True, then=1)), name="one_import_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return self.folder
