"""django-q2's settings, chosen to avoid its traps (docs/operations.md lists them)."""

import math
from typing import Any

from tasks_app.conf import Conf


def cluster_settings(conf: Conf, log_level: str) -> dict[str, Any]:
    """Returns Q_CLUSTER. `retry` is longer than a job can take: it is killed soon after `timeout`."""
    timeout = math.ceil(conf.slice_seconds + conf.fetch_timeout) + 20
    return {
        "name": "collector",
        "orm": "default",  # the application's alias, so that queueing is transactional
        "broker_class": "tasks_app.queue.broker.Broker",  # uses the database's clock: those of hosts differ
        "cache": "default",
        "workers": conf.workers,
        "timeout": timeout,
        "retry": timeout * 3,
        "bulk": 1,
        "poll": 0.2,  # seconds between the looks of an idle worker
        "ack_failures": True,  # a failed slice is never redelivered: the watchdog re-arms its lane
        "max_attempts": 1,
        "recycle": 200,
        # Kilobytes. A worker that came near its limit is replaced after its job: its heap may be fragmented.
        "max_rss": conf.worker_memory * 750,
        "save_limit": 100,
        "catch_up": False,
        "log_level": log_level,
    }
