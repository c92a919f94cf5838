"""django-q2's queue in the database, shared fairly between hosts whose clocks disagree.

django-q2's own broker uses each host's clock: jobs queued by a host that is ten minutes ahead are hidden
from the others for ten minutes, and jobs taken by a host that is behind are taken again. It also takes
more jobs than its workers can run while another host's workers are idle.
"""

import time
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf

# A host whose workers are busy leaves new jobs to the others for this long: several times `poll`.
COURTESY = timedelta(seconds=1)


class Broker(ORM):  # type: ignore[misc]
    """A job's `lock` is the time, by the database's clock, from which it may be taken."""

    unfinished: frozenset[int] = frozenset()  # ids of jobs taken by this broker and not acknowledged

    def timeout(self, task: Any) -> Any:
        return Now() + timedelta(seconds=Conf.RETRY)

    def queue_size(self) -> int:
        return int(self._due().count())

    def lock_size(self) -> int:
        return int(self._jobs().filter(lock__gt=Now()).count())

    def enqueue(self, task: str) -> int:
        return int(self.get_connection().create(key=self.list_key, payload=task, lock=Now()).pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Takes due jobs, the oldest first; while our workers are busy, only those that other hosts leave."""
        due = self._due(COURTESY if self._is_busy() else timedelta())
        taken = [(job.pk, job.payload) for job in due.order_by("pk")[: Conf.BULK] if self._take(job)]
        self.unfinished |= {job_id for job_id, _ in taken}
        if not taken:
            time.sleep(Conf.POLL)
        return taken

    def _is_busy(self) -> bool:
        if self.unfinished:
            unfinished = self._jobs().filter(pk__in=self.unfinished)
            self.unfinished = frozenset(unfinished.values_list("pk", flat=True))
        return bool(len(self.unfinished) >= Conf.WORKERS)

    def _take(self, job: Any) -> bool:
        """Returns False when another host has just taken the job: it is no longer due."""
        return bool(self._due().filter(pk=job.pk).update(lock=self.timeout(job)))

    def _due(self, since: timedelta = timedelta()) -> QuerySet[Any]:
        return self._jobs().filter(lock__lte=Now() - since)

    def _jobs(self) -> QuerySet[Any]:
        jobs: QuerySet[Any] = self.get_connection().filter(key=self.list_key)
        return jobs
