"""Notices: incidents, whom their messages reach through which channel, and pings while all is well."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import Market, short_name

LONGEST_GROUPING, SHORTEST_PING, LONGEST_PING = 3600, 30, 86_400  # seconds


class NoticeEvent(models.TextChoices):
    """What an incident is about; those of alerts.yml that Prometheus watches as well have its words."""

    TASK_FAILED = "task_failed", _("task failed")
    TASK_WITH_FAILURES = "task_with_failures", _("task completed with failures")
    TASK_WITHOUT_BARS = "task_without_bars", _("task brought nothing")
    PLAN_LATE = "plan_late", _("plan is late")
    PLAN_REFUSED = "plan_refused", _("plan was refused")
    ORDER_REFUSED = "order_refused", _("queued order was refused")
    DATA_BEHIND = "data_behind", _("data are behind")
    SOURCE_PAUSED = "source_paused", _("source is paused")
    QUOTA_USED = "quota_used", _("quota is used up")
    NO_WORKER = "no_worker", _("no worker")
    DISK_LOW = "disk_low", _("disk is nearly full")
    CALENDAR_ENDS = "calendar_ends", _("calendar ends soon")


class Severity(models.IntegerChoices):
    """Ordered, with the words of Prometheus' alerts."""

    INFO = 1, _("info")
    WARNING = 2, _("warning")
    CRITICAL = 3, _("critical")


class Incident(models.Model):
    """A cause of notices, from when it was observed until it is over. Only `notices` changes it.

    `key` tells the causes of an event apart: a source, a plan, a market. `revision` counts what is to be
    told: that it began, what is new about it, its end. `routed` is the revision whose deliveries were made.
    `params` are what its sentences are made of.
    """

    event = models.CharField(_("event"), max_length=20, choices=NoticeEvent)
    key = models.CharField(_("cause"), max_length=150)
    market = models.CharField(_("market"), max_length=3, choices=Market, blank=True, default="")
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    times = models.PositiveIntegerField(_("times"), default=1)
    revision = models.PositiveIntegerField(default=1, editable=False)
    routed = models.PositiveIntegerField(default=0, editable=False)
    opened_at = models.DateTimeField(_("since"), db_default=Now(), editable=False)
    changed_at = models.DateTimeField(_("changed at"), db_default=Now(), editable=False)
    closed_at = models.DateTimeField(_("over since"), null=True, editable=False)
    closed_by = models.CharField(_("closed by"), max_length=150, blank=True, default="")
    silenced_until = models.DateTimeField(_("silenced until"), null=True, editable=False)
    silenced_by = models.CharField(_("silenced by"), max_length=150, blank=True, default="")

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        default_permissions = ("view",)
        permissions = [("silence_incident", _("Can silence and close an incident"))]
        indexes = [
            models.Index(fields=["-opened_at", "-id"], name="incidents_newest_first"),
            models.Index(fields=["id"], condition=Q(routed__lt=F("revision")), name="incidents_to_be_routed"),
            models.Index(fields=["closed_at"], name="incidents_by_end"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "key"],
                condition=Q(closed_at__isnull=True),
                name="one_open_incident_per_cause",
            ),
            models.CheckConstraint(condition=Q(event__in=NoticeEvent.values), name="incident_event_is_known"),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="incident_severity_is_known"
            ),
            models.CheckConstraint(
                condition=Q(routed__lte=F("revision")), name="incident_is_routed_as_far_as_it_is"
            ),
        ]

    def __str__(self) -> str:
        return " · ".join(filter(None, (str(self.get_event_display()), short_name(self.market))))


class NoticeChannel(models.Model):
    """Where messages go: an address of the library apprise, encrypted (see `db.encryption`), and how.

    `generation` and `lease_until` let one worker at a time send to a channel, as a task's lane does:
    `begun` says whether a worker has taken the job. `failures` counts attempts in a row that failed.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    url = models.TextField(_("encrypted address"))
    language = models.CharField(
        _("language"), max_length=7, choices=[("en", "English"), ("zh-hans", "简体中文")], default="en"
    )
    time_zone = models.CharField(_("time zone"), max_length=64, default="Asia/Shanghai")
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    critical_always = models.BooleanField(_("critical ones also in quiet hours"), default=True)
    grouping = models.PositiveIntegerField(
        _("grouping in seconds"), default=20, validators=[MaxValueValidator(LONGEST_GROUPING)]
    )
    changed_at = models.DateTimeField(_("changed at"), db_default=Now(), editable=False)
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True, default="", editable=False)
    generation = models.PositiveIntegerField(default=0, editable=False)
    begun = models.BooleanField(default=False, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    last_sent_at = models.DateTimeField(_("last message"), null=True, editable=False)
    failures = models.PositiveIntegerField(_("failures"), default=0, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    error = models.TextField(_("error"), blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("notice channel")
        verbose_name_plural = _("notice channels")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="channel_is_quiet_from_and_until",
            ),
            models.CheckConstraint(
                condition=Q(failures=0, failing_since__isnull=True)
                | Q(failures__gt=0, failing_since__isnull=False),
                name="channel_fails_since_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class NoticeRule(models.Model):
    """Which incidents a channel tells of: of any event or market where none is named."""

    channel = models.ForeignKey(
        NoticeChannel, models.CASCADE, related_name="rules", verbose_name=_("channel")
    )
    event = models.CharField(
        _("event"), max_length=20, choices=NoticeEvent, blank=True, default="", db_default=""
    )
    market = models.CharField(
        _("market"), max_length=3, choices=Market, blank=True, default="", db_default=""
    )
    severity = models.PositiveSmallIntegerField(
        _("severity at least"), choices=Severity, default=Severity.WARNING
    )

    class Meta:
        verbose_name = _("rule of a channel")
        verbose_name_plural = _("rules of channels")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "event", "market"], name="one_rule_per_event_and_market"
            ),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="rule_severity_is_known"),
        ]

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.event, self.market, self.get_severity_display())))


class DeliveryKind(models.TextChoices):
    OPENED = "opened", _("began")
    NEWS = "news", _("news")
    CLOSED = "closed", _("over")
    TEST = "test", _("test")


class DeliveryState(models.TextChoices):
    """`SKIPPED`: a later one says more, or the cause was over before anybody was told."""

    PENDING = "pending", _("waiting")
    SENT = "sent", _("sent")
    FAILED = "failed", _("given up")
    SKIPPED = "skipped", _("not needed")


class NoticeDelivery(models.Model):
    """One revision of an incident on its way to a channel, or a test without an incident."""

    incident = models.ForeignKey(
        Incident, models.CASCADE, null=True, related_name="deliveries", verbose_name=_("incident")
    )
    channel = models.ForeignKey(
        NoticeChannel, models.CASCADE, related_name="deliveries", db_index=False, verbose_name=_("channel")
    )
    revision = models.PositiveIntegerField(default=0, editable=False)
    kind = models.CharField(_("kind"), max_length=6, choices=DeliveryKind)
    state = models.CharField(_("status"), max_length=7, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    next_at = models.DateTimeField(_("next attempt"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    error = models.TextField(_("error"), blank=True, default="")
    user_name = models.CharField(_("user name"), max_length=150, blank=True, default="")

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        default_permissions = ()
        indexes = [
            models.Index(fields=["channel", "-id"], name="deliveries_by_channel"),
            models.Index(
                fields=["channel", "next_at"], condition=Q(state=DeliveryState.PENDING), name="deliveries_due"
            ),
            models.Index(fields=["ended_at"], name="deliveries_by_end"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "channel", "revision"], name="one_delivery_per_revision"
            ),
            models.CheckConstraint(
                condition=Q(state__in=DeliveryState.values), name="delivery_state_is_legal"
            ),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.PENDING, ended_at__isnull=True)
                | (~Q(state=DeliveryState.PENDING) & Q(ended_at__isnull=False)),
                name="delivery_has_an_end_when_final",
            ),
            models.CheckConstraint(
                condition=Q(kind=DeliveryKind.TEST, incident__isnull=True)
                | (~Q(kind=DeliveryKind.TEST) & Q(incident__isnull=False)),
                name="delivery_is_of_an_incident_or_a_test",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id} {self.kind}"


class NoticePing(models.Model):
    """A dead man's switch: an address, encrypted, that is requested every so often while all is well.

    Whoever waits there sounds the alarm when no request comes: a dead machine sends no notice itself.
    `next_at` is when the next one is due; a worker that moved it there sends it. `withheld` is the event of
    an open incident that kept the last one back.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    url = models.TextField(_("encrypted address"))
    seconds = models.PositiveIntegerField(
        _("every so many seconds"),
        default=300,
        validators=[MinValueValidator(SHORTEST_PING), MaxValueValidator(LONGEST_PING)],
    )
    next_at = models.DateTimeField(_("next ping"), db_default=Now(), editable=False)
    last_at = models.DateTimeField(_("last ping"), null=True, editable=False)
    withheld = models.CharField(
        _("withheld because of"), max_length=20, choices=NoticeEvent, blank=True, default="", editable=False
    )
    error = models.TextField(_("error"), blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("dead man's switch")
        verbose_name_plural = _("dead man's switches")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(seconds__gte=SHORTEST_PING, seconds__lte=LONGEST_PING),
                name="ping_is_neither_too_often_nor_too_rare",
            ),
        ]

    def __str__(self) -> str:
        return self.name
