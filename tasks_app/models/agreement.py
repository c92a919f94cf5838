"""How often two sources agreed: the ledger of all comparisons."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import Adjust, Market


class ComparedField(models.TextChoices):
    """What is compared of a bar; `day` is whether both sources have one."""

    DAY = "day", _("day")
    OPEN = "open", _("open")
    HIGH = "high", _("high")
    LOW = "low", _("low")
    CLOSE = "close", _("close")
    VOLUME = "volume", _("volume")
    AMOUNT = "amount", _("amount")


class SourceAgreement(models.Model):
    """How many values of a month's bars were compared between a source and another one, and how many differ.

    The transaction that records a stock adds to it. A bar that is compared again counts again. `worst` is the
    largest difference, as a share of the larger value; 0 for `day`.
    """

    source = models.CharField(_("source"), max_length=32)
    other_source = models.CharField(_("compared with"), max_length=32)
    market = models.CharField(_("market"), max_length=3, choices=Market)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    field = models.CharField(_("field"), max_length=6, choices=ComparedField)
    month = models.DateField(_("month"))  # its first day
    compared = models.PositiveBigIntegerField(_("compared"), default=0)
    differing = models.PositiveBigIntegerField(_("differing"), default=0)
    worst = models.FloatField(_("largest difference"), default=0.0)
    updated_at = models.DateTimeField(_("updated at"), db_default=Now())

    class Meta:
        verbose_name = _("agreement of sources")
        verbose_name_plural = _("agreement of sources")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["-month", "-id"], name="agreement_by_month")]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "other_source", "market", "adjust", "field", "month"],
                name="one_agreement_per_field_and_month",
            ),
            models.CheckConstraint(
                condition=Q(differing__lte=F("compared")), name="agreement_counts_are_true"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} / {self.other_source} {self.field} {self.month:%Y-%m}"

    @property
    def agreeing(self) -> int:
        """How many of the compared values agree."""
        return self.compared - self.differing
