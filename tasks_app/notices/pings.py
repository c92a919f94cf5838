"""Dead man's switches: an address is requested at intervals while all is well.

A ping passes through the queue, so it also proves that a worker takes jobs.
"""

import logging
from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from django.db.models.functions import Now

from tasks_app.db.functions import Epoch
from tasks_app.models import Incident, NoticePing
from tasks_app.models.notices import NoticeEvent
from tasks_app.notices import addresses
from tasks_app.queue import dispatch
from tasks_app.reasons import sanitize_message

TIMEOUT = 10.0  # seconds
# What keeps pings back. A failed task does not: its notice says so, and its plan's target stays what counts.
WELL_WITHOUT = (
    NoticeEvent.NO_WORKER,
    NoticeEvent.PLAN_LATE,
    NoticeEvent.DATA_BEHIND,
    NoticeEvent.DISK_LOW,
)
logger = logging.getLogger(__name__)


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: the address that was entered is the only one that is requested."""

    def redirect_request(self, *args: object) -> None:
        return None


def supply() -> None:
    """Queues the pings that are due, or notes what keeps them back. Each is queued by one of several hosts.

    Without any it costs one query. Raises `django.db.Error` when the database is unavailable.
    """
    for ping in NoticePing.objects.filter(enabled=True, next_at__lte=Now()):
        due = NoticePing.objects.filter(pk=ping.pk, next_at__lte=Now())  # unless another host was first
        problem = problem_now()
        after = {"next_at": Now() + timedelta(seconds=ping.seconds), "withheld": problem}
        if due.update(**after) and not problem:
            moved = NoticePing.objects.annotate(due=Epoch("next_at")).get(pk=ping.pk)
            dispatch.queue_ping(ping.pk, moved.due)


def problem_now() -> str:
    """Returns the event of an open incident that keeps pings back, "" while all is well."""
    problems = Incident.objects.filter(event__in=WELL_WITHOUT, closed_at__isnull=True)
    return problems.order_by("-severity", "pk").values_list("event", flat=True).first() or ""


def send(ping_id: int, due: int) -> bool:
    """Requests the address, if this is the ping's last job and all is still well. Returns whether it did."""
    ping = NoticePing.objects.annotate(due=Epoch("next_at")).filter(pk=ping_id, enabled=True, due=due).first()
    if ping is None or problem_now():
        return False
    row = NoticePing.objects.filter(pk=ping_id)
    if error := _request(ping.url):
        logger.warning("the ping %s failed: %s", ping.name, error)
        row.update(error=error)
    else:
        row.update(error="", last_at=Now())
    return True


def _request(stored_address: str) -> str:
    """Returns "" if the address answered with success, else why not, masked."""
    try:
        request = Request(addresses.decrypt(stored_address), headers={"User-Agent": "stock-collector"})  # noqa: S310
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return ""
    except addresses.UnreadableAddress as error:
        return str(error)
    except HTTPError as error:
        return f"HTTP {error.code}"
    except Exception as error:  # of the network, or of what the other side answered
        return sanitize_message(f"{type(error).__name__}: {error}")
