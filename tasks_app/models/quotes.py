"""Daily bars and what is recorded about them, calendar corrections, and source gates."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _, pgettext_lazy


class Market(models.TextChoices):
    CN = "CN", _("China A-shares")
    HK = "HK", _("Hong Kong")
    US = "US", _("United States")
    SIM = "SIM", _("Synthetic quotes")


SHORT_NAMES = {  # a list shows the codes, which for readers of Chinese are words
    Market.CN: pgettext_lazy("market", "CN"),
    Market.HK: pgettext_lazy("market", "HK"),
    Market.US: pgettext_lazy("market", "US"),
    Market.SIM: pgettext_lazy("market", "SIM"),
}


def short_name(market: str) -> str:
    """Returns a market as lists name it; an unknown one as it is."""
    return str(SHORT_NAMES.get(market, market))  # type: ignore[call-overload]


class InstrumentKind(models.TextChoices):
    """What a code stands for. `etf` is any fund that is traded like a stock: ETFs, LOFs, REITs."""

    STOCK = "stock", _("stock")
    ETF = "etf", _("fund (ETF)")
    INDEX = "index", _("index")
    OTHER = "other", _("other security")


# What a whole market can be collected of.
ORDER_KINDS = (InstrumentKind.STOCK, InstrumentKind.ETF, InstrumentKind.INDEX)


class SyntheticSource(models.Model):
    """A source whose quotes are made up: its name, added by the first order that names the source.

    By these names triggers (`db/triggers.py`) keep made-up quotes in the market SIM, and others out of it.
    A name stays, whatever a later version of the source declares: what it once wrote is made up.
    """

    name = models.CharField(_("source"), max_length=32, primary_key=True)

    class Meta:
        verbose_name = _("synthetic source")
        verbose_name_plural = _("synthetic sources")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Adjust(models.TextChoices):
    NONE = "", _("unadjusted")
    QFQ = "qfq", _("forward adjusted")
    HFQ = "hfq", _("backward adjusted")
    SPLIT = "split", _("split-adjusted")


class DailyBar(models.Model):
    """One session of one symbol under one adjustment.

    Prices and amount are in the market's currency, volume in shares, percentages in percent. `day` is the
    session's date in the market's time zone. A value that the source does not send is null, never a guess.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
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
    # As the source sent them; those that rules tell are computed on read (`quotes.daily_limits`).
    limit_up = models.FloatField(_("limit up"), null=True)
    limit_down = models.FloatField(_("limit down"), null=True)
    source = models.CharField(_("source"), max_length=32)
    # The item that stored it. No constraint and no index: bars outlive deleted tasks, and no query finds
    # bars by their item.
    item = models.ForeignKey(
        "tasks_app.CollectionItem",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("item"),
    )
    collected_at = models.DateTimeField(_("collected at"), db_default=Now())

    class Meta:
        verbose_name = _("daily bar")
        verbose_name_plural = _("daily bars")
        permissions = [("bulk_read", _("Can read bars in bulk"))]
        constraints = [
            models.UniqueConstraint(fields=["market", "symbol", "adjust", "day"], name="one_bar_per_day"),
            models.CheckConstraint(
                condition=Q(low__lte=F("open"))
                & Q(low__lte=F("close"))
                & Q(high__gte=F("open"))
                & Q(high__gte=F("close"))
                & Q(volume__gte=0),
                name="bar_is_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.day}"


class Series(models.Model):
    """What is stored of one symbol under one adjustment, updated by the transactions that write its bars.

    `covered` holds the days that a source has answered for, as ascending, disjoint pairs of ISO dates, both
    ends included: [["2015-01-05", "2024-06-28"], …]. A session within them without a bar had none, and is not
    requested again. `absences` says why a day has no bar, from what the sources answered (`quotes.absences`):
    [[first, last, reason, source, day of the request, bound], …]. `full_at` is when the whole listed life was
    answered.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    bars = models.PositiveIntegerField(_("bars"), default=0)
    first_day = models.DateField(_("first bar"), null=True)
    last_day = models.DateField(_("last bar"), null=True)
    covered = models.JSONField(_("days answered"), default=list)
    absences = models.JSONField(_("days without a bar"), default=list)
    # Bars by month, as `quotes.month_counts` writes them; "" while they are not counted, or without bars.
    months = models.TextField(_("bars by month"), blank=True, default="", db_default="")
    full_at = models.DateTimeField(_("full history collected at"), null=True)
    updated_at = models.DateTimeField(_("updated at"), db_default=Now())

    class Meta:
        verbose_name = _("series")
        verbose_name_plural = _("series")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["market", "adjust", "symbol"], name="one_series_per_symbol_and_adjustment"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.adjust}".strip()


class Correction(models.Model):
    """A stored bar that a source changed later, with the values before and after by column name.

    An adjusted series that changed as a whole (after a dividend or split) is one correction without `before`
    and `after`: `day` is then the first day that changed, `bars` the number of days. A bar that its source no
    longer has was removed: `after` is then {}.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    day = models.DateField(_("day"))
    bars = models.PositiveIntegerField(_("bars"), default=1)
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("after"), null=True)
    source = models.CharField(_("source"), max_length=32)
    # The source of the values before; "" where it is not recorded: of older corrections, and of whole series.
    previous_source = models.CharField(_("source before"), max_length=32, blank=True, default="")
    item = models.ForeignKey(
        "tasks_app.CollectionItem",
        models.DO_NOTHING,  # it may be deleted
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="corrections",
        verbose_name=_("item"),
    )
    # The replay of raw answers that changed the bar: its source has changed nothing; null for all others.
    replay = models.ForeignKey(
        "tasks_app.RawAnswerReplay",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("replay"),
    )
    corrected_at = models.DateTimeField(_("corrected at"), db_default=Now())

    class Meta:
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["market", "symbol", "day"], name="corrections_by_symbol"),
            models.Index(fields=["market", "-id"], name="corrections_by_market"),
            models.Index(fields=["market", "-day", "-id"], name="corrections_by_day"),
            models.Index(fields=["item"], name="corrections_by_item"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.day}"


class FindingKind(models.TextChoices):
    REFUSED = "refused", _("refused")
    FLAGGED = "flagged", _("flagged")
    DIFFERS = "differs", _("differs")


class Finding(models.Model):
    """What validation found in one incoming bar: refused (not stored) or flagged (stored, but doubtful).

    Or that two sources differ on a day: `values` are then the differing ones of `source`, `other_values`
    those of `other_source`, which are stored nowhere else. There is one such row per day and pair of
    sources: the newest comparison replaces it, or deletes it if they agree.
    """

    item = models.ForeignKey(
        "tasks_app.CollectionItem",
        models.DO_NOTHING,  # it may be deleted
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="findings",
        verbose_name=_("item"),
    )
    market = models.CharField(_("market"), max_length=3, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    adjust = models.CharField(_("adjustment"), max_length=5, choices=Adjust, blank=True, default="")
    day = models.DateField(_("day"), null=True)
    kind = models.CharField(_("kind"), max_length=7, choices=FindingKind)
    code = models.CharField(_("error code"), max_length=40)
    message = models.TextField(_("message"))
    # What the message is made of (`reasons.FINDINGS`), and the bar's values by column name; null in rows from
    # before they were recorded.
    params = models.JSONField(_("parameters"), null=True)
    values = models.JSONField(_("values of the bar"), null=True)
    # "" for a finding from before this was recorded whose source can't be told any more.
    source = models.CharField(_("source"), max_length=32, blank=True, default="")
    other_source = models.CharField(_("compared with"), max_length=32, blank=True, default="", db_default="")
    other_values = models.JSONField(_("values of the other source"), null=True)
    found_at = models.DateTimeField(_("found at"), db_default=Now())

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["market", "symbol", "day"], name="findings_by_symbol"),
            models.Index(fields=["kind", "-id"], name="findings_by_kind"),
            models.Index(fields=["market", "-id"], name="findings_by_market"),
            models.Index(fields=["market", "-day", "-id"], name="findings_by_day"),
            models.Index(fields=["item"], name="findings_by_item"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["market", "symbol", "adjust", "day", "source", "other_source"],
                condition=Q(kind=FindingKind.DIFFERS),
                name="one_difference_per_day_and_sources",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.day} {self.code}"


class CalendarDay(models.Model):
    """A correction of the trading calendar: whether this day is a session of the market."""

    market = models.CharField(_("market"), max_length=3, choices=Market)
    day = models.DateField(_("day"))
    is_session = models.BooleanField(_("trading day"))
    note = models.CharField(_("note"), max_length=200, blank=True)
    # Who corrected it last; "" and null in rows from before this was recorded.
    changed_by = models.CharField(_("changed by"), max_length=150, blank=True, default="", db_default="")
    changed_at = models.DateTimeField(_("changed at"), null=True)

    class Meta:
        verbose_name = _("calendar override")
        verbose_name_plural = _("calendar overrides")
        ordering = ["market", "-day"]
        constraints = [
            models.UniqueConstraint(fields=["market", "day"], name="one_override_per_day"),
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.day}"


class SilentAnswer(models.Model):
    """An answer without a bar of this day, for a stock that had bars up to the session before.

    Enough of them settle that the source has no quotes of the day (`market.silent_days`); the first bar of
    the day deletes them. `is_proven`: the answer had a later bar, so the source was not merely late.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    source = models.CharField(_("source"), max_length=32)
    day = models.DateField(_("day"))
    symbol = models.CharField(_("code"), max_length=16)
    is_proven = models.BooleanField(_("later bars seen"), default=False)
    task = models.ForeignKey(
        "tasks_app.CollectionTask",
        models.DO_NOTHING,  # it may be deleted
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("task"),
    )
    asked_at = models.DateTimeField(_("asked at"), db_default=Now())

    class Meta:
        verbose_name = _("answer without quotes")
        verbose_name_plural = _("answers without quotes")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["market", "source", "day", "symbol"], name="one_silent_answer_per_stock"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.day} {self.symbol}"


class SourceGate(models.Model):
    """One source's rate limit, daily cap and circuit breaker, shared by all workers and hosts.

    `next_at` is advanced while the row is locked, so the rate holds for any number of processes, and with it
    `recent`, the permits of the last minute and hour: see `throttle.windows`. `daily_cap` is the one that
    counted for the last of the `requests_today` (0: none). Consecutive
    refusals open the breaker until `open_until`. Where no retry would help, they are counted only while they
    are the same, by `refusal_code`; the pause of a source that refuses every request `refuses_all`. A check
    holds a source with one session: see `throttle.holds`. All times are the database's. `permits` is the
    number of all permits ever given, and `waited` the seconds that their requests waited for their turn.
    """

    source = models.CharField(_("source"), max_length=32, primary_key=True)
    next_at = models.DateTimeField(_("next request"), null=True)
    day = models.DateField(_("day"), null=True)
    requests_today = models.PositiveIntegerField(_("requests today"), default=0)
    daily_cap = models.PositiveIntegerField(_("daily cap"), default=0, db_default=0)
    recent = models.JSONField(_("recent permits"), default=dict, db_default={}, editable=False)
    permits = models.PositiveBigIntegerField(_("permits"), default=0, db_default=0)
    waited = models.FloatField(_("seconds waited"), default=0.0, db_default=0.0)
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=0)
    open_until = models.DateTimeField(_("paused until"), null=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    refusal_code = models.CharField(
        _("code of the refusals"), max_length=40, blank=True, default="", db_default=""
    )
    refuses_all = models.BooleanField(_("refuses every request"), default=False, db_default=False)
    held_until = models.DateTimeField(_("held until"), null=True)
    held_by = models.CharField(_("held by"), max_length=32, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("source gate")
        verbose_name_plural = _("source gates")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.source
