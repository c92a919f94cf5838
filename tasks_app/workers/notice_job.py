"""Notices as django-q2 sends them."""

from tasks_app.notices import sending
from tasks_app.queue import dispatch
from tasks_app.workers import job_time


def run(channel_id: int, generation: int) -> None:
    """Sends what is due to a channel. Then this worker is replaced, without the 45 MB of the library."""
    job_time.extend(sending.SEND_SECONDS)
    if sending.send_due(channel_id, generation):
        dispatch.retire_this_worker()
