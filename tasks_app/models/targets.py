"""Targets: by when a market's session is to be complete, and how each session kept it."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import ORDER_KINDS, Adjust, InstrumentKind, Market

WHOLE = Decimal(100)
LATEST_DAY = 7  # days after the session


class Target(models.Model):
    """Every session of a market is to be complete by `at`, `days_after` days later, in the market's zone.

    Complete is what seals a day: each listed security has its bar of the session or a recorded reason. Of
    those without a reason at least `minimum` percent must have their bar. With a `source`, only its bars and
    answers count. Sessions whose deadline is after `since` are judged; `since` is when it was switched on.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    market = models.CharField(_("market"), max_length=3, choices=Market)
    kind = models.CharField(
        _("kind"),
        max_length=5,
        choices=[(kind.value, kind.label) for kind in ORDER_KINDS],
        default=InstrumentKind.STOCK,
        db_default=InstrumentKind.STOCK,
    )
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    source = models.CharField(_("source"), max_length=32, blank=True, default="")
    minimum = models.DecimalField(
        _("at least, in percent"),
        max_digits=5,
        decimal_places=2,
        default=WHOLE,
        validators=[MinValueValidator(Decimal(1)), MaxValueValidator(WHOLE)],
    )
    at = models.TimeField(_("time of day"))
    days_after = models.PositiveSmallIntegerField(
        _("days after the session"), default=0, validators=[MaxValueValidator(LATEST_DAY)]
    )
    since = models.DateTimeField(_("judged since"), db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(market__in=Market.values), name="target_market_is_known"),
            models.CheckConstraint(condition=Q(kind__in=ORDER_KINDS), name="target_kind_is_known"),
            models.CheckConstraint(condition=Q(adjust__in=Adjust.values), name="target_adjustment_is_known"),
            models.CheckConstraint(
                condition=Q(minimum__gte=1, minimum__lte=100), name="target_minimum_is_a_percentage"
            ),
            models.CheckConstraint(condition=Q(days_after__lte=LATEST_DAY), name="target_is_due_soon"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_of_sealed_days(self) -> bool:
        """Whether it demands what seals a day, no less and nothing else."""
        return not self.adjust and not self.source and self.minimum == WHOLE


class TargetState(models.TextChoices):
    PENDING = "pending", _("not complete yet")
    MET = "met", _("met")
    LATE = "late", _("late")
    MISSED = "missed", _("missed")


class TargetSession(models.Model):
    """One session under one target: judged once, from `pending` to what it stays.

    `complete_at` is when the session was complete, by the database's clock: by the `deadline` it is met,
    before the next session's deadline late. Else it is missed, and may be complete later. `deadline` and
    `minimum` are those of when it was judged. `bars`, `reasons` (securities without a bar for a reason) and
    `missing` are as of `looked_at`; null while the session's bars are not final.
    """

    target = models.ForeignKey(
        Target, models.CASCADE, db_index=False, related_name="sessions", verbose_name=_("target")
    )
    session = models.DateField(_("session"))
    deadline = models.DateTimeField(_("deadline"))
    minimum = models.DecimalField(_("at least, in percent"), max_digits=5, decimal_places=2)
    state = models.CharField(
        _("status"), max_length=7, choices=TargetState, default=TargetState.PENDING.value
    )
    complete_at = models.DateTimeField(_("complete at"), null=True)
    judged_at = models.DateTimeField(_("judged at"), null=True)
    looked_at = models.DateTimeField(_("looked at"), null=True)
    bars = models.PositiveIntegerField(_("bars"), null=True)
    reasons = models.PositiveIntegerField(_("securities without a bar, with a reason"), null=True)
    missing = models.PositiveIntegerField(_("missing"), null=True)

    class Meta:
        verbose_name = _("session of a target")
        verbose_name_plural = _("sessions of targets")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["target", "session"], name="one_judgement_per_session"),
            models.CheckConstraint(
                condition=Q(state=TargetState.PENDING, judged_at__isnull=True, complete_at__isnull=True)
                | Q(state=TargetState.MET, judged_at__isnull=False, complete_at__lte=F("deadline"))
                | Q(state=TargetState.LATE, judged_at__isnull=False, complete_at__gt=F("deadline"))
                | (
                    Q(state=TargetState.MISSED, judged_at__isnull=False)
                    & (Q(complete_at__isnull=True) | Q(complete_at__gt=F("deadline")))
                ),
                name="session_is_judged_by_its_deadline",
            ),
        ]
        indexes = [
            models.Index(
                fields=["target", "session"],
                condition=Q(complete_at__isnull=True),
                name="target_sessions_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_id} {self.session}"

    @property
    def is_met(self) -> bool:
        """Whether it was complete by its deadline, as far as is known."""
        return self.complete_at is not None and self.complete_at <= self.deadline
