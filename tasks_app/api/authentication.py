"""Authentication by API token (`Token` or `Bearer`) and by a browser's session."""

import logging
import re
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox import auth
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from tasks_app.db.compiled_queries import CompiledQuery
from tasks_app.lifecycle import tokens
from tasks_app.models.access import TokenScope

logger = logging.getLogger(__name__)
_PREFIXES = (b"token", b"bearer")
_TOKEN = re.compile(rb"[!-~]{1,256}")
_IS_TO_RECORD = ExpressionWrapper(tokens.UNRECORDED_USE, BooleanField())
_BY_DIGEST = CompiledQuery(
    lambda digest: AuthToken.objects.filter(digest=digest).annotate(is_to_record=_IS_TO_RECORD),
    ["expiry", "user__is_active"],
    "0" * 128,
    ["is_to_record"],
)


def has_valid_token(request: HttpRequest) -> bool:
    """Whether `TokenAuthentication` would accept the request, which reads.

    Costs one small query and no user, and once a minute a write: when the token was last used.
    """
    token = _find_token(request)
    digest = hash_token(token.decode()) if token else ""
    row = _BY_DIGEST.row(digest) if digest else None
    if row is None or not row[1] or (row[0] and row[0] < timezone.now()):
        return False
    if row[2]:
        tokens.record_use(digest)
    return True


def _find_token(request: HttpRequest | Request) -> bytes | None:
    """Returns the token in the header, empty if malformed, None if the header holds no token.

    Other bytes, such as NUL, would break knox's look-up instead of failing it.
    """
    # Debug pages hide variables by their name: `token` is one that they hide.
    prefix, *token = str(request.META.get("HTTP_AUTHORIZATION", "")).encode("latin-1").split() or [b""]
    if prefix.lower() not in _PREFIXES:
        return None
    return token[0] if len(token) == 1 and _TOKEN.fullmatch(token[0]) else b""


class TokenAuthentication(auth.TokenAuthentication):  # type: ignore[misc]
    """`Authorization: Token …` or `Bearer …`. A malformed token is rejected before any query.

    A token of the scope `read` is refused every request that writes, before any permission is looked at.
    A view names its actions that read although they are a POST in `reading_actions`.
    """

    def authenticate(self, request: Request) -> tuple[object, object] | None:
        token = _find_token(request)
        if token == b"":
            raise AuthenticationFailed(_("Malformed token. Send “Authorization: Token …” with one token."))
        if token is None:
            return None
        user, auth_token = self.authenticate_credentials(token)
        if tokens.scope_of(auth_token) == TokenScope.READ and not _reads(request):
            raise PermissionDenied(_("This token may only read. Use one with the scope “operate”."))
        return user, auth_token

    def authenticate_credentials(self, token: bytes) -> tuple[object, AuthToken]:
        """Returns the token and its user. knox would also read all other tokens of the user each time."""
        rows = AuthToken.objects.select_related("user", "details").annotate(is_to_record=_IS_TO_RECORD)
        auth_token = rows.filter(digest=hash_token(token.decode())).first()
        if auth_token is None or (auth_token.expiry and auth_token.expiry < timezone.now()):
            raise AuthenticationFailed(_("Invalid token."))
        user, _token = self.validate_user(auth_token)
        if auth_token.is_to_record:
            tokens.record_use(auth_token.digest)
        return user, auth_token


def _reads(request: Request) -> bool:
    view = (request.parser_context or {}).get("view")
    reading: Any = getattr(view, "reading_actions", ())
    return request.method in SAFE_METHODS or getattr(view, "action", None) in reading


class SessionAuthentication(authentication.SessionAuthentication):
    """A browser's session. A missing CSRF token is reported in the reader's language."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            logger.warning("%s", error)  # names the origin or cookie at fault: for the site's operators
            message = _("The CSRF token is missing or wrong. Load the page again, or use an API token.")
            raise PermissionDenied(message) from None
