"""django-q2's queue in the database, by the database's clock.

django-q2's own broker uses each host's clock: jobs queued by a host that is ten minutes ahead are hidden
from the others for ten minutes, and jobs taken by a host that is behind are taken again.
"""

import logging
import time
from datetime import timedelta
from typing import Any

from django.db import Error
from django.db.models import Count, Max, Min, Q, QuerySet
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

OUTAGE_SECONDS = 1.0
logger = logging.getLogger(__name__)


class Broker(ORM):  # type: ignore[misc]
    """A job's `lock` is the time, by the database's clock, from which it may be taken."""

    is_down = False

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Returns the jobs. django-q2's own method connects, so no broker can be made in an outage."""
        return OrmQ.objects.using(Conf.ORM)

    def timeout(self, task: Any) -> Any:
        return Now() + timedelta(seconds=Conf.RETRY)

    def queue_size(self) -> int:
        return int(self._due().count())

    def lock_size(self) -> int:
        return int(self._jobs().filter(lock__gt=Now()).count())

    def status(self) -> tuple[int, int, float]:
        """Returns how many jobs are due, how many are taken, and the seconds since the oldest was due."""
        is_due = Q(lock__lte=Now())
        found = self._jobs().aggregate(
            due=Count("pk", filter=is_due), all=Count("pk"), oldest=Min("lock", filter=is_due), now=Max(Now())
        )
        waited = (found["now"] - found["oldest"]).total_seconds() if found["oldest"] else 0.0
        return found["due"], found["all"] - found["due"], max(waited, 0.0)

    def oldest_payloads(self, most: int) -> list[str]:
        """Returns the payloads of so many jobs, the oldest first, whether they are taken or not."""
        return list(self._jobs().order_by("pk").values_list("payload", flat=True)[:most])

    def get_stats(self, pattern: str) -> list[str]:
        """Returns the living clusters' heartbeats.

        django-q2's own method drops dead clusters from the list while it goes through it, and so misses the
        living one behind each: after a machine's restart another one seemed dead.
        """
        if not self.cache:
            return []
        return list(self.cache.get_many(self.cache.get(Conf.Q_STAT) or []).values())

    def enqueue(self, task: str) -> int:
        return int(self.get_connection().create(key=self.list_key, payload=task, lock=Now()).pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Takes due jobs, the oldest first. Without any, or without a database, waits a moment."""
        try:
            due = self._due().order_by("pk")[: Conf.BULK]
            taken = [  # a job that another process has just taken is no longer due
                (job.pk, job.payload)
                for job in due
                if self._due().filter(pk=job.pk).update(lock=self.timeout(job))
            ]
            self.is_down = False
        except Error as error:
            if not self.is_down:
                logger.warning("no job is taken while the database fails: %s", str(error).partition("\n")[0])
            self.is_down = True
            time.sleep(OUTAGE_SECONDS)
            return []
        if not taken:
            time.sleep(Conf.POLL)
        return taken

    def _due(self) -> QuerySet[Any]:
        return self._jobs().filter(lock__lte=Now())

    def _jobs(self) -> QuerySet[Any]:
        jobs: QuerySet[Any] = self.get_connection().filter(key=self.list_key)
        return jobs
