"""Plans: collections that start by themselves at a time of day in the market's time zone."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority
from tasks_app.models.quotes import ORDER_KINDS, Adjust, InstrumentKind, Market
from tasks_app.models.transfers import ExportLayout

LONGEST_DAYS = 20_000


class Rhythm(models.TextChoices):
    SESSIONS = "sessions", _("every trading day")
    DAILY = "daily", _("every day")
    WEEKLY = "weekly", _("every week")


class Weekday(models.IntegerChoices):
    """Numbered as by `date.weekday()`."""

    MONDAY = 0, _("Monday")
    TUESDAY = 1, _("Tuesday")
    WEDNESDAY = 2, _("Wednesday")
    THURSDAY = 3, _("Thursday")
    FRIDAY = 4, _("Friday")
    SATURDAY = 5, _("Saturday")
    SUNDAY = 6, _("Sunday")


class CollectionPlan(models.Model):
    """An order that is started repeatedly, for the `days` days up to the day on which it is due.

    `next_at` is when it is due, by the database's clock; None while it is disabled. A plan that is due
    while another task runs waits (`waiting_since`) and starts after it, once, however many runs it missed.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    market = models.CharField(_("market"), max_length=3, choices=Market)
    source = models.CharField(_("source"), max_length=32)
    fallbacks = models.JSONField(_("further sources"), null=True, blank=True)  # None: those of the settings
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    kind = models.CharField(
        _("kind"),
        max_length=5,
        choices=[(kind.value, kind.label) for kind in ORDER_KINDS],
        default=InstrumentKind.STOCK,
        db_default=InstrumentKind.STOCK,
    )
    days = models.PositiveIntegerField(
        _("days back"), default=30, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)]
    )
    stock_codes = models.JSONField(_("stock codes"), null=True, blank=True)
    full_collection_mode = models.BooleanField(_("full collection mode"), default=False)
    force_update = models.BooleanField(_("force update"), default=False)
    verify_with = models.CharField(_("compared with"), max_length=32, blank=True, default="", db_default="")
    verify_sample = models.PositiveSmallIntegerField(
        _("sample in percent"),
        default=100,
        db_default=100,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )

    priority = models.SmallIntegerField(
        _("priority"),
        choices=Priority,
        default=Priority.NORMAL,
        db_default=Priority.NORMAL,
        help_text=_("When it is due, a running task of a lower priority yields, and goes on after it."),
    )
    rhythm = models.CharField(_("how often"), max_length=8, choices=Rhythm, default=Rhythm.SESSIONS)
    weekday = models.PositiveSmallIntegerField(_("day of the week"), choices=Weekday, default=Weekday.FRIDAY)
    at = models.TimeField(_("time of day"))

    # The folder below COLLECTOR_EXPORT_DIR into which data are exported when the plan's task has ended.
    export_to = models.CharField(_("export into"), max_length=64, blank=True, default="", db_default="")
    export_layout = models.CharField(
        _("export format"),
        max_length=16,
        choices=ExportLayout,
        default=ExportLayout.PARQUET,
        db_default=ExportLayout.PARQUET,
    )
    # Unused since runs have steps, of which the export is one; exports of a database from before hold it.
    export_due = models.BooleanField(default=False, db_default=False, editable=False)

    next_at = models.DateTimeField(_("next run"), null=True, editable=False)
    waiting_since = models.DateTimeField(_("waiting since"), null=True, editable=False)
    last_at = models.DateTimeField(_("last run"), null=True, editable=False)
    last_task = models.ForeignKey(
        "tasks_app.CollectionTask",
        models.DO_NOTHING,  # the task may be deleted
        null=True,
        db_constraint=False,
        editable=False,
        verbose_name=_("last task"),
        related_name="+",
    )
    late_runs = models.PositiveIntegerField(_("runs that had to wait"), default=0, editable=False)
    error_code = models.CharField(_("error code"), max_length=40, blank=True, editable=False)
    error_message = models.TextField(_("error"), blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        verbose_name=_("made by"),
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("collection plan")
        verbose_name_plural = _("collection plans")
        ordering = ["name"]
        permissions = [("run_plan", _("Can run a plan now"))]
        indexes = [models.Index(fields=["next_at"], name="plans_by_next_run")]
        constraints = [
            models.CheckConstraint(condition=Q(market__in=Market.values), name="plan_market_is_known"),
            models.CheckConstraint(condition=Q(kind__in=ORDER_KINDS), name="plan_kind_is_known"),
            models.CheckConstraint(  # a range: Django can't read the SQL of a list of numbers back on SQLite
                condition=Q(priority__gte=Priority.LOW, priority__lte=Priority.HIGH),
                name="plan_priority_is_known",
            ),
            models.CheckConstraint(condition=Q(rhythm__in=Rhythm.values), name="plan_rhythm_is_known"),
            models.CheckConstraint(condition=Q(weekday__lte=6), name="plan_weekday_is_one"),
            models.CheckConstraint(
                condition=Q(verify_sample__gte=1, verify_sample__lte=100)
                & (Q(verify_with="") | ~Q(verify_with=F("source"))),
                name="plan_is_verified_by_another_source",
            ),
            models.CheckConstraint(
                condition=Q(days__gte=1, days__lte=LONGEST_DAYS), name="plan_days_are_some"
            ),
            models.CheckConstraint(
                condition=Q(enabled=True, next_at__isnull=False) | Q(enabled=False, next_at__isnull=True),
                name="plan_is_due_only_when_enabled",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PlanEventKind(models.TextChoices):
    CREATED = "created", _("created")
    CHANGED = "changed", _("changed")
    ENABLED = "enabled", _("switched on")
    DISABLED = "disabled", _("switched off")
    DELETED = "deleted", _("deleted")
    RUN = "run", _("run now")


class PlanEvent(models.Model):
    """Who did what to a plan, when, through which channel: the values that changed, or the task of a run.

    It outlives the plan, and has the name of then. Runs at the plan's own times are events of their tasks.
    """

    plan_id = models.BigIntegerField(_("plan"))
    plan_name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("event"), max_length=8, choices=PlanEventKind)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    params = models.JSONField(_("parameters"), default=dict, blank=True)

    class Meta:
        verbose_name = _("event of a plan")
        verbose_name_plural = _("events of plans")
        default_permissions = ()
        indexes = [
            models.Index(fields=["plan_id", "-id"], name="plan_events_by_plan"),
            models.Index(fields=["-at", "-id"], name="plan_events_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.plan_name} {self.kind}"
