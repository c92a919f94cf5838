"""The quote store: stocks, the lists they come from, and daily bars."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Market(models.TextChoices):
    CN = "CN", _("China A-shares")
    HK = "HK", _("Hong Kong")
    US = "US", _("United States")


class Adjust(models.TextChoices):
    NONE = "", _("unadjusted")
    QFQ = "qfq", _("forward adjusted")
    HFQ = "hfq", _("backward adjusted")


class Stock(models.Model):
    """A security of a market, as a source's stock list or a successful collection named it."""

    market = models.CharField(_("market"), max_length=2, choices=Market)
    code = models.CharField(_("code"), max_length=16)
    name = models.CharField(_("name"), max_length=100, blank=True)
    exchange = models.CharField(_("exchange"), max_length=16, blank=True)
    listed_on = models.DateField(_("listed on"), null=True, blank=True)
    delisted_on = models.DateField(_("delisted on"), null=True, blank=True)
    full_collection_completed = models.BooleanField(_("full history collected"), default=False)
    full_collection_date = models.DateTimeField(_("full history collected at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("stock")
        verbose_name_plural = _("stocks")
        ordering = ["market", "code"]
        constraints = [
            models.UniqueConstraint(fields=["market", "code"], name="one_stock_per_market_and_code"),
            models.CheckConstraint(condition=Q(market__in=Market.values), name="stock_market_is_known"),
            models.CheckConstraint(
                condition=Q(full_collection_completed=False) | Q(full_collection_date__isnull=False),
                name="full_collection_has_a_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}".strip()


class StockList(models.Model):
    """When a source's list of a market was last synchronised, and how long it was."""

    market = models.CharField(_("market"), max_length=2, choices=Market)
    source = models.CharField(_("source"), max_length=32)
    size = models.PositiveIntegerField(_("stocks"))
    synced_at = models.DateTimeField(_("synchronised at"))

    class Meta:
        verbose_name = _("stock list")
        verbose_name_plural = _("stock lists")
        constraints = [
            models.UniqueConstraint(fields=["market", "source"], name="one_list_per_market_and_source"),
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.source}"


class DailyBar(models.Model):
    """One trading day of one symbol under one adjustment.

    Prices in the market's currency, volume in shares, amount in the currency, percentages in
    percent. `day` is the session's date in the market's time zone. A value the source does not
    send is null, never a guess.
    """

    market = models.CharField(_("market"), max_length=2, choices=Market)
    symbol = models.CharField(_("code"), max_length=16)
    adjust = models.CharField(_("adjustment"), max_length=3, choices=Adjust, blank=True, default="")
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
    source = models.CharField(_("source"), max_length=32)
    collected_at = models.DateTimeField(_("collected at"), db_default=Now())

    class Meta:
        verbose_name = _("daily bar")
        verbose_name_plural = _("daily bars")
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
