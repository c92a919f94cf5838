"""Stocks and the lists that they come from, aliases and changes of their codes."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import InstrumentKind, Market


class Stock(models.Model):
    """A security or index of a market, added by a stock list or by a successful collection."""

    market = models.CharField(_("market"), max_length=3, choices=Market)
    code = models.CharField(_("code"), max_length=16)
    kind = models.CharField(
        _("kind"),
        max_length=5,
        choices=InstrumentKind,
        default=InstrumentKind.STOCK,
        db_default=InstrumentKind.STOCK,
    )
    name = models.CharField(_("name"), max_length=100, blank=True)
    exchange = models.CharField(_("exchange"), max_length=16, blank=True)
    listed_on = models.DateField(_("listed on"), null=True, blank=True)
    delisted_on = models.DateField(_("delisted on"), null=True, blank=True)
    # [{"name": …, "until": "YYYY-MM-DD"}, …], oldest first.
    former_names = models.JSONField(_("former names"), default=list, blank=True)
    full_collection_completed = models.BooleanField(_("full history collected"), default=False)
    full_collection_date = models.DateTimeField(_("full history collected at"), null=True, blank=True)
    # Of all adjustments: the bars of the longest one, the last day of any. Triggers take them from `Series`
    # (`db.stock_triggers`), so that lists can be sorted by them.
    bars = models.PositiveIntegerField(_("bars"), default=0, db_default=0, editable=False)
    last_day = models.DateField(_("last bar"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("stock")
        verbose_name_plural = _("stocks")
        ordering = ["market", "code"]
        indexes = [
            models.Index(fields=["bars", "market", "code"], name="stocks_by_bars"),
            models.Index(fields=["last_day", "market", "code"], name="stocks_by_last_day"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["market", "code"], name="one_stock_per_market_and_code"),
            models.CheckConstraint(condition=Q(market__in=Market.values), name="stock_market_is_known"),
            models.CheckConstraint(condition=Q(kind__in=InstrumentKind.values), name="stock_kind_is_known"),
            models.CheckConstraint(
                condition=Q(full_collection_completed=False) | Q(full_collection_date__isnull=False),
                name="full_collection_has_a_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}".strip()


class StockList(models.Model):
    """A source's list of a market's stocks, ETFs or indices, as it was last synchronised.

    `codes` has the stocks in the list's order; it is null for a list from before codes were kept. The source
    writes the codes in `spellings` ({code: spelling}) in another way, and is asked for them in that way.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    source = models.CharField(_("source"), max_length=32)
    kind = models.CharField(
        _("kind"),
        max_length=5,
        choices=InstrumentKind,
        default=InstrumentKind.STOCK,
        db_default=InstrumentKind.STOCK,
    )
    size = models.PositiveIntegerField(_("stocks"))
    synced_at = models.DateTimeField(_("synchronised at"))
    codes = models.JSONField(_("codes"), null=True, editable=False)
    spellings = models.JSONField(_("the source's spellings"), default=dict, db_default={}, editable=False)

    class Meta:
        verbose_name = _("stock list")
        verbose_name_plural = _("stock lists")
        constraints = [
            models.UniqueConstraint(
                fields=["market", "source", "kind"], name="one_list_per_market_source_and_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.source}"


class StockImport(models.Model):
    """An import of a stock list from a file, written by the transactions that store its stocks.

    `changes` has the stocks that it added or changed, as [code, before, after]: each a stock's name, exchange
    and dates, `before` null for an added one. So it can be undone.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    file = models.CharField(_("file"), max_length=255)
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    changes = models.JSONField(_("changes"), default=list)
    undone_at = models.DateTimeField(_("undone at"), null=True, editable=False)

    class Meta:
        verbose_name = _("import of stocks")
        verbose_name_plural = _("imports of stocks")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.market} {self.file}"


class CodeAlias(models.Model):
    """A text that stands for a stock's code, besides the spellings that `sources.security_codes` knows."""

    market = models.CharField(_("market"), max_length=3, choices=Market)
    alias = models.CharField(_("alias"), max_length=24)
    code = models.CharField(_("code"), max_length=16)

    class Meta:
        verbose_name = _("alias of a code")
        verbose_name_plural = _("aliases of codes")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["market", "alias"], name="one_code_per_alias"),
            models.CheckConstraint(condition=~Q(alias=F("code")), name="alias_is_another_text"),
        ]

    def __str__(self) -> str:
        return f"{self.alias} = {self.code}"


class CodeChange(models.Model):
    """A security's change of code: until the day before `changed_on` it was `old_code`.

    Each code stays stored as what it was; reads of `new_code` join the earlier unadjusted bars.
    """

    market = models.CharField(_("market"), max_length=3, choices=Market)
    old_code = models.CharField(_("old code"), max_length=16)
    new_code = models.CharField(_("new code"), max_length=16)
    changed_on = models.DateField(_("changed on"))

    class Meta:
        verbose_name = _("change of code")
        verbose_name_plural = _("changes of codes")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["market", "old_code"], name="one_successor_per_code"),
            models.UniqueConstraint(fields=["market", "new_code"], name="one_predecessor_per_code"),
            models.CheckConstraint(condition=~Q(old_code=F("new_code")), name="code_changes_to_another"),
        ]

    def __str__(self) -> str:
        return f"{self.old_code} → {self.new_code}"
