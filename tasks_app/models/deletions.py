"""The record of deleted data: who deleted what, and how much."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel
from tasks_app.models.quotes import Market


class DataDeletion(models.Model):
    """One deletion of what a source stored, written by the transactions that delete.

    So the counts are true however it ends; `ended_at` stays null if it was interrupted. An empty market means
    all markets, a missing day no bound.
    """

    source = models.CharField(_("source"), max_length=32)
    market = models.CharField(_("market"), max_length=3, choices=Market, blank=True)
    first_day = models.DateField(_("first day"), null=True)
    last_day = models.DateField(_("last day"), null=True)
    series = models.PositiveIntegerField(_("series"), default=0)
    bars = models.PositiveBigIntegerField(_("bars"), default=0)
    corrections = models.PositiveBigIntegerField(_("corrections"), default=0)
    findings = models.PositiveBigIntegerField(_("findings"), default=0)
    adjustments = models.PositiveIntegerField(_("factor and action tables"), default=0)
    raw_answers = models.PositiveIntegerField(_("raw answers"), default=0, db_default=0)
    stocks = models.PositiveIntegerField(_("stocks"), default=0)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)

    class Meta:
        verbose_name = _("deletion of data")
        verbose_name_plural = _("deletions of data")
        default_permissions = ()
        permissions = [("delete_source_data", _("Can delete what a source stored"))]

    def __str__(self) -> str:
        return f"{self.source} {self.market}".strip()
