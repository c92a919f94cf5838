"""The only place that knows django-q2: queueing a slice, and what the cluster says of itself."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models.functions import Now
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure
from django_q.status import Stat
from django_q.tasks import async_task

SLICE = "tasks_app.engine.slice.run"
FAILURES_KEPT = timedelta(days=30)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """A live cluster, as its heartbeat in the cache tells."""

    host: str
    pid: int
    status: str
    workers: int
    queued: int


def queue_slice(task_id: UUID, lane: int, generation: int) -> None:
    """Queue a slice in the caller's transaction: a rollback takes the job back with it."""
    name = f"{task_id.hex[:8]}-{lane}-{generation}"
    async_task(SLICE, str(task_id), lane, generation, task_name=name, save=False)


def retire_this_worker() -> None:
    """Have django-q2 replace this worker process after its job.

    A hung request lives in a thread, and only the end of the process closes its connection. The
    worker recycles itself when it is over max_rss, so that is what it is told.
    """
    Conf.MAX_RSS = 1


def clusters() -> list[Cluster]:
    """The clusters heard of in the last three seconds. Empty, too, when the cache is away."""
    try:
        stats = Stat.get_all()
    except Exception as error:  # any cache backend's own error: pages say less, work goes on
        logger.warning("no cluster status, the cache does not answer: %s", error)
        return []
    return [Cluster(s.host, s.pid, str(s.status), len(s.workers), s.task_q_size) for s in stats]


def prune_failures(batch: int = 1000) -> int:
    """Delete up to `batch` of django-q2's old notes of failed jobs, which it keeps for ever; how many.

    For diagnosis only: nobody's work hangs on them.
    """
    old = Failure.objects.filter(stopped__lt=Now() - FAILURES_KEPT).order_by()
    return int(Failure.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:batch])).delete()[0])


def waiting_jobs() -> int:
    """Jobs in the queue that no cluster has taken yet."""
    return int(get_broker().queue_size())
