"""What vendors answered, as it came: the calls of sources, their responses, and the stocks of each call.

Contents are stored once, however many responses have them. Calls are numbered in the order of their record,
so the oldest are those with the lowest ids.
"""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.events import Channel
from tasks_app.models.quotes import Adjust, Market


class RawContent(models.Model):
    """The body of a response, compressed by zlib, under its SHA-256 in hex. `size` is that of the body."""

    sha256 = models.CharField("SHA-256", max_length=64, primary_key=True)
    size = models.PositiveIntegerField(_("size"))
    stored_size = models.PositiveIntegerField(_("compressed size"))
    data = models.BinaryField(_("content"))

    class Meta:
        verbose_name = _("raw content")
        verbose_name_plural = _("raw contents")
        default_permissions = ()
        # Without it the sum of the sizes would read the contents, too, on SQLite.
        indexes = [models.Index(fields=["stored_size"], name="raw_contents_by_size")]

    def __str__(self) -> str:
        return self.sha256


class CallKind(models.TextChoices):
    """What was asked for: the capabilities of `sources.traits`, but for stock lists."""

    BARS = "bars", _("bars of a stock")
    BATCH = "batch", _("bars of several stocks")
    DAY = "day", _("a day of the whole market")
    FACTORS = "factors", _("adjustment factors")
    ACTIONS = "actions", _("corporate actions")


class RecordedCall(models.Model):
    """One call of a source, which may have been several requests to its vendor.

    `arguments` are those of the source's method by name; codes as the source writes them. `asked_at` is the
    time of the worker's clock by which the source told what today is. `error_code`: why the source took the
    responses for a failure; "" if it did not.
    """

    source = models.CharField(_("source"), max_length=32)
    market = models.CharField(_("market"), max_length=3, choices=Market)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    kind = models.CharField(_("asked for"), max_length=7, choices=CallKind)
    arguments = models.JSONField(_("arguments"))
    first_day = models.DateField(_("first day"), null=True)
    last_day = models.DateField(_("last day"), null=True)
    error_code = models.CharField(_("error code"), max_length=40, blank=True, default="")
    asked_at = models.DateTimeField(_("asked at"))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=Now())

    class Meta:
        verbose_name = _("raw answer")
        verbose_name_plural = _("raw answers")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["source", "-id"], name="recorded_calls_by_source"),
            models.Index(fields=["recorded_at"], name="recorded_calls_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.source} #{self.pk}"


class RawAnswer(models.Model):
    """One response within a call: what was asked, without secrets, and the content that came."""

    # The database's constraints protect what these refer to; Django would read all of it before a deletion.
    call = models.ForeignKey(RecordedCall, models.DO_NOTHING, related_name="answers", verbose_name=_("call"))
    position = models.PositiveSmallIntegerField(_("position"))
    asked = models.TextField(_("request"))
    about = models.JSONField(_("about the response"), default=dict)
    content = models.ForeignKey(
        RawContent, models.DO_NOTHING, related_name="answers", verbose_name=_("raw content")
    )

    class Meta:
        verbose_name = _("response of a vendor")
        verbose_name_plural = _("responses of vendors")
        default_permissions = ()

    def __str__(self) -> str:
        return self.asked[:80]


class RecordedStock(models.Model):
    """That a call was made for a stock's item: whatever the item stored came from its calls.

    A call for many stocks has many of these. The days before `missing_from` were stored before, and only
    compared; null: none was. Without a constraint, because items are deleted on their own,
    and so are calls while a worker still holds the day that one of them brought.
    """

    call = models.ForeignKey(
        RecordedCall, models.DO_NOTHING, db_constraint=False, related_name="stocks", verbose_name=_("call")
    )
    item = models.ForeignKey(
        "tasks_app.CollectionItem",
        models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        verbose_name=_("item"),
    )
    symbol = models.CharField(_("code"), max_length=16)
    missing_from = models.DateField(_("first missing day"), null=True)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=Now())

    class Meta:
        verbose_name = _("stock of a recorded call")
        verbose_name_plural = _("stocks of recorded calls")
        default_permissions = ()
        indexes = [models.Index(fields=["symbol", "call"], name="recorded_calls_of_a_stock")]

    def __str__(self) -> str:
        return self.symbol


class RawAnswerReplay(models.Model):
    """One replay that wrote: who had it done, of what, and how many rows it changed.

    Written by the transactions that change them, so the counts are true however it ends; `ended_at` stays
    null if it was interrupted.
    """

    source = models.CharField(_("source"), max_length=32)
    market = models.CharField(_("market"), max_length=3, choices=Market, blank=True)
    codes = models.JSONField(_("codes"), default=list)  # empty: all
    since = models.DateField(_("since"), null=True)
    stocks = models.PositiveIntegerField(_("stocks"), default=0)
    added = models.PositiveBigIntegerField(_("new bars"), default=0)
    corrected = models.PositiveBigIntegerField(_("corrected bars"), default=0)
    adjustments = models.PositiveIntegerField(_("factor and action tables"), default=0)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("user"), related_name="+"
    )
    user_name = models.CharField(_("user name"), max_length=150, blank=True)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)

    class Meta:
        verbose_name = _("replay of raw answers")
        verbose_name_plural = _("replays of raw answers")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.source} {self.market}".strip()
