"""What is stored of sources: settings that were edited on a page, and how their requests went by day."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class SourceSetting(models.Model):
    """One setting of a source; the environment wins over it. `value` is encrypted: see `db.encryption`."""

    source = models.CharField(_("source"), max_length=32)
    name = models.CharField(_("setting"), max_length=40)
    value = models.TextField(_("encrypted value"))
    changed_at = models.DateTimeField(_("changed at"))
    changed_by = models.CharField(_("changed by"), max_length=150)

    class Meta:
        verbose_name = _("setting of a source")
        verbose_name_plural = _("settings of sources")
        default_permissions = ("view", "change")
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="one_value_per_source_setting")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.name}"


class SourceDay(models.Model):
    """The permits that a source's limiter gave on a day that is over, and the daily cap then (0: none).

    The day is one of the source's quotas. Today's permits are in `SourceGate`, from which the limiter moves
    them when a new day begins.
    """

    source = models.CharField(_("source"), max_length=32)
    day = models.DateField(_("day"))
    permits = models.PositiveIntegerField(_("permits"))
    cap = models.PositiveIntegerField(_("daily cap"))

    class Meta:
        verbose_name = _("day of a source")
        verbose_name_plural = _("days of sources")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["source", "day"], name="one_row_per_source_and_day")]

    def __str__(self) -> str:
        return f"{self.source} {self.day}"


class SourceRequests(models.Model):
    """How many of a source's requests of a day ended alike, in the same class of latency.

    `kind` is what became of them and `code` the error's. `at_most` is the upper bound of the class in
    milliseconds, `seconds` the sum of their latencies and `longest` the highest one. Rows are only added to.
    """

    class Kind(models.TextChoices):
        """What became of a request. `REFUSED`: an error of the whole source; `FAILED`: any other."""

        ANSWERED = "answered", _("answered")
        EMPTY = "empty", _("empty answer")
        REFUSED = "refused", _("refused")
        FAILED = "failed", _("failed")

    source = models.CharField(_("source"), max_length=32)
    day = models.DateField(_("day"))
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    code = models.CharField(_("code"), max_length=40, blank=True)
    at_most = models.PositiveIntegerField(_("latency class in ms"))
    requests = models.PositiveIntegerField(_("requests"))
    seconds = models.FloatField(_("seconds"))
    longest = models.FloatField(_("longest"))

    class Meta:
        verbose_name = _("requests of a source")
        verbose_name_plural = _("requests of sources")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["source", "day", "kind", "code", "at_most"], name="one_row_per_way_of_ending"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.day} {self.kind} {self.code}"


class SourceCheck(models.Model):
    """The last check of a source, asked for on its page or made by a command: one row per source.

    `generation` counts the checks, so that the job of an earlier one does nothing. A check without `ended_at`
    runs, or waits for a worker, until `alive_until`; after that its worker was lost. `results` are those of
    `engine.source_check`, one for each request, in the language of the user who asked.
    """

    source = models.CharField(_("source"), max_length=32, primary_key=True)
    market = models.CharField(_("market"), max_length=3)
    generation = models.PositiveIntegerField(_("generation"), default=0)
    language = models.CharField(_("language"), max_length=10)
    user_name = models.CharField(_("user name"), max_length=150)
    at = models.DateTimeField(_("at"))
    began_at = models.DateTimeField(_("started at"), null=True)
    alive_until = models.DateTimeField(_("alive until"))
    ended_at = models.DateTimeField(_("ended at"), null=True)
    results = models.JSONField(_("results"), default=list)

    class Meta:
        verbose_name = _("check of a source")
        verbose_name_plural = _("checks of sources")
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(began_at__isnull=False), name="ended_check_began"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.market}"
