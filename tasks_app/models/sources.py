"""The settings of sources that were edited on a page."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class SourceSetting(models.Model):
    """One setting of a source; the environment wins over it. `value` is encrypted: see `db.encryption`."""

    source = models.CharField(_("source"), max_length=32)
    name = models.CharField(_("setting"), max_length=40)
    value = models.TextField(_("encrypted value"))
    changed_at = models.DateTimeField(_("changed at"))
    changed_by = models.CharField(_("changed by"), max_length=150)

    class Meta:
        verbose_name = _("setting of a source")
        verbose_name_plural = _("settings of sources")
        default_permissions = ("view", "change")
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="one_value_per_source_setting")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.name}"
