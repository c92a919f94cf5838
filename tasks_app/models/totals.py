"""Sums over all time, which outlive the rows that they were added up from: for `/metrics`."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from tasks_app.models.sources import SourceRequests


class TaskTotals(models.Model):
    """The tasks that ended alike, deleted ones included, and the sums of their counters.

    `lifecycle.completion` adds a task in the transaction that ends it. `outcome` is "" unless completed, or
    `yielded`: then the rest of the stocks is counted with the task that continues it.
    """

    market = models.CharField(_("market"), max_length=3)
    source = models.CharField(_("source"), max_length=32)
    status = models.CharField(_("status"), max_length=9)
    outcome = models.CharField(_("outcome"), max_length=13, blank=True)
    tasks = models.PositiveBigIntegerField(_("tasks"))
    success_count = models.PositiveBigIntegerField(_("succeeded"))
    failed_count = models.PositiveBigIntegerField(_("failed"))
    collected_count = models.PositiveBigIntegerField(_("bars collected"))
    corrected_count = models.PositiveBigIntegerField(_("bars corrected"))
    skipped_count = models.PositiveBigIntegerField(_("bars skipped"))
    refused_count = models.PositiveBigIntegerField(_("bars refused"))
    flagged_count = models.PositiveBigIntegerField(_("bars flagged"))
    compared_count = models.PositiveBigIntegerField(_("bars compared"))
    differing_count = models.PositiveBigIntegerField(_("bars that differ"))
    last_end_time = models.DateTimeField(_("last one ended at"))

    class Meta:
        verbose_name = _("totals of tasks")
        verbose_name_plural = _("totals of tasks")
        default_permissions = ()
        permissions = [("view_metrics", _("Can read the metrics"))]
        constraints = [
            models.UniqueConstraint(
                fields=["market", "source", "status", "outcome"], name="one_row_per_way_that_tasks_end"
            )
        ]

    def __str__(self) -> str:
        return f"{self.market} {self.source} {self.status} {self.outcome}".strip()


class SourceRequestTotals(models.Model):
    """A source's requests that ended alike, as `SourceRequests`, of all days, deleted ones included."""

    source = models.CharField(_("source"), max_length=32)
    kind = models.CharField(_("kind"), max_length=8, choices=SourceRequests.Kind)
    code = models.CharField(_("code"), max_length=40, blank=True)
    at_most = models.PositiveIntegerField(_("latency class in ms"))
    requests = models.PositiveBigIntegerField(_("requests"))
    seconds = models.FloatField(_("seconds"))

    class Meta:
        verbose_name = _("totals of a source's requests")
        verbose_name_plural = _("totals of sources' requests")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["source", "kind", "code", "at_most"], name="one_total_per_way_of_ending"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.kind} {self.code}".strip()
