"""The watchdog's part in notices: it observes, routes what is new, and has it sent."""

import logging
import threading

from django.db import connections

from tasks_app.notices import pings, routing, sending
from tasks_app.workers import notice_checks

logger = logging.getLogger("tasks_app.worker")


def run() -> None:
    """Runs one round. Raises `django.db.Error` when the database is unavailable."""
    notice_checks.check()
    routing.route()
    pings.supply()
    for channel_id, generation in sending.supply():
        logger.warning("no worker took the notices of channel %d: the watchdog sends them", channel_id)
        threading.Thread(target=_send, args=(channel_id, generation), daemon=True).start()


def _send(channel_id: int, generation: int) -> None:
    """Sends in a thread of its own, because a service may answer slowly."""
    try:
        sending.send_due(channel_id, generation)
    except Exception:
        logger.exception("the notices of channel %d could not be sent", channel_id)
    finally:
        connections.close_all()
