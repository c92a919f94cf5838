"""Adds to the record of who did what to users, groups, tokens, sources, files, and of sign-ins.

Tasks and plans have records of their own (`events`, `plan_actions`); `audit_log` reads them all as one.
"""

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext, gettext_noop

from tasks_app import logs
from tasks_app.db import sqlite_priority
from tasks_app.lifecycle.events import Actor
from tasks_app.models.audit import SESSION, AuditEvent, AuditVerb
from tasks_app.models.events import Channel

API = "/api/"
BATCH = 1000  # rows; a larger batch would make others wait
UNKNOWN_INTERVAL = timedelta(minutes=1)


def record(
    verb: AuditVerb,
    subject: str,
    actor: Actor,
    *,
    object_id: object = "",
    name: str = "",
    detail: str = "",
    address: str = "",
) -> None:
    """Adds an event, in the transaction of what it tells. `subject` is the name of the object's model."""
    AuditEvent.objects.create(
        verb=verb,
        subject=subject,
        user=actor.user,
        user_name=actor.name,
        channel=actor.channel,
        address=address,
        object_id=str(object_id)[:255],
        object_name=name[:200],
        detail=detail,
    )


def record_request(request: HttpRequest, verb: AuditVerb, subject: str, **what: Any) -> None:
    """Adds an event of the signed-in user and the address of the request."""
    user = request.user if isinstance(request.user, User) else None
    record(verb, subject, Actor(channel_of(request), user), address=address_of(request), **what)


def sentence(message: str, **values: object) -> str:
    """Returns a detail that each reader gets translated: a message in English, marked by `gettext_noop`."""
    return json.dumps({"message": message, "values": values}, ensure_ascii=False, default=str)


def translated(detail: str) -> str:
    """Returns a detail in the reader's language: a `sentence`, Django's list of changed fields, or a text."""
    if not detail.startswith('{"message": '):
        return LogEntry(change_message=detail).get_change_message() if detail else ""
    parts = json.loads(detail)
    return str(gettext(parts["message"]) % parts["values"])


def address_of(request: HttpRequest | None) -> str:
    """Returns the client's address as sign-in throttling counts it: behind proxies only the trusted one."""
    if request is None or not request.META.get("REMOTE_ADDR"):
        return ""
    return str(import_string(settings.AXES_CLIENT_IP_CALLABLE)(request))


def channel_of(request: HttpRequest | None) -> Channel:
    """Returns through which channel a request comes; without one it is a command."""
    if request is None:
        return Channel.COMMAND
    return Channel.API if request.path.startswith(API) else Channel.ADMIN


# ---------------------------------------------------------------- receivers of Django's and axes' signals


def record_sign_in(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    _record_session(AuditVerb.SIGNED_IN, request, user)


def record_sign_out(sender: Any, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:  # else a session had ended already
        _record_session(AuditVerb.SIGNED_OUT, request, user)


def record_failed_sign_in(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """Records a wrong password. Attempts of those who are locked out are not recorded one by one."""
    if getattr(request, "axes_locked_out", False):
        return
    _record_failure(AuditVerb.SIGN_IN_FAILED, request, str(credentials.get("username", "")))


def record_lock(sender: Any, request: HttpRequest | None, username: str | None, **_: Any) -> None:
    """Records that a user name is locked for an address, not each attempt while it is."""
    _record_failure(AuditVerb.LOCKED_OUT, request, username or "", settings.AXES_COOLOFF_TIME)


def record_user_of_command(sender: Any, instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    """Records a user that is made, or whose password is changed, outside of a request: by a command."""
    is_new_password = getattr(instance, "_password", None) is not None
    is_request = logs.bound("request_id") and not logs.bound("command")  # our own commands have both
    if raw or is_request or not (created or is_new_password):
        return
    record(
        AuditVerb.CREATED if created else AuditVerb.CHANGED,
        "user",
        Actor(Channel.COMMAND),
        object_id=instance.pk,
        name=instance.get_username(),
        detail="" if created else sentence(gettext_noop("Password changed")),
    )


def _record_failure(
    verb: AuditVerb, request: HttpRequest | None, name: str, once_in: timedelta | None = None
) -> None:
    """Records a failure, once in `once_in`; of names that no user has one a minute: they have no end."""
    user = User.objects.filter(username=name[:150]).first() if "\0" not in name else None
    once_in = once_in or (UNKNOWN_INTERVAL if user is None else None)
    same = AuditEvent.objects.filter(
        subject=SESSION, user_name=user.username if user else "", verb=verb, address=address_of(request)
    )
    if once_in is None or not same.filter(at__gt=Now() - once_in).exists():
        _record_session(verb, request, user)


def _record_session(verb: AuditVerb, request: HttpRequest | None, user: User | None) -> None:
    with sqlite_priority.interactive_write():
        record(verb, SESSION, Actor(channel_of(request), user), address=address_of(request))


# ---------------------------------------------------------------- retention


def prune(days: int, batch: int = BATCH) -> int:
    """Deletes a batch of the oldest events that are older than so many days. Returns how many."""
    sqlite_priority.yield_to_interactive()
    with transaction.atomic():
        old = AuditEvent.objects.filter(at__lt=Now() - timedelta(days=days)).order_by("at", "id")
        keys = list(old.values_list("pk", flat=True)[:batch])
        return AuditEvent.objects.filter(pk__in=keys).delete()[0] if keys else 0
