"""The watchdog's part in notices: it observes, routes what is new, and has it sent."""

import logging

from tasks_app.notices import lost_workers, pings, routing, sending
from tasks_app.workers import notice_checks

logger = logging.getLogger("tasks_app.worker")


def run() -> None:
    """Runs one round. Raises `django.db.Error` when the database is unavailable."""
    notice_checks.check()
    routing.route()
    pings.supply()
    for channel_id, generation in sending.supply():
        logger.warning("no worker took the notices of channel %d: the watchdog sends them", channel_id)
        lost_workers.send_in_thread(channel_id, generation)
