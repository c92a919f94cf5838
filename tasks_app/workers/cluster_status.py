"""This machine's entry among django-q2's clusters: `/readyz`, the admin and `manage.py qmonitor` read it."""

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
    """Writes django-q2's `Stat` to the cache, again and again, under the supervisor's pid. Never returns.

    In a thread of its own: the cache, when it is on another host, may not answer for long.
    """
    nothing: SimpleQueue[None] = SimpleQueue()
    cluster = SimpleNamespace(
        pid=supervisor,
        parent_pid=supervisor,
        cluster_id=CLUSTER_ID,
        broker=Broker(),  # the base class: only the cache is used, not the database
        tob=timezone.now(),
        reincarnations=0,
        monitor=None,
        pusher=None,
        task_queue=nothing,
        result_queue=nothing,
    )
    while True:
        cluster.pool = [worker for worker in workers if worker.pid]
        is_busy = any(worker.is_busy for worker in cluster.pool)
        cluster.status = lambda is_busy=is_busy: Conf.WORKING if is_busy else Conf.IDLE
        Stat(cluster).save()  # logs what the cache raises
        time.sleep(INTERVAL)
