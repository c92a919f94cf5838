"""Tasks with their items and lanes, and the single-run slot."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.priorities import Priority
from tasks_app.models.quotes import ORDER_KINDS, Adjust, InstrumentKind, Market
from tasks_app.models.states import (
    FINAL_STATES,
    OPEN_STATES,
    OUTCOME,
    ItemState,
    TaskOutcome,
    TaskStatus,
    describe_result,
)

YIELDED = "yielded"  # the error code of a task that ended for a plan of a higher priority


class CollectionTask(models.Model):
    """One collection: an order and its progress. Only `lifecycle` changes it."""

    id = models.UUIDField(_("task"), primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(_("status"), max_length=9, choices=TaskStatus, default=TaskStatus.RUNNING)
    market = models.CharField(_("market"), max_length=3, choices=Market)
    source = models.CharField(_("source"), max_length=32)
    fallbacks = models.JSONField(_("further sources"), default=list, blank=True)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    # What a whole market is collected of; named codes may be of any kind.
    kind = models.CharField(
        _("kind"),
        max_length=5,
        choices=InstrumentKind,
        default=InstrumentKind.STOCK,
        db_default=InstrumentKind.STOCK,
    )
    start_date = models.DateField(_("first day"))
    end_date = models.DateField(_("last day"))
    stock_codes = models.JSONField(_("stock codes"), null=True, blank=True)
    unknown_codes = models.JSONField(_("unknown codes"), default=list, blank=True)
    test_mode = models.BooleanField(_("test mode"), default=False)
    full_collection_mode = models.BooleanField(_("full collection mode"), default=False)
    force_update = models.BooleanField(_("force update"), default=False)
    # The source whose bars are compared with those that are collected, of so many percent of the stocks.
    verify_with = models.CharField(_("compared with"), max_length=32, blank=True, default="", db_default="")
    verify_sample = models.PositiveSmallIntegerField(_("sample in percent"), default=100, db_default=100)

    total_stocks = models.PositiveIntegerField(_("stocks"), default=0)
    processed_stocks = models.PositiveIntegerField(_("processed"), default=0)
    success_count = models.PositiveIntegerField(_("succeeded"), default=0)
    failed_count = models.PositiveIntegerField(_("failed"), default=0)
    collected_count = models.PositiveBigIntegerField(_("bars collected"), default=0)
    corrected_count = models.PositiveBigIntegerField(_("bars corrected"), default=0)
    skipped_count = models.PositiveBigIntegerField(_("bars skipped"), default=0)
    refused_count = models.PositiveBigIntegerField(_("bars refused"), default=0)
    flagged_count = models.PositiveBigIntegerField(_("bars flagged"), default=0)
    compared_count = models.PositiveBigIntegerField(_("bars compared"), default=0, db_default=0)
    differing_count = models.PositiveBigIntegerField(_("bars that differ"), default=0, db_default=0)
    uncompared_count = models.PositiveIntegerField(_("stocks not compared"), default=0, db_default=0)

    # Null unless completed. The database generates it, so it agrees with the counters of tasks old and new.
    outcome = models.GeneratedField(
        verbose_name=_("outcome"),
        expression=OUTCOME,
        output_field=models.CharField(max_length=13, choices=TaskOutcome, null=True),
        choices=TaskOutcome,
        db_persist=True,
    )

    # What came from which source, stored when a task with fallbacks ends: {name: {"stocks", "bars"}, …}.
    shares = models.JSONField(null=True, editable=False)

    start_time = models.DateTimeField(_("started at"), db_default=Now(), editable=False)
    planned_at = models.DateTimeField(_("planned at"), null=True, editable=False)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), db_default=Now(), editable=False)
    end_time = models.DateTimeField(_("ended at"), null=True, editable=False)
    # While it is paused: since when, and by whom ("" for the terminal). Its status is `running`.
    paused_at = models.DateTimeField(_("paused at"), null=True, editable=False)
    paused_by = models.CharField(
        _("paused by"), max_length=150, blank=True, default="", db_default="", editable=False
    )
    # When it was resumed last, and for how long it has been paused since it was planned, without this pause.
    resumed_at = models.DateTimeField(_("resumed at"), null=True, editable=False)
    paused_seconds = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    priority = models.SmallIntegerField(
        _("priority"), choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL
    )
    # While it yields: since when. No further stock is claimed, and it ends once none is claimed any more.
    yielding_at = models.DateTimeField(_("yielding since"), null=True, editable=False)
    # The plan that it yields or yielded to, with its name of then; the plan may be deleted.
    yields_to = models.ForeignKey(
        "tasks_app.CollectionPlan",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("yields to"),
        related_name="+",
    )
    yields_to_name = models.CharField(
        _("yields to"), max_length=100, blank=True, default="", db_default="", editable=False
    )
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        verbose_name=_("started by"),
        related_name="+",
    )
    # No constraint: this keeps the id of a deleted task, so that pages can say what was deleted.
    retry_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        verbose_name=_("retry of"),
        related_name="retries",
    )
    # The yielded task whose rest it collects, and the first one of that chain. As above, they may be deleted.
    continues = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("continues"),
        related_name="continuations",
    )
    first_part = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("first part"),
        related_name="+",
    )
    # The plan that ordered it, with its name of then; the plan may be deleted.
    plan = models.ForeignKey(
        "tasks_app.CollectionPlan",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        editable=False,
        verbose_name=_("plan"),
        related_name="+",
    )
    plan_name = models.CharField(_("plan"), max_length=100, blank=True, default="", db_default="")
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    idempotency_hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        permissions = [
            ("start_task", _("Can start a collection")),
            ("cancel_task", _("Can cancel a collection")),
            ("pause_task", _("Can pause and resume a collection")),
            ("retry_task", _("Can retry a collection")),
        ]
        default_permissions = ("view", "delete")
        indexes = [
            models.Index(fields=["-start_time", "-id"], name="tasks_newest_first"),
            # An index per list filter, in the list's order: few matches among a million tasks are found fast.
            models.Index(fields=["status", "-start_time", "-id"], name="tasks_by_status"),
            models.Index(fields=["market", "-start_time", "-id"], name="tasks_by_market"),
            models.Index(fields=["source", "-start_time", "-id"], name="tasks_by_source"),
            models.Index(fields=["outcome", "-start_time", "-id"], name="tasks_by_outcome"),
            models.Index(
                fields=["first_part", "start_time"],
                condition=Q(first_part__isnull=False),
                name="tasks_by_chain",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["status"],
                condition=Q(status=TaskStatus.RUNNING),
                name="one_running_task",
            ),
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"], name="one_task_per_idempotency_key"
            ),
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_is_legal"),
            models.CheckConstraint(condition=Q(market__in=Market.values), name="task_market_is_known"),
            models.CheckConstraint(condition=Q(kind__in=ORDER_KINDS), name="task_kind_is_known"),
            models.CheckConstraint(condition=Q(start_date__lte=F("end_date")), name="task_dates_in_order"),
            models.CheckConstraint(
                condition=Q(verify_sample__gte=1, verify_sample__lte=100)
                & (Q(verify_with="") | ~Q(verify_with=F("source"))),
                name="task_is_verified_by_another_source",
            ),
            models.CheckConstraint(
                condition=Q(differing_count__lte=F("compared_count"))
                & Q(uncompared_count__lte=F("success_count")),
                name="task_comparison_is_true",
            ),
            models.CheckConstraint(
                condition=Q(processed_stocks=F("success_count") + F("failed_count"))
                & Q(processed_stocks__lte=F("total_stocks")),
                name="task_counters_are_true",
            ),
            models.CheckConstraint(
                condition=Q(status=TaskStatus.RUNNING, end_time__isnull=True)
                | (~Q(status=TaskStatus.RUNNING) & Q(end_time__isnull=False)),
                name="task_has_an_end_when_final",
            ),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=True, paused_by="")
                | Q(paused_at__isnull=False, status=TaskStatus.RUNNING),
                name="task_is_paused_only_while_running",
            ),
            models.CheckConstraint(  # a range: Django can't read the SQL of a list of numbers back on SQLite
                condition=Q(priority__gte=Priority.LOW, priority__lte=Priority.HIGH),
                name="task_priority_is_known",
            ),
            models.CheckConstraint(
                condition=Q(yields_to__isnull=True, yields_to_name="", yielding_at__isnull=True)
                & ~Q(error_code=YIELDED)
                | Q(
                    yields_to__isnull=False,
                    yielding_at__isnull=False,
                    status=TaskStatus.RUNNING,
                    paused_at__isnull=True,
                )
                | Q(
                    yields_to__isnull=False,
                    yielding_at__isnull=True,
                    status=TaskStatus.CANCELLED,
                    error_code=YIELDED,
                ),
                name="task_yields_while_running_or_has_yielded",
            ),
            models.UniqueConstraint(fields=["continues"], name="one_continuation_per_task"),
            models.CheckConstraint(
                condition=Q(continues__isnull=True, first_part__isnull=True)
                | Q(continues__isnull=False, first_part__isnull=False),
                name="task_continues_in_a_chain",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def progress(self) -> int:
        """The share of processed stocks in percent, 0 to 100, rounded down."""
        if not self.total_stocks:
            return 0
        return min(100, int(self.processed_stocks / self.total_stocks * 100))

    def get_result_display(self) -> str:
        """Returns `states.describe_result` of this task, or that it is paused, yields, or has yielded."""
        if self.has_yielded:
            return str(_("yielded"))
        name = describe_result(self.status, self.outcome)
        halted = _("yielding") if self.yielding_at else _("paused") if self.paused_at else ""
        return f"{name} · {halted}" if halted else name

    @property
    def has_yielded(self) -> bool:
        """Whether it ended for a plan of a higher priority; its rest is a task of its own."""
        return self.error_code == YIELDED

    @property
    def chain_id(self) -> uuid.UUID:
        """The id of the first task of the chain that it belongs to; its own unless it continues another."""
        return self.first_part_id or self.pk

    @property
    def priority_name(self) -> str:
        """Its priority as the API writes it."""
        return Priority.name_of(self.priority)


class CollectionItem(models.Model):
    """One stock of a task. Claims and releases increase `fence`: writes with an older number are refused.

    `losses` is how often a worker was lost, or ran out of memory during a request, while it held this stock.
    From the first time on the stock is a suspect: it is collected in isolation, while its worker holds no
    other stock. So all but the first time were in isolation, and in isolation only lost workers count: a
    stock that is out of memory alone has failed at this source.
    """

    task = models.ForeignKey(
        CollectionTask, models.CASCADE, db_index=False, related_name="items", verbose_name=_("task")
    )
    position = models.PositiveIntegerField(_("position"))
    code = models.CharField(_("code"), max_length=16)
    state = models.CharField(_("state"), max_length=9, choices=ItemState, default=ItemState.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    lane = models.PositiveSmallIntegerField(_("lane"), null=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    fence = models.PositiveBigIntegerField(default=0, editable=False)
    losses = models.PositiveSmallIntegerField(_("lost workers"), db_default=0, editable=False)
    not_before = models.DateTimeField(_("not before"), null=True, editable=False)
    rows_collected = models.PositiveIntegerField(_("bars collected"), default=0)
    rows_corrected = models.PositiveIntegerField(_("bars corrected"), default=0)
    rows_skipped = models.PositiveIntegerField(_("bars skipped"), default=0)
    rows_refused = models.PositiveIntegerField(_("bars refused"), default=0)
    rows_flagged = models.PositiveIntegerField(_("bars flagged"), default=0)
    # Null unless its bars were to be compared with those of the task's second source, and were.
    rows_compared = models.PositiveIntegerField(_("bars compared"), null=True)
    rows_differing = models.PositiveIntegerField(_("bars that differ"), null=True)
    # Why they were not, in English; null unless they were to be.
    not_compared = models.TextField(_("not compared"), null=True)
    source = models.CharField(_("answered by"), max_length=32, blank=True)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    note = models.TextField(_("note"), blank=True, default="", db_default="")
    # `lifecycle.attempts`: the last attempts, of which the number above does not count all.
    attempt_log = models.JSONField(_("attempts"), null=True, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, editable=False)
    finished_at = models.DateTimeField(_("ended at"), null=True, editable=False)

    class Meta:
        verbose_name = _("item")
        verbose_name_plural = _("items")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["task", "state", "position"], name="items_by_state")]
        constraints = [
            models.UniqueConstraint(fields=["task", "code"], name="one_item_per_code"),
            models.UniqueConstraint(fields=["task", "position"], name="one_item_per_position"),
            models.UniqueConstraint(
                fields=["task", "lane"],
                condition=Q(state=ItemState.CLAIMED, losses__gt=0),
                name="one_suspect_per_lane",
            ),
            models.CheckConstraint(condition=Q(state__in=ItemState.values), name="item_state_is_legal"),
            models.CheckConstraint(
                condition=Q(state=ItemState.CLAIMED, lease_until__isnull=False, lane__isnull=False)
                | (~Q(state=ItemState.CLAIMED) & Q(lease_until__isnull=True, lane__isnull=True)),
                name="item_is_leased_while_claimed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OPEN_STATES), finished_at__isnull=True)
                | Q(state__in=sorted(FINAL_STATES), finished_at__isnull=False),
                name="item_has_an_end_when_final",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class CollectionLane(models.Model):
    """The right to run one slice of a task at a time. Only the slice that began `generation` may write."""

    task = models.ForeignKey(
        CollectionTask, models.CASCADE, db_index=False, related_name="lanes", verbose_name=_("task")
    )
    number = models.PositiveSmallIntegerField(_("lane"))
    generation = models.PositiveBigIntegerField(default=0, editable=False)
    begun = models.BooleanField(default=False, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    worker = models.CharField(_("worker"), max_length=100, blank=True)
    # Whether the slice has a request for a whole day in flight, which may be what kills its worker.
    fetches_day = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        verbose_name = _("lane")
        verbose_name_plural = _("lanes")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="one_lane_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}/{self.number}"


class ExecutionSlot(models.Model):
    """The single row that every start locks first. Its task holds the slot while it is running."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    task = models.ForeignKey(
        CollectionTask, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_slot")]

    def __str__(self) -> str:
        return str(self.task_id or "")
