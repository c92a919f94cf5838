"""Publishes this machine as one of django-q2's clusters, for `/readyz`, the admin and `qmonitor`."""

import time
import uuid
from collections.abc import Sequence
from queue import SimpleQueue
from types import SimpleNamespace

from django.utils import timezone
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.status import Stat

from tasks_app.workers.process_state import ProcessState

INTERVAL = 0.5  # seconds; django-q2 forgets a cluster after three
CLUSTER_ID = uuid.uuid4()  # made in the supervisor, so that a restarted watchdog publishes the same cluster


def publish_forever(supervisor: int, workers: Sequence[ProcessState]) -> None:
    """Writes django-q2's `Stat` to the cache every half second, under the supervisor's pid. Never returns.

    Call it in a separate thread, because a cache on another host may respond slowly.
    """
    empty: SimpleQueue[None] = SimpleQueue()
    cluster = SimpleNamespace(
        pid=supervisor,
        parent_pid=supervisor,
        cluster_id=CLUSTER_ID,
        broker=Broker(),  # the base class: only the cache is used, not the database
        tob=timezone.now(),
        reincarnations=0,
        monitor=None,
        pusher=None,
        task_queue=empty,
        result_queue=empty,
    )
    while True:
        cluster.pool = [worker for worker in workers if worker.pid]
        is_busy = any(worker.is_busy for worker in cluster.pool)
        cluster.status = lambda is_busy=is_busy: Conf.WORKING if is_busy else Conf.IDLE
        Stat(cluster).save()  # logs what the cache raises
        time.sleep(INTERVAL)
