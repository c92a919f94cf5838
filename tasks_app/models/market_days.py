"""Sealed days: which sessions of a market are complete, with the checksum of their bars."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import InstrumentKind, Market


class MarketDay(models.Model):
    """One session of a market, of one kind of securities, with their unadjusted bars.

    It is sealed while `sealed_at` is set: every security listed on the day has a bar or a recorded reason. A
    trigger unseals it in the transaction that changes a bar of the day, or withdraws a reason; the next
    sealing has the next `revision`. `pending`: something of the day was changed since it was looked at last
    (`checked_at`).
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    kind = models.CharField(_("kind"), max_length=5, choices=InstrumentKind)
    day = models.DateField(_("day"))
    revision = models.PositiveIntegerField(_("revision"), default=0)
    sealed_at = models.DateTimeField(_("sealed at"), null=True)
    checksum = models.CharField(_("checksum"), max_length=64, blank=True, default="")
    bars = models.PositiveIntegerField(_("bars"), default=0)
    reasons = models.PositiveIntegerField(_("securities without a bar, with a reason"), default=0)
    number = models.BigIntegerField(_("last change before it"), null=True)
    pending = models.BooleanField(_("to be looked at"), default=True)
    checked_at = models.DateTimeField(_("looked at"), null=True)

    class Meta:
        verbose_name = _("market day")
        verbose_name_plural = _("market days")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["market", "kind", "day"], name="one_market_day"),
            models.CheckConstraint(
                condition=Q(sealed_at__isnull=True) | ~Q(checksum=""), name="sealed_day_has_a_checksum"
            ),
        ]
        indexes = [
            models.Index(
                fields=["market", "day"], condition=Q(sealed_at__isnull=False), name="market_days_sealed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.day}"


class ChangePosition(models.Model):
    """Up to which number a reader of the changes inside this program has come."""

    name = models.CharField(_("name"), max_length=32, primary_key=True)
    number = models.BigIntegerField(_("number"))

    class Meta:
        verbose_name = _("position in the changes")
        verbose_name_plural = _("positions in the changes")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} {self.number}"
