"""Notices of what went wrong, to people: one message per cause, and another one when it is over.

Whatever observes a cause calls `open_incident` or `close_incident`, or `reconcile` with all causes of an
event that it sees now. The watchdogs route what is new to the channels, and workers send it.
"""

from tasks_app.notices.incidents import (
    Cause,
    close_incident,
    close_incidents,
    close_matching,
    open_incident,
    reconcile,
    record_past,
)

__all__ = [
    "Cause",
    "close_incident",
    "close_incidents",
    "close_matching",
    "open_incident",
    "reconcile",
    "record_past",
]
