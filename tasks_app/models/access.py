"""What is known of API tokens beyond their digest."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _, pgettext_lazy


class TokenScope(models.TextChoices):
    """What a token may do, at most: whatever its user may, or only the reading part of it."""

    READ = "read", _("read")
    OPERATE = "operate", _("operate")


class ApiToken(models.Model):
    """The name, the scope and the last use of a token. One without this row has the scope `operate`."""

    token = models.OneToOneField(
        "knox.AuthToken",
        models.CASCADE,
        primary_key=True,
        related_name="details",
        swappable=False,  # knox offers its own setting for another model, which this site does not use
        verbose_name=_("API token"),
    )
    name = models.CharField(_("name"), max_length=64, blank=True, default="")
    scope = models.CharField(
        pgettext_lazy("token", "scope"), max_length=7, choices=TokenScope, default=TokenScope.READ
    )
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(scope__in=TokenScope.values), name="token_scope_is_known"),
        ]

    def __str__(self) -> str:
        return self.name
