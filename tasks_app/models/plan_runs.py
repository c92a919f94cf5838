"""The steps of a plan, its runs, and the attempts at each step of a run."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel
from tasks_app.models.plans import LONGEST_DAYS, CollectionPlan
from tasks_app.models.transfers import ExportLayout

MAX_STEPS = 20
MAX_RETRIES = 10
LONGEST_WAIT = 1440  # minutes


class StepKind(models.TextChoices):
    STOCK_LIST = "stock_list", _("stock list")
    BARS = "bars", _("daily bars")
    FACTORS = "factors", _("adjustment factors")
    VERIFICATION = "verification", _("verification")
    EXPORT = "export", _("export")


TASK_KINDS = (StepKind.BARS, StepKind.FACTORS, StepKind.VERIFICATION)


class OnFailure(models.TextChoices):
    STOP = "stop", _("stop the run")
    CONTINUE = "continue", _("go on with the next step")


class PlanStep(models.Model):
    """A step of a plan. What it leaves empty is the plan's own; a plan without steps has the one it orders.

    Only the values of its kind count: `export_to` of an export, `verify_with` of a verification, and so on.
    """

    plan = models.ForeignKey(CollectionPlan, models.CASCADE, related_name="steps", verbose_name=_("plan"))
    position = models.PositiveSmallIntegerField(_("position"), default=1, validators=[MinValueValidator(1)])
    kind = models.CharField(_("kind of step"), max_length=12, choices=StepKind, default=StepKind.BARS)
    source = models.CharField(_("source"), max_length=32, blank=True, default="")
    days = models.PositiveIntegerField(
        _("days back"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)],
    )
    verify_with = models.CharField(_("compared with"), max_length=32, blank=True, default="")
    verify_sample = models.PositiveSmallIntegerField(
        _("sample in percent"), default=100, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    export_to = models.CharField(_("export into"), max_length=64, blank=True, default="")
    export_layout = models.CharField(
        _("export format"), max_length=16, choices=ExportLayout, default=ExportLayout.PARQUET
    )
    retries = models.PositiveSmallIntegerField(
        _("retries"), default=0, validators=[MaxValueValidator(MAX_RETRIES)]
    )
    retry_wait = models.PositiveSmallIntegerField(
        _("minutes before a retry"), default=5, validators=[MaxValueValidator(LONGEST_WAIT)]
    )
    on_failure = models.CharField(_("on failure"), max_length=8, choices=OnFailure, default=OnFailure.STOP)

    class Meta:
        verbose_name = _("step of a plan")
        verbose_name_plural = _("steps of plans")
        default_permissions = ()
        ordering = ["plan", "position"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "position"], name="one_step_per_position"),
            models.CheckConstraint(condition=Q(kind__in=StepKind.values), name="step_kind_is_known"),
            models.CheckConstraint(
                condition=Q(on_failure__in=OnFailure.values)
                & Q(retries__lte=MAX_RETRIES, retry_wait__lte=LONGEST_WAIT),
                name="step_failure_is_handled",
            ),
            models.CheckConstraint(
                condition=(~Q(kind=StepKind.VERIFICATION) | ~Q(verify_with=""))
                & (~Q(kind=StepKind.EXPORT) | ~Q(export_to="")),
                name="step_has_what_its_kind_needs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.get_kind_display()}"


class RunState(models.TextChoices):
    RUNNING = "running", _("running")
    WAITING = "waiting", _("waiting")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    REFUSED = "refused", _("not started")


OPEN_RUNS = (RunState.RUNNING, RunState.WAITING)


class PlanRun(models.Model):
    """One run of a plan: its steps as they were when it began, one after another.

    `position` and `attempt` name the step that runs, or that waits: for another task since `waiting_since`,
    or for the time of a retry until `not_before`. `due_at` is the plan's time, null for a run that somebody
    asked for; `skipped` counts the times of the plan that passed while it waited to begin. It outlives the
    plan.
    """

    plan = models.ForeignKey(
        CollectionPlan,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="runs",
        verbose_name=_("plan"),
    )
    plan_name = models.CharField(_("name"), max_length=100)
    state = models.CharField(_("status"), max_length=9, choices=RunState, default=RunState.WAITING)
    steps = models.JSONField(_("steps"), default=list)
    position = models.PositiveSmallIntegerField(_("step"), default=1)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    not_before = models.DateTimeField(_("not before"), null=True)
    waiting_since = models.DateTimeField(_("waiting since"), null=True)
    due_at = models.DateTimeField(_("due at"), null=True)
    is_late = models.BooleanField(_("late"), default=False)
    skipped = models.PositiveIntegerField(_("skipped runs"), default=0)
    started_at = models.DateTimeField(_("started at"), db_default=Now())
    ended_at = models.DateTimeField(_("ended at"), null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("run of a plan")
        verbose_name_plural = _("runs of plans")
        default_permissions = ()
        indexes = [models.Index(fields=["plan", "-id"], name="plan_runs_newest_first")]
        constraints = [
            models.UniqueConstraint(
                fields=["plan"], condition=Q(ended_at__isnull=True), name="one_open_run_per_plan"
            ),
            models.UniqueConstraint(fields=["plan", "due_at"], name="one_run_per_time_of_a_plan"),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="run_state_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_RUNS, ended_at__isnull=True)
                | (~Q(state__in=OPEN_RUNS) & Q(ended_at__isnull=False)),
                name="run_has_an_end_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan_name} {self.pk}"


class AttemptState(models.TextChoices):
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    WITH_FAILURES = "with_failures", _("with failures")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    REFUSED = "refused", _("not started")


class StepAttempt(models.Model):
    """An attempt at a step of a run: a task, an export, or a job that refreshes a stock list.

    Of a job, the copy that begins `generation` works, and reports before `alive_until`.
    """

    run = models.ForeignKey(PlanRun, models.CASCADE, related_name="attempts")
    position = models.PositiveSmallIntegerField(_("step"))
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    kind = models.CharField(_("kind of step"), max_length=12, choices=StepKind)
    state = models.CharField(_("status"), max_length=13, choices=AttemptState, default=AttemptState.RUNNING)
    task = models.ForeignKey(
        "tasks_app.CollectionTask",
        models.DO_NOTHING,  # the task may be deleted
        null=True,
        db_constraint=False,
        related_name="step_attempts",
    )
    # The task that yielded so that this one could begin. It may be deleted.
    overtook = models.ForeignKey(
        "tasks_app.CollectionTask",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("overtook"),
        related_name="+",
    )
    export_id = models.BigIntegerField(_("export"), null=True)
    result = models.JSONField(_("result"), null=True)
    started_at = models.DateTimeField(_("started at"), db_default=Now())
    ended_at = models.DateTimeField(_("ended at"), null=True)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    generation = models.PositiveIntegerField(default=0)
    begun = models.BooleanField(default=False)
    alive_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("attempt at a step")
        verbose_name_plural = _("attempts at steps")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["run", "position", "attempt"], name="one_start_per_step_and_attempt"
            ),
            models.CheckConstraint(condition=Q(state__in=AttemptState.values), name="attempt_state_is_known"),
            models.CheckConstraint(
                condition=Q(state=AttemptState.RUNNING, ended_at__isnull=True)
                | (~Q(state=AttemptState.RUNNING) & Q(ended_at__isnull=False)),
                name="attempt_has_an_end_when_final",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="attempt_ends_after_its_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}.{self.attempt} {self.get_kind_display()}"
