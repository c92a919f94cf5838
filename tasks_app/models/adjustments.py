"""Adjustment factors and corporate actions: what each source says of a stock, replaced as a whole.

Factors and amounts are stored as the decimal text of the source: SQLite has no exact decimals.
"""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import Market


class AdjustmentContent(models.TextChoices):
    FACTORS = "factors", _("adjustment factors")
    ACTIONS = "actions", _("corporate actions")


class AdjustmentTable(models.Model):
    """That a source has sent a stock's factors or corporate actions, and how far they are complete.

    `until` is the day on which they were requested, in the market's time zone: no ex day up to it is missing.
    `complete_from` is the first day for which they are complete; null: all of the past. `lacks` is the first
    ex day that later bars show and the table does not have; null where none is known.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    source = models.CharField(_("source"), max_length=32)
    content = models.CharField(_("content"), max_length=7, choices=AdjustmentContent)
    until = models.DateField(_("complete until"))
    complete_from = models.DateField(_("complete from"), null=True)
    lacks = models.DateField(_("lacks the ex day"), null=True)
    fetched_at = models.DateTimeField(_("collected at"), db_default=Now())

    class Meta:
        verbose_name = _("adjustment table")
        verbose_name_plural = _("adjustment tables")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["market", "symbol", "source", "content"], name="one_adjustment_table_per_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.source} {self.content}"


class AdjustmentFactor(models.Model):
    """The factors of a source from an ex day on, until its next one: an unadjusted price times `hfq` is the
    backward-adjusted price, times `qfq` the forward-adjusted one. "" where the source does not say it.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    source = models.CharField(_("source"), max_length=32)
    ex_day = models.DateField(_("ex day"))
    hfq = models.CharField(_("backward factor"), max_length=40)
    qfq = models.CharField(_("forward factor"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("adjustment factor")
        verbose_name_plural = _("adjustment factors")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["market", "symbol", "source", "ex_day"], name="one_factor_per_source_and_ex_day"
            ),
            models.CheckConstraint(condition=~Q(hfq=""), name="factor_is_told"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.ex_day}"


class ActionKind(models.TextChoices):
    DIVIDEND = "dividend", _("cash dividend")
    SPLIT = "split", _("split or bonus shares")
    RIGHTS = "rights", _("rights issue")


class CorporateAction(models.Model):
    """One corporate action as a source tells it; what it does not tell is null or "".

    `cash` is the dividend of one share before tax, in the market's currency; `ratio` the new shares for one
    held share (negative where shares are merged); `price` that of one new share in a rights issue.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    source = models.CharField(_("source"), max_length=32)
    number = models.PositiveIntegerField(_("number"))  # in the order of the source
    kind = models.CharField(_("kind"), max_length=8, choices=ActionKind)
    ex_day = models.DateField(_("ex day"), null=True)
    announced_on = models.DateField(_("announced on"), null=True)
    record_day = models.DateField(_("record day"), null=True)
    paid_on = models.DateField(_("paid on"), null=True)
    cash = models.CharField(_("cash per share"), max_length=40, blank=True)
    ratio = models.CharField(_("new shares per share"), max_length=40, blank=True)
    price = models.CharField(_("subscription price"), max_length=40, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("corporate action")
        verbose_name_plural = _("corporate actions")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["market", "symbol", "source", "number"], name="one_action_per_number"
            ),
            models.CheckConstraint(condition=Q(kind__in=ActionKind.values), name="action_kind_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.kind} {self.ex_day or ''}".strip()
