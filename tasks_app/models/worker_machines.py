"""What each worker machine last told about itself: which programs it runs, and how far off its clock is."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class WorkerMachine(models.Model):
    """A supervisor of workers. Its watchdog updates the row twice a minute, by the database's clock.

    `clock_offset` is by how many seconds the machine's clock is ahead of the database's. `versions` has the
    versions of the programs that it loaded at its start, by name. Whether a machine is alive, its heartbeat
    in the cache says sooner; the rows also tell of machines whose heartbeats another one does not see.
    """

    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    workers = models.PositiveIntegerField(_("workers"))
    versions = models.JSONField(_("versions"), default=dict)
    clock_offset = models.FloatField(_("clock ahead by (seconds)"))
    seen_at = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("worker machine")
        verbose_name_plural = _("worker machines")
        default_permissions = ()
        permissions = [("inspect_system", _("Can inspect the system"))]
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="one_row_per_worker_machine")]

    def __str__(self) -> str:
        return f"{self.host} ({self.pid})"
