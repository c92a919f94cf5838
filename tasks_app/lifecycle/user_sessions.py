"""Where users are signed in: recorded, shown, ended.

A session has the time of its sign-in among its data, so that a key that Django changes, as it does with a new
password, is recorded anew. Ending a session deletes Django's row: the next request with it is anonymous.
"""

import logging
import time
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import Error, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone

from tasks_app.db import sqlite_priority
from tasks_app.lifecycle import audit
from tasks_app.models import UserSession

SINCE = "signed_in_at"  # the key of a session's data: the time as text
PRECISION = 60  # seconds; a session that is used all the time costs each process one write in each
MAX_REMEMBERED = 1000
logger = logging.getLogger(__name__)
_seen: dict[str, float] = {}  # by session key: when this process recorded it last


def record_sign_in(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Receiver of Django's signal."""
    session = getattr(request, "session", None)
    if request is None or session is None:
        return
    session[SINCE] = timezone.now().isoformat()
    if session.session_key is None:
        session.save()
    _record(request, session)


def record_own(request: HttpRequest) -> None:
    """Stores the request's session if it was made otherwise than by signing in on a page."""
    if SINCE not in request.session:
        request.session[SINCE] = timezone.now().isoformat()
        _record(request, request.session)


def record_visit(request: HttpRequest) -> None:
    """Stores that the request's session is in use, unless this process did within the last minute."""
    session = request.session
    if not session.accessed or SINCE not in session or SESSION_KEY not in session:
        return
    if time.monotonic() - _seen.get(str(session.session_key), -PRECISION) >= PRECISION:
        _record(request, session)


def _record(request: HttpRequest, session: Any) -> None:
    """It is no condition of the request: a database that refuses it, or a session that ended, is logged."""
    while len(_seen) >= MAX_REMEMBERED:
        _seen.pop(next(iter(_seen)))
    _seen[session.session_key] = time.monotonic()
    told = {
        "seen_at": Now(),
        "address": audit.address_of(request),
        "user_agent": request.headers.get("User-Agent", "")[:300],
    }
    first = {**told, "user_id": session[SESSION_KEY], "signed_in_at": session[SINCE]}
    try:
        with sqlite_priority.interactive_write(), transaction.atomic():
            UserSession.objects.update_or_create(
                session_id=session.session_key, defaults=told, create_defaults=first
            )
    except Error as error:
        logger.warning("The use of a session was not recorded: %s", error)


def of_user(user: User) -> list[UserSession]:
    """Returns the sessions in which the user is signed in, the last seen first. One query.

    Those from before a change of the password are over, though their rows are still there.
    """
    rows = UserSession.objects.filter(user=user.pk, session__expire_date__gt=Now())
    rows = rows.select_related("session").order_by("-seen_at", "-pk")
    valid = user.get_session_auth_hash()
    return [row for row in rows if row.session.get_decoded().get(HASH_SESSION_KEY) == valid]


def end(rows: QuerySet[UserSession]) -> int:
    """Ends the sessions and returns how many."""
    with sqlite_priority.interactive_write(), transaction.atomic():
        keys = list(rows.values_list("session_id", flat=True))
        Session.objects.filter(pk__in=keys).delete()
    return len(keys)
