"""A ping of a dead man's switch, as django-q2 sends it."""

from tasks_app.notices import pings


def run(ping_id: int, due: int) -> None:
    """Requests the address, unless a later ping is due or something is wrong."""
    pings.send(ping_id, due)
