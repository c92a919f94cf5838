"""The numbered changes of stored data, and what was stored before them.

Triggers write all of it (`db/change_triggers.py`), whatever program changes the data.
"""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class ChangeKind(models.TextChoices):
    START = "start", _("first number")  # what was stored before it has no number
    BAR = "bar", _("new bars")
    CORRECTION = "correction", _("changed bars")
    DELETION = "deletion", _("removed bars")
    FACTOR = "factor", _("adjustment factors")
    EVENT = "event", _("corporate actions")
    CODE = "code", _("codes")
    CALENDAR = "calendar", _("calendar")
    REASON = "reason", _("withdrawn reasons")  # for having no bar, of days that may have been sealed
    SEALED = "sealed", _("sealed days")


class Change(models.Model):
    """One stored change. `number` counts them without gaps, in the order in which they were committed.

    PostgreSQL gives the number and the time at the commit; until then they are null, which nobody else sees.
    A change of bars names the days that it reaches from and to, and `rows` says how many bars: new ones are
    all bars stored from the first to the last day at that moment. `symbol` is "" for the calendar.
    """

    number = models.BigIntegerField(_("number"), null=True, unique=True)
    at = models.DateTimeField(_("at"), null=True)
    kind = models.CharField(_("kind"), max_length=10, choices=ChangeKind)
    market = models.CharField(_("market"), max_length=3, blank=True, default="")
    symbol = models.CharField(_("code"), max_length=24, blank=True, default="")
    adjust = models.CharField(_("adjustment"), max_length=5, blank=True, default="")
    first_day = models.DateField(_("first day"), null=True)
    last_day = models.DateField(_("last day"), null=True)
    rows = models.PositiveIntegerField(_("rows"), default=1)
    # The item whose transaction it was; null for changes by other programs.
    item_id = models.BigIntegerField(_("item"), null=True)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        default_permissions = ()
        indexes = [
            # Without the number, PostgreSQL keeps equal keys once: a quarter of the size.
            models.Index(fields=["market", "symbol"], name="changes_of_symbol"),
            # The newest change of a market's day, and of those that span several.
            models.Index(
                fields=["market", "adjust", "first_day", "number"],
                condition=Q(first_day=F("last_day")),
                name="changes_of_day",
            ),
            models.Index(
                fields=["market", "adjust", "number"],
                condition=Q(first_day__lt=F("last_day")),
                name="changes_of_several_days",
            ),
            models.Index(fields=["symbol"], condition=Q(number__isnull=True), name="changes_uncommitted"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.symbol}".strip()


class BarVersion(models.Model):
    """A bar as it was before a change that overwrote or removed it."""

    cause = models.ForeignKey(
        Change, models.DO_NOTHING, db_constraint=False, related_name="bars", verbose_name=_("change")
    )
    day = models.DateField(_("day"))
    open = models.FloatField(_("open"))
    high = models.FloatField(_("high"))
    low = models.FloatField(_("low"))
    close = models.FloatField(_("close"))
    prev_close = models.FloatField(_("previous close"), null=True)
    volume = models.BigIntegerField(_("volume"))
    amount = models.FloatField(_("amount"), null=True)
    amplitude = models.FloatField(_("amplitude %"), null=True)
    change = models.FloatField(_("change"), null=True)
    change_pct = models.FloatField(_("change %"), null=True)
    turnover = models.FloatField(_("turnover %"), null=True)
    is_st = models.BooleanField(_("under special treatment (ST)"), null=True)
    limit_up = models.FloatField(_("limit up"), null=True)
    limit_down = models.FloatField(_("limit down"), null=True)
    source = models.CharField(_("source"), max_length=32)
    item_id = models.BigIntegerField(_("item"), null=True)
    collected_at = models.DateTimeField(_("collected at"))

    class Meta:
        verbose_name = _("earlier bar")
        verbose_name_plural = _("earlier bars")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.day}"


class RowVersion(models.Model):
    """A row of another recorded table as it was before a change, by column; null where there was none."""

    cause = models.ForeignKey(
        Change, models.DO_NOTHING, db_constraint=False, related_name="versions", verbose_name=_("change")
    )
    table = models.CharField(_("table"), max_length=40)
    row_id = models.BigIntegerField(_("row"))
    values = models.JSONField(_("values before"), null=True)

    class Meta:
        verbose_name = _("earlier row")
        verbose_name_plural = _("earlier rows")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.table} {self.row_id}"
