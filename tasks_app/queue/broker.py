"""django-q2's queue in the database, shared fairly between hosts that disagree about the time.

django-q2's own broker goes by each host's clock: what a host ten minutes ahead queues is hidden from
the others for ten minutes, and what one behind has taken is taken again. And it takes more than its
workers can do, while another host's are idle.
"""

import time
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf

COURTESY = timedelta(seconds=1)  # several times `poll`


class Broker(ORM):  # type: ignore[misc]
    """A job's `lock` is the moment, by the database's clock, from which it may be taken."""

    unfinished: frozenset[int] = frozenset()  # what we have taken

    def timeout(self, task: Any) -> Any:
        return Now() + timedelta(seconds=Conf.RETRY)

    def queue_size(self) -> int:
        return int(self._due().count())

    def lock_size(self) -> int:
        return int(self._jobs().filter(lock__gt=Now()).count())

    def enqueue(self, task: str) -> int:
        return int(self.get_connection().create(key=self.list_key, payload=task, lock=Now()).pk)

    def dequeue(self) -> list[tuple[int, str]]:
        """Take due jobs, the oldest first; while our workers are busy only what no other host wants."""
        due = self._due(COURTESY if self._is_busy() else timedelta())
        taken = [(job.pk, job.payload) for job in due.order_by("pk")[: Conf.BULK] if self._take(job)]
        self.unfinished |= {number for number, _ in taken}
        if not taken:
            time.sleep(Conf.POLL)
        return taken

    def _is_busy(self) -> bool:
        if self.unfinished:
            left = self._jobs().filter(pk__in=self.unfinished)
            self.unfinished = frozenset(left.values_list("pk", flat=True))
        return bool(len(self.unfinished) >= Conf.WORKERS)

    def _take(self, job: Any) -> bool:
        """False when another host has just taken it: then it is not due any more."""
        return bool(self._due().filter(pk=job.pk).update(lock=self.timeout(job)))

    def _due(self, since: timedelta = timedelta()) -> QuerySet[Any]:
        return self._jobs().filter(lock__lte=Now() - since)

    def _jobs(self) -> QuerySet[Any]:
        jobs: QuerySet[Any] = self.get_connection().filter(key=self.list_key)
        return jobs
