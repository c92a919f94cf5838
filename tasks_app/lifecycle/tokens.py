"""API tokens: issued, used, revoked. A token may do what its user may, one of the scope `read` only read."""

import logging
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import Error, transaction
from django.db.models import Q
from django.db.models.functions import Now
from knox.models import AuthToken

from tasks_app.db import sqlite_priority
from tasks_app.models import ApiToken
from tasks_app.models.access import TokenScope

USE_PRECISION = timedelta(minutes=1)  # a token that is used all the time costs one write in each
UNRECORDED_USE = Q(details__isnull=False) & (
    Q(details__last_used_at__isnull=True) | Q(details__last_used_at__lt=Now() - USE_PRECISION)
)
SUBJECT = "authtoken"  # of the audit record
logger = logging.getLogger(__name__)


def issue(user: User, name: str, scope: TokenScope, lifetime: timedelta | None) -> tuple[AuthToken, str]:
    """Returns a new token and its secret, which is not stored. Without a lifetime it does not expire."""
    with transaction.atomic():
        token, secret = AuthToken.objects.create(user, expiry=lifetime)
        token.details = ApiToken.objects.create(token=token, name=name, scope=scope)
    return token, str(secret)


def described(token: AuthToken) -> dict[str, str]:
    """Returns what the audit record says of a token, without its digest."""
    details = getattr(token, "details", None)
    return {
        "object_id": token.token_key,
        "name": f"{token.user.get_username()} {token.token_key[:8]}",
        "detail": f"{details.name} ({details.scope})" if details else "",
    }


def scope_of(token: AuthToken) -> TokenScope:
    """Returns what the token may do, at most."""
    return TokenScope(token.details.scope) if hasattr(token, "details") else TokenScope.OPERATE


def record_use(digest: str) -> None:
    """Stores that the token is used now, unless that was stored within the last minute.

    It is no condition of the request that uses the token: a database that refuses it is only logged.
    """
    details = ApiToken.objects.filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - USE_PRECISION), token_id=digest
    )
    try:
        with sqlite_priority.interactive_write(), transaction.atomic():
            details.update(last_used_at=Now())
    except Error as error:
        logger.warning("The use of a token was not recorded: %s", error)
