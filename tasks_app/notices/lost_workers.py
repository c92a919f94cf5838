"""Tells that no worker machine is alive, from the web server: no watchdog and no worker is left to tell it.

It does so when it is probed (`/readyz`), scraped (`/metrics`) or looked at (the overview), and sends by
itself.
"""

import logging
import threading
import time
from datetime import timedelta

from django.db import Error, connections
from django.db.models.functions import Now

from tasks_app.models import WorkerMachine
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.notices import routing, sending
from tasks_app.notices.incidents import Cause, open_incident

INTERVAL = 15.0  # seconds between two looks of a web process
SILENT = timedelta(seconds=120)  # machines report twice a minute
KEY = "workers"  # a watchdog that lives closes it
logger = logging.getLogger(__name__)
_next_look = 0.0  # by this process's own clock


def report() -> None:
    """Opens the incident if no machine has reported for two minutes, and has it sent. Never raises.

    Call it when no heartbeat is seen. A site on which no worker ever ran is no incident.
    """
    global _next_look
    if time.monotonic() < _next_look:
        return
    _next_look = time.monotonic() + INTERVAL
    try:
        alive = WorkerMachine.objects.filter(seen_at__gte=Now() - SILENT)
        if alive.exists() or not WorkerMachine.objects.exists():
            return
        open_incident(NoticeEvent.NO_WORKER, Cause(KEY, Severity.CRITICAL))
        routing.route()
        for channel_id, generation in sending.supply(is_queued=False):
            send_in_thread(channel_id, generation)
    except Error as error:
        logger.warning("lost workers are not reported: %s", str(error).partition("\n")[0])


def send_in_thread(channel_id: int, generation: int) -> None:
    """Sends to a channel in a thread of its own, because a service may answer slowly."""
    threading.Thread(target=_send, args=(channel_id, generation), daemon=True).start()


def _send(channel_id: int, generation: int) -> None:
    try:
        sending.send_due(channel_id, generation)
    except Exception:
        logger.exception("the notices of channel %d could not be sent", channel_id)
    finally:
        connections.close_all()
