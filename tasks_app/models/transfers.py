"""Imports of whole exports."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class DataImport(models.Model):
    """An import of a whole export into this database, written by the transactions that import its files.

    `done` has the paths of the files that are in the database. `ended_at` is null until all of them are: then
    the same import goes on with the others, and no other one begins.
    """

    folder = models.CharField(_("folder"), max_length=500)
    checksum = models.CharField(_("checksum"), max_length=64)
    exported_at = models.CharField(_("exported at"), max_length=40)
    done = models.JSONField(_("files"), default=list)
    rows = models.PositiveBigIntegerField(_("rows"), default=0)
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
