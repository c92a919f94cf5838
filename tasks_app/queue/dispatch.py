"""Queues slices, and reads the status of clusters and queue. Only `queue` and `workers` import django-q2."""

import logging
import socket
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.core.signing import BadSignature
from django.db.models.functions import Now
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.tasks import async_task

SLICE = "tasks_app.engine.slice.run"
EXPORT = "tasks_app.workers.export_job.run"
SOURCE_CHECK = "tasks_app.engine.source_check_job.run"
NOTICES = "tasks_app.workers.notice_job.run"
PING = "tasks_app.workers.ping_job.run"
STOCK_LIST = "tasks_app.engine.stock_list_job.run"
PATHS = frozenset({SLICE, EXPORT, SOURCE_CHECK, NOTICES, PING, STOCK_LIST})
FAILURES_KEPT = timedelta(days=30)
logger = logging.getLogger(__name__)


class ClusterStatus(NamedTuple):
    """A live cluster, read from its heartbeat in the cache; `workers` is the number of its processes."""

    host: str
    pid: int
    status: str
    workers: int


def queue_slice(task_id: UUID, lane: int, generation: int) -> None:
    """Queues a slice in the caller's transaction: a rollback also removes the job."""
    name = f"{task_id.hex[:8]}-{lane}-{generation}"
    async_task(SLICE, str(task_id), lane, generation, task_name=name, save=False)


def queue_export(export_id: int, generation: int) -> None:
    """Queues a slice of an export, likewise."""
    async_task(EXPORT, export_id, generation, task_name=f"export-{export_id}-{generation}", save=False)


def queue_source_check(source: str, generation: int) -> None:
    """Queues a check of a source, likewise."""
    async_task(SOURCE_CHECK, source, generation, task_name=f"check-{source}-{generation}", save=False)


def queue_notices(channel_id: int, generation: int) -> None:
    """Queues the sending of what is due to a channel, likewise."""
    async_task(NOTICES, channel_id, generation, task_name=f"notices-{channel_id}-{generation}", save=False)


def queue_ping(ping_id: int, due: int) -> None:
    """Queues a ping of a dead man's switch; `due` is the second, since 1970, of the one after it."""
    async_task(PING, ping_id, due, task_name=f"ping-{ping_id}-{due}", save=False)


def queue_stock_list(attempt_id: int, generation: int) -> None:
    """Queues the refresh of a stock list, a step of a plan, likewise."""
    name = f"stock-list-{attempt_id}-{generation}"
    async_task(STOCK_LIST, attempt_id, generation, task_name=name, save=False)


def retire_this_worker() -> None:
    """Makes django-q2 replace this worker process after its current job.

    A hung request lives in a thread, and only the end of the process closes its connection. A worker
    recycles itself when it exceeds max_rss, so max_rss is set to less than any process needs.
    """
    Conf.MAX_RSS = 1


def live_clusters() -> list[ClusterStatus]:
    """Returns the clusters with a heartbeat in the last three seconds, by host; [] without a cache."""
    try:
        stats = Stat.get_all()
    except Exception as error:  # any error of the cache's backend: only pages show less
        logger.warning("no cluster status, the cache does not answer: %s", error)
        return []
    return sorted(ClusterStatus(stat.host, stat.pid, str(stat.status), len(stat.workers)) for stat in stats)


def has_other_hosts() -> bool:
    """Returns whether clusters of other machines are alive."""
    return any(cluster.host != socket.gethostname() for cluster in live_clusters())


def prune_failures(batch: int = 1000) -> int:
    """Deletes up to `batch` old records of failed jobs, which django-q2 never deletes; returns how many.

    They serve diagnosis only.
    """
    old = Failure.objects.filter(stopped__lt=Now() - FAILURES_KEPT).order_by()
    return int(Failure.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:batch])).delete()[0])


class QueueStatus(NamedTuple):
    """How many jobs wait for a cluster and are taken by one, and the seconds that the oldest has waited."""

    waiting: int
    taken: int
    oldest_seconds: float


def queue_status() -> QueueStatus:
    """Returns the state of the queue in one query, by the database's clock."""
    return QueueStatus(*get_broker().status())


def waiting_jobs() -> int:
    """Returns the number of queued jobs that no cluster has taken."""
    return int(get_broker().queue_size())


def job_paths(most: int) -> list[str | None]:
    """Returns the dotted paths of the oldest jobs in the queue; None for one that can't be read here.

    That is one whose signature is of another DJANGO_SECRET_KEY.
    """
    return [_path_of(payload) for payload in get_broker().oldest_payloads(most)]


def _path_of(payload: str) -> str | None:
    try:
        job = SignedPackage.loads(payload)
    except (BadSignature, TypeError):
        return None
    path = job.get("func")
    return path if isinstance(path, str) else f"{path.__module__}.{path.__qualname__}"
